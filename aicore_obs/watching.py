"""This module is where those who watch others' calls hand in what they saw: they never wait, and nothing is raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aicore_obs.budgets import Spending
from aicore_obs.capture.fields import positional
from aicore_obs.capture.record import Capture, Captured
from aicore_obs.capture.steps import Step, captured_step
from aicore_obs.context import is_suppressed
from aicore_obs.model import codec
from aicore_obs.model.record import Record
from aicore_obs.pipeline import late
from aicore_obs.pipeline.road import Road
from aicore_obs.seen import Seen, response_id_of


class Watching:
    """One collector's side entrance: for instrumented calls, ``@observe`` and the middleware."""

    def __init__(self, capture: Capture, spending: Spending, road: Road | None) -> None:
        self._capture = capture
        self._spending = spending
        self._road = road
        self.seen = Seen()

    def operation(
        self, completion_args: Any, *args: Any, is_late: bool = False, is_seen: bool = False, **options: Any
    ) -> Captured | None:
        """Offer one operation, the parameters being those of ``record_completion``; None when nothing is recorded.

        ``is_late``: the garbage is being collected, and no lock may be taken. ``is_seen``: the program did not record
        it; what it records of the same answer later joins it.
        """
        call = (completion_args, *positional(*args, **options))
        _, provider, response, _, _ = call[1:]
        response_id = response_id_of(response) if is_seen else None

        def note(line: bytes) -> None:
            self._spending.note(line)
            if response_id is not None:
                self.seen.note(response_id, provider, line)

        return self._offered(lambda: self._capture.operation(*call), note=note, is_late=is_late)

    def step(self, step: Step, *, is_late: bool = False) -> Captured | None:
        """Offer one step; None when nothing is recorded."""
        return self._offered(lambda: captured_step(self._capture, step), is_late=is_late)

    def record(self, record: Record) -> None:
        """Offer a ready record of any kind."""
        self._offered(lambda: Captured(record.id, codec.encode(record), odd=False))

    def _offered(
        self,
        capture: Callable[[], Captured],
        *,
        note: Callable[[bytes], object] | None = None,
        is_late: bool = False,
    ) -> Captured | None:
        road = self._road
        if road is None or is_suppressed():
            return None
        captured = capture()
        if captured.odd:
            road.count_odd()

        def append() -> bool:
            accepted = road.offer(captured.line)
            if accepted and note is not None:
                note(captured.line)
            return accepted

        if is_late:
            late.put(append)
            road.settle_soon()
            return captured
        late.settle()
        return captured if append() else None
