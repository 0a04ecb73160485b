"""This module is where the next records of a journal are made ready for one sink: read, decoded, processed, sorted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import msgspec

from aicore_obs.pipeline.chunk import Source
from aicore_obs.pipeline.dead_letters import DeadLetter, for_damage, for_record
from aicore_obs.pipeline.owners import Position, SinkPosition
from aicore_obs.pipeline.processors import Prepared, prepare
from aicore_obs.protocols import Processor

# How long records are prepared before the interpreter lock is given up. A sleep of nothing takes some 60 µs (the
# kernel's timer slack), which lets a thread in that has waited for the lock; one in 400 µs is noticed by nobody, and an
# application's loop waits for less than half a millisecond.
SLICE_S = 0.0004
DEAD = ""


class Ready(msgspec.Struct, kw_only=True):
    """A batch that is decoded and processed; it shrinks as its records are settled. ``next`` is the place after it.

    ``aside`` are the places of the records that are not written, each with the reason why it is dropped, or ``DEAD``.
    """

    start: Position
    next: Position
    letters: list[DeadLetter]
    dropped: list[str]
    aside: list[tuple[Position, str]]
    todo: list[list[tuple[Prepared, Position]]]
    newer: bool

    def count_until(self, at: Position, position: SinkPosition) -> None:
        """Count what is not written, and stands before ``at``, where the position is kept: each once, whoever dies."""
        for _, reason in (one for one in self.aside if one[0] <= at):
            if reason == DEAD:
                position.dead_lettered += 1
            else:
                position.drop(reason, 1)
        self.aside = [one for one in self.aside if one[0] > at]


def made_ready(
    sink: str, source: Source, at: Position, processors: Sequence[Processor], *, max_bytes: int, max_records: int
) -> Ready:
    """Return the next records of a source, ready to be written."""
    chunk = source.read(at, max_bytes)
    lines = chunk.lines[:max_records]
    ends = list(chunk.ends[:max_records])
    whole = len(lines) == len(chunk.lines)
    prepared = list(_prepared(lines, processors))
    newer = next((index for index, one in enumerate(prepared) if one.newer), None)
    if newer is not None:
        # Written by a newer program: leave it and what follows for that one.
        prepared, ends, whole = prepared[:newer], ends[:newer], False
    stop = chunk.next if whole else (ends[-1] if ends else at)
    failed = [
        (end, for_record(sink, "processor", said(one.failed), line))
        for line, one, end in zip(lines, prepared, ends, strict=False)
        if one.failed is not None
    ]
    failed += [
        (end, for_damage(sink, "damaged", "no whole frame in the journal", piece))
        for end, piece in chunk.damaged
        if end <= stop
    ]
    dropped = [(end, one.dropped) for one, end in zip(prepared, ends, strict=True) if one.dropped is not None]
    rows = [(one, end) for one, end in zip(prepared, ends, strict=True) if one.record is not None]
    return Ready(
        start=at,
        next=stop,
        letters=[letter for _, letter in failed],
        dropped=[reason for _, reason in dropped],
        aside=[*dropped, *((end, DEAD) for end, _ in failed)],
        todo=[rows] if rows else [],
        newer=newer is not None,
    )


def _prepared(lines: Sequence[bytes], processors: Sequence[Processor]) -> Iterator[Prepared]:
    """Yield each line prepared, and give up the interpreter lock in between: the application goes first."""
    first, others = processors[0], processors[1:]
    until = time.perf_counter() + SLICE_S
    for line in lines:
        yield prepare(line, first, others)
        if time.perf_counter() >= until:
            time.sleep(0)
            until = time.perf_counter() + SLICE_S


def said(error: BaseException | None) -> str:
    """Return what an error says; of a group of them, the first."""
    if isinstance(error, BaseExceptionGroup):
        return said(error.exceptions[0])
    return f"{type(error).__name__}: {error}" if error is not None else "unknown"
