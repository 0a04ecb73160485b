"""This module is where the OpenTelemetry SDK does the record: one span by the GenAI conventions, BatchSpanProcessor.

Attributes as in https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/; messages are JSON text.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter


class _Spans:
    def __init__(self, exporter: SpanExporter) -> None:
        self._provider = TracerProvider()
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("benchmarks")

    def record(self, arguments: dict[str, Any], response: dict[str, Any]) -> None:
        usage = response["usage"]
        span = self._tracer.start_span(
            f"chat {arguments['model']}",
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": arguments["model"],
                "gen_ai.request.temperature": arguments["temperature"],
                "gen_ai.request.max_tokens": arguments["max_tokens"],
                "gen_ai.input.messages": json.dumps(arguments["messages"]),
                "user.id": arguments["user"],
            },
        )
        span.set_attributes(
            {
                "gen_ai.response.id": response["id"],
                "gen_ai.response.model": response["model"],
                "gen_ai.response.finish_reasons": [one["finish_reason"] for one in response["choices"]],
                "gen_ai.usage.input_tokens": usage["prompt_tokens"],
                "gen_ai.usage.output_tokens": usage["completion_tokens"],
                "gen_ai.output.messages": json.dumps([one["message"] for one in response["choices"]]),
            }
        )
        span.end()

    def flush(self) -> None:
        self._provider.force_flush()

    def close(self) -> None:
        self._provider.shutdown()


class ToFile(_Spans):
    """The console exporter, into a file, a span a line."""

    def __init__(self, folder: Path, stub: str) -> None:
        del stub
        file = (folder / "spans.jsonl").open("a", encoding="utf-8")
        super().__init__(ConsoleSpanExporter(out=file, formatter=lambda span: span.to_json(indent=None) + "\n"))


class ToStub(_Spans):
    """OTLP over HTTP."""

    def __init__(self, folder: Path, stub: str) -> None:
        del folder
        super().__init__(OTLPSpanExporter(endpoint=f"{stub}/v1/traces"))
