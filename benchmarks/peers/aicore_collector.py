"""This module is where the collector of AiCore (``core-for-ai``) does the record, into its JSON files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aicore.observability.collector import LlmOperationCollector


class AiCore:
    """The collector with a storage path, as AiCore itself makes it."""

    def __init__(self, folder: Path, stub: str) -> None:
        del stub
        self._collector = LlmOperationCollector.fom_observable_storage_path(str(folder / "observability"))

    def record(self, arguments: dict[str, Any], response: dict[str, Any]) -> None:
        usage = response["usage"]
        self._collector.record_completion(
            completion_args=arguments,
            operation_type="completion",
            provider="openai",
            response=response,
            input_tokens=usage["prompt_tokens"],
            output_tokens=usage["completion_tokens"],
            latency_ms=1200,
        )

    def flush(self) -> None:
        """Each record is written when it is recorded."""

    def close(self) -> None:
        """There is nothing to close."""
