"""This module is where oplogger does the record: one operation, saved at once, as in its README."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oplog import configure, op


class Oplogger:
    """The global tracer on SQLite."""

    def __init__(self, folder: Path, stub: str) -> None:
        del stub
        configure(project="benchmarks", backend=f"sqlite:///{folder}/oplog.db")

    def record(self, arguments: dict[str, Any], response: dict[str, Any]) -> None:
        op("completion").model(arguments["model"]).input(**arguments).output(**response).meta(latency_ms=1200).save()

    def flush(self) -> None:
        """Each operation is saved when it is recorded."""

    def close(self) -> None:
        """There is nothing to close."""
