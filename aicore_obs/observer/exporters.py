"""This module is where an export goes: into a file, to a function, or to several of these."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from aicore_obs.guard import attempt
from aicore_obs.settings import from_environment

DEFAULT_PATH = "llm_observability.json"


class Exporter(Protocol):
    """Takes an export as plain data, in the thread of whoever flushes. What it raises, the caller of ``flush`` gets."""

    def export(self, document: dict[str, Any]) -> Any:
        """Take one export; what is returned, ``flush`` returns."""


class FileExporter:
    """Writes an export as JSON, in one piece: a reader sees the file before or the file after, never half of one."""

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path or os.environ.get("LLM_OBS_OUT") or DEFAULT_PATH).expanduser()

    def export(self, document: dict[str, Any]) -> str:
        """Write the file and return its path; directories that are missing are made.

        Raises:
            OSError: it cannot be written there.
        """
        text = msgspec.json.format(msgspec.json.encode(document), indent=2)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, from_environment().file_mode)
            with open(descriptor, "wb") as file:
                file.write(text)
            beside.replace(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        return str(self.path)


class CallableExporter:
    """Hands an export to a function."""

    def __init__(self, function: Callable[[dict[str, Any]], Any]) -> None:
        self._function = function

    def export(self, document: dict[str, Any]) -> Any:
        """Call the function."""
        return self._function(document)


class CompositeExporter:
    """Hands an export to several exporters. All get it; what any raised is raised at the end, together."""

    def __init__(self, *exporters: Exporter) -> None:
        self._exporters = exporters

    def export(self, document: dict[str, Any]) -> list[Any]:
        """Hand it to each, and return what each returned.

        Raises:
            ExceptionGroup: what the exporters raised.
        """
        outcomes = [attempt(exporter.export, document) for exporter in self._exporters]
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        if errors:
            raise ExceptionGroup("exporters failed", errors)
        return [outcome.value for outcome in outcomes]
