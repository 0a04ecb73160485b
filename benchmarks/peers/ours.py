"""This module is where this package does the peers' record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aicore_obs import LlmOperationCollector


class Ours:
    """A collector with its defaults, on SQLite."""

    def __init__(self, folder: Path, stub: str) -> None:
        del stub
        self._collector = LlmOperationCollector(db_url=f"sqlite:///{folder}/ours.db")

    def record(self, arguments: dict[str, Any], response: dict[str, Any]) -> None:
        self._collector.record_completion(arguments, "completion", "openai", response, 1200)

    def flush(self) -> None:
        self._collector.flush(120)

    def close(self) -> None:
        self._collector.close()
