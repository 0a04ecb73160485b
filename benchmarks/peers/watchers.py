"""This module is where each watcher of OpenAI's SDK is started, as its documentation says, with texts recorded.

What a watcher imports is imported when it is started, since an interpreter need not have all of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


class Plain:
    """Nobody watches."""

    def __init__(self, folder: Path, stub: str) -> None:
        """Start nothing."""

    def client(self, provider: str) -> Any:
        """Return OpenAI's client, as a program makes it."""
        from openai import OpenAI

        return OpenAI(api_key="none", base_url=provider, max_retries=0)

    def flush(self) -> None:
        """There is nothing to deliver."""

    def close(self) -> None:
        """There is nothing to close."""


class Ours(Plain):
    """``instrument()``, with the defaults, into SQLite."""

    def __init__(self, folder: Path, stub: str) -> None:
        del stub
        import aicore_obs

        self._collector = aicore_obs.configure(db_url=f"sqlite:///{folder}/ours.db")
        aicore_obs.instrument()

    def flush(self) -> None:
        self._collector.flush(120)

    def close(self) -> None:
        self._collector.close()


class _Spans(Plain):
    """An instrumentor of OpenTelemetry: BatchSpanProcessor with its defaults, OTLP over HTTP to the stub."""

    def __init__(self, folder: Path, stub: str) -> None:
        del folder
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._provider = TracerProvider()
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{stub}/v1/traces")))
        # An instrumentor that finds another openai than it knows only logs it otherwise.
        self._instrumentor().instrument(tracer_provider=self._provider, raise_exception_on_conflict=True)

    def _instrumentor(self) -> Any:
        raise NotImplementedError

    def flush(self) -> None:
        self._provider.force_flush()

    def close(self) -> None:
        self._provider.shutdown()


class OpenLlmetry(_Spans):
    """https://www.traceloop.com/docs/openllmetry (texts are recorded by default)."""

    def _instrumentor(self) -> Any:
        from opentelemetry.instrumentation.openai import OpenAIInstrumentor

        return OpenAIInstrumentor()


class OpenInference(_Spans):
    """https://arize-ai.github.io/openinference (texts are recorded by default)."""

    def _instrumentor(self) -> Any:
        from openinference.instrumentation.openai import OpenAIInstrumentor

        return OpenAIInstrumentor()


class OpenTelemetryV2(_Spans):
    """OpenTelemetry's own, by the newest conventions, texts in its spans."""

    def _instrumentor(self) -> Any:
        _record_texts()
        from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

        return OpenAIInstrumentor()


class OpenTelemetryGenai(_Spans):
    """OpenTelemetry's own under its later name, texts in its spans."""

    def _instrumentor(self) -> Any:
        _record_texts()
        from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

        return OpenAIInstrumentor()


def _record_texts() -> None:
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "span_only"


class Langfuse(Plain):
    """https://langfuse.com/integrations/model-providers/openai-py: its OpenAI in place of OpenAI's."""

    def __init__(self, folder: Path, stub: str) -> None:
        del folder
        import langfuse

        self._client = langfuse.Langfuse(public_key="pk-lf-bench", secret_key="sk-lf-bench", base_url=stub)

    def client(self, provider: str) -> Any:
        from langfuse.openai import OpenAI

        return OpenAI(api_key="none", base_url=provider, max_retries=0)

    def flush(self) -> None:
        self._client.flush()

    def close(self) -> None:
        self._client.shutdown()
