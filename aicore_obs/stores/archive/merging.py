"""This module is where rows that come in order from several places become one order, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import polars as pl

Frames = Iterator[pl.DataFrame]
# time, id
_Key = tuple[datetime, str]
KEY = ("timestamp", "operation_id")


class Strand:
    """Rows of one place, in order. ``start`` is no later than the first of them (in a falling order: no earlier)."""

    def __init__(self, start: datetime, frames: Callable[[], Frames]) -> None:
        self.start = start
        self._open = frames
        self._frames: Frames | None = None
        self.head: pl.DataFrame | None = None

    @property
    def is_open(self) -> bool:
        """Whether something was read."""
        return self._frames is not None

    def pull(self) -> bool:
        """Read until there is a row at hand; return whether there is one."""
        if self._frames is None:
            self._frames = self._open()
        while self.head is None or not self.head.height:
            self.head = next(self._frames, None)
            if self.head is None:
                return False
        return True

    def end(self) -> _Key:
        """Return the key of the last row at hand."""
        return _key(self._at_hand(), -1)

    def take(self, until: _Key, *, falling: bool) -> pl.DataFrame:
        """Take the rows at hand that come no later than a key."""
        head = self._at_hand()
        when, operation_id = pl.col(KEY[0]), pl.col(KEY[1])
        same = (when == until[0]) & ((operation_id >= until[1]) if falling else (operation_id <= until[1]))
        within = (when > until[0]) if falling else (when < until[0])
        count = int(head.select((within | same).sum()).item())
        self.head = head[count:]
        return head[:count]

    def _at_hand(self) -> pl.DataFrame:
        if self.head is None:
            raise AssertionError("pull first")
        return self.head


def merged(strands: Sequence[Strand], *, falling: bool) -> Frames:
    """Yield the rows of all strands in the order of their times and ids; what comes late is opened late."""
    waiting = sorted(strands, key=lambda strand: strand.start, reverse=falling)
    live: list[Strand] = []
    while live or waiting:
        live = [strand for strand in live if strand.pull()]
        until = _first_end(live, falling=falling)
        while waiting and (until is None or _is_due(waiting[0].start, until[0], falling=falling)):
            strand = waiting.pop(0)
            if strand.pull():
                live.append(strand)
                until = _first_end(live, falling=falling)
        if until is not None:
            yield _in_order([strand.take(until, falling=falling) for strand in live], falling=falling)


def _first_end(live: Sequence[Strand], *, falling: bool) -> _Key | None:
    """Return the key up to which every strand has its rows at hand."""
    ends = [strand.end() for strand in live]
    return (max if falling else min)(ends, default=None)


def _is_due(start: datetime, until: datetime, *, falling: bool) -> bool:
    return start >= until if falling else start <= until


def _in_order(parts: Sequence[pl.DataFrame], *, falling: bool) -> pl.DataFrame:
    some = [part for part in parts if part.height]
    if len(some) == 1:
        return some[0]
    return pl.concat(some).sort(KEY, descending=falling)


def _key(frame: pl.DataFrame, index: int) -> _Key:
    return frame[KEY[0]][index], frame[KEY[1]][index]
