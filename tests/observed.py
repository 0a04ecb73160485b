"""This module is where tests observe: a default collector in an empty directory, and what the export says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import aicore_obs
from aicore_obs import default, descriptions
from aicore_obs.observer import CallableExporter, observer


@contextmanager
def as_a_program(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is configured for the process, and watched in it, is nothing at first, and ends as with the process."""
    monkeypatch.setattr(default, "_default", default._Default())
    monkeypatch.setattr(descriptions, "_registered", {})
    try:
        yield
    finally:
        observer.reset()
        descriptions._registered.clear()
        for looked_up in (descriptions.registry, descriptions._by_name, descriptions.server_of):
            looked_up.cache_clear()
        if default._default.collector is not None:
            default._default.collector.close()


@contextmanager
def observing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[aicore_obs.LlmOperationCollector]:
    """The default collector on a database in ``directory``, and an observer that knows nothing yet."""
    monkeypatch.chdir(directory)
    monkeypatch.delenv("LLM_OBS_OUT", raising=False)
    with as_a_program(monkeypatch):
        yield aicore_obs.configure(db_url=f"sqlite:///{directory}/calls.db")


def exported(**options: Any) -> dict[str, Any]:
    """Flush, and return the export."""
    found: dict[str, Any] = observer.flush(exporter=CallableExporter(lambda document: document), **options)
    return found
