"""This module is where the default collector of a process is kept, and how it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from aicore_obs.assembly import CollectorOptions
from aicore_obs.collector import LlmOperationCollector
from aicore_obs.pipeline.forks import ForkLock


class _Default:
    """The default collector of this process, and how it was asked for."""

    def __init__(self) -> None:
        self.lock = ForkLock()
        self.collector: LlmOperationCollector | None = None
        self.make: Callable[[], LlmOperationCollector] = LlmOperationCollector


_default = _Default()


def configure(
    storage_path: str | Path | None = None, db_url: str | None = None, **options: Unpack[CollectorOptions]
) -> LlmOperationCollector:
    """Make the default collector, and close the one that was there."""
    with _default.lock.here:
        old = _default.collector
        _default.make = lambda: LlmOperationCollector(storage_path, db_url, **options)
        _default.collector = collector = _default.make()
    if old is not None:
        old.close()
    return collector


def get_collector() -> LlmOperationCollector:
    """Return the default collector: as configured, else made from the environment; a closed one is made again."""
    with _default.lock.here:
        if _default.collector is None or _default.collector.is_closed:
            _default.collector = _default.make()
        return _default.collector
