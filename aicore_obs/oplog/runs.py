"""This module is where runs are: which one a piece of the program is in, and how the operations in it are numbered."""

from __future__ import annotations

import itertools
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ParamSpec, Protocol, Self, TypeVar

from aicore_obs.context import carried
from aicore_obs.errors import ConfigurationError
from aicore_obs.model.ids import new_id
from aicore_obs.pipeline.forks import ForkLock
from aicore_obs.pipeline.portal import in_thread

P = ParamSpec("P")
T = TypeVar("T")
# Runs whose numbering is remembered; that of an older one is read from the store again.
MAX_REMEMBERED = 10_000


class Traces(Protocol):
    """What a run needs of its tracer."""

    @property
    def place(self) -> tuple[str, ...]:
        """Where the operations go, with the project: runs of one id there are one run."""

    def next_seq(self, run_id: str) -> int:
        """Return the number after the highest that the store has of a run; never raises."""

    def tell(self, run: Run, *, ended: bool, error: BaseException | None = None) -> None:
        """Record that a run was entered or left; never raises."""


class Run:
    """A run in progress: operations saved in its block have its id, and are numbered from 0.

    For ``with`` and ``async with``, may be entered again, and by several tasks and threads. Made by ``run()``.
    """

    def __init__(self, tracer: Traces, run_id: str | None, metadata: Mapping[str, Any]) -> None:
        if run_id is not None and (not isinstance(run_id, str) or not run_id):
            raise ConfigurationError(f"run({run_id!r}): an id is text that is not empty; without one, one is made")
        self.tracer = tracer
        self.id = new_id() if run_id is None else run_id
        self.metadata = dict(metadata)
        self.parent: Run | None = None
        self._numbers: Iterator[int] | None = None
        if run_id is None:
            self._numbers = _numberings.of(self, lambda: 0)

    def next_seq(self) -> int:
        """Return the next number of this run."""
        if self._numbers is None:
            # Once for each run of this process, and not again when it is entered again.
            self._numbers = _numberings.of(self, lambda: self.tracer.next_seq(self.id))
        return next(self._numbers)

    def __enter__(self) -> Self:
        if self._numbers is None:
            self._numbers = _numberings.of(self, lambda: self.tracer.next_seq(self.id))
        return self._entered()

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        stack = _stack.get()
        places = [place for place, run in enumerate(stack) if run is self]
        if places:
            _stack.set((*stack[: places[-1]], *stack[places[-1] + 1 :]))
        self.tracer.tell(self, ended=True, error=error)

    async def __aenter__(self) -> Self:
        if self._numbers is None:
            self._numbers = await in_thread(_numberings.of, self, lambda: self.tracer.next_seq(self.id))
        return self._entered()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _entered(self) -> Self:
        self.parent = current_run(self.tracer)
        # A tuple in a variable, and no token: one run may be entered by many tasks, and left in another context.
        _stack.set((*_stack.get(), self))
        self.tracer.tell(self, ended=False)
        return self


_stack: ContextVar[tuple[Run, ...]] = ContextVar("aicore_obs_oplog_runs", default=())


def current_run(tracer: Traces) -> Run | None:
    """Return the innermost run of a tracer that this task or thread is in."""
    for run in reversed(_stack.get()):
        if run.tracer is tracer:
            return run
    return None


def carry(work: Callable[P, T]) -> Callable[P, T]:
    """Return ``work`` so that it runs in the context of now, its run included, on whatever thread it is called.

    ``executor.submit(carry(work), …)`` or ``Thread(target=carry(work))``; asyncio carries the context by itself.
    """
    return carried(work)


class _Numberings:
    """The numbering of every run that this process was in lately."""

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._known: OrderedDict[tuple[Any, ...], Iterator[int]] = OrderedDict()

    def of(self, run: Run, start: Callable[[], int]) -> Iterator[int]:
        """Return the numbering of a run; ``start`` is asked where this process does not know the run."""
        # A forked child numbers by what is stored, as any other process does.
        key = (os.getpid(), *run.tracer.place, run.id)
        with self._lock.here:
            found = self._known.get(key)
        if found is not None:
            return found
        counted = itertools.count(start())
        with self._lock.here:
            found = self._known.setdefault(key, counted)
            self._known.move_to_end(key)
            while len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
        return found


_numberings = _Numberings()
