"""This module is where Logfire does the record, sending off: one log with the request and the response.

As in https://logfire.pydantic.dev/docs/how-to-guides/alternative-backends/, with the SDK's own batch processor and an
exporter into a file. The console output is off, which is kinder than the default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import logfire
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter


class Logfire:
    """The global instance."""

    def __init__(self, folder: Path, stub: str) -> None:
        del stub
        file = (folder / "spans.jsonl").open("a", encoding="utf-8")
        exporter = ConsoleSpanExporter(out=file, formatter=lambda span: span.to_json(indent=None) + "\n")
        logfire.configure(
            send_to_logfire=False, console=False, additional_span_processors=[BatchSpanProcessor(exporter)]
        )

    def record(self, arguments: dict[str, Any], response: dict[str, Any]) -> None:
        logfire.info("chat {model}", model=arguments["model"], request=arguments, response=response)

    def flush(self) -> None:
        logfire.force_flush()

    def close(self) -> None:
        logfire.shutdown()
