"""This module is where MLflow tracing does the record: one span with inputs and outputs, tracked in SQLite.

As in https://mlflow.org/docs/latest/genai/tracing/app-instrumentation/manual-tracing/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import SpanType


class Mlflow:
    """Tracing with its defaults (asynchronous logging)."""

    def __init__(self, folder: Path, stub: str) -> None:
        del stub
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        mlflow.set_experiment("benchmarks")

    def record(self, arguments: dict[str, Any], response: dict[str, Any]) -> None:
        with mlflow.start_span(name="chat", span_type=SpanType.CHAT_MODEL) as span:
            span.set_inputs(arguments)
            span.set_outputs(response)

    def flush(self) -> None:
        mlflow.flush_trace_async_logging()

    def close(self) -> None:
        """There is nothing to close."""
