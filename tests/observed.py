"""This module is where tests observe: a default collector in an empty directory, and what the export says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import aicore_obs
from aicore_obs.observer import CallableExporter, observer


@contextmanager
def observing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[aicore_obs.LlmOperationCollector]:
    """The default collector on a database in ``directory``, and an observer that knows nothing yet."""
    monkeypatch.chdir(directory)
    monkeypatch.delenv("LLM_OBS_OUT", raising=False)
    collector = aicore_obs.configure(db_url=f"sqlite:///{directory}/calls.db")
    try:
        yield collector
    finally:
        observer.reset()
        aicore_obs.get_collector().close()


def exported(**options: Any) -> dict[str, Any]:
    """Flush, and return the export."""
    found: dict[str, Any] = observer.flush(exporter=CallableExporter(lambda document: document), **options)
    return found
