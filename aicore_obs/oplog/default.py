"""This module is where the tracer of a process is kept, and the words that need no tracer in hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

from aicore_obs.assembly import DoorOptions
from aicore_obs.errors import NotOpenError
from aicore_obs.oplog.builder import Operation
from aicore_obs.oplog.database import Database
from aicore_obs.oplog.runs import Run
from aicore_obs.oplog.tracer import Tracer
from aicore_obs.pipeline.forks import ForkLock
from aicore_obs.pipeline.stats import FlushResult


class _Default:
    """The tracer that ``op``, ``run`` and ``db`` use."""

    def __init__(self) -> None:
        self.lock = ForkLock()
        self.tracer: Tracer | None = None

    def get(self) -> Tracer:
        if self.tracer is None:
            raise NotOpenError(
                'nothing is configured yet: call configure(project="my_project", backend="sqlite:///traces.db") first'
            )
        return self.tracer


_default = _Default()


def configure(project: str | None = None, backend: str | Path | None = None, **options: Unpack[DoorOptions]) -> Tracer:
    """Say where ``op``, ``run`` and ``db`` work, see :class:`Tracer`; what was there before is flushed and closed."""
    tracer = Tracer(project, backend, **options)
    with _default.lock.here:
        old, _default.tracer = _default.tracer, tracer
    if old is not None:
        old.close()
    return tracer


def op(operation: str) -> Operation:
    """Start to describe an operation.

    Raises:
        NotOpenError: :func:`configure` was not called; a RuntimeError, too.
    """
    return _default.get().op(operation)


def run(run_id: str | None = None, **metadata: Any) -> Run:
    """Return a run, for ``with`` or ``async with``; see :meth:`Tracer.run`.

    Raises:
        NotOpenError: :func:`configure` was not called; a RuntimeError, too.
    """
    return _default.get().run(run_id, **metadata)


def flush(timeout_s: float = 30) -> FlushResult:
    """Bring everything that was saved into the store, and return the truth about it in time."""
    return _default.get().flush(timeout_s)


async def aflush(timeout_s: float = 30) -> FlushResult:
    """Do as :func:`flush`; other tasks run meanwhile."""
    return await _default.get().aflush(timeout_s)


def close(timeout_s: float = 10) -> FlushResult | None:
    """Flush and end what :func:`configure` began; ``op``, ``run`` and ``db`` need it again then."""
    with _default.lock.here:
        old, _default.tracer = _default.tracer, None
    return None if old is None else old.close(timeout_s)


db = Database(_default.get)
