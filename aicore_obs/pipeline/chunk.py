"""This module is where a piece of a journal is read back out of its segments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from aicore_obs.pipeline.owners import Owner, Position
from aicore_obs.pipeline.segment import MAGIC, Piece, split

READ_BYTES = 256 * 1024


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """A piece of a journal: the texts of records in order, the damage between them, where to go on.

    ``ends[i]`` is the position after ``lines[i]``; each damaged piece comes with the position after it.
    """

    lines: Sequence[bytes]
    ends: Sequence[Position]
    damaged: Sequence[tuple[Position, bytes]]
    next: Position

    def count_after(self, at: Position) -> int:
        """Return how many records and damaged pieces stand behind a position."""
        return sum(end > at for end in self.ends) + sum(end > at for end, _ in self.damaged)


class Source(Protocol):
    """Something that records can be read from: our own journal, or one that a dead process left."""

    def end(self) -> Position:
        """Return the position after the last whole record."""

    def read(self, at: Position, max_bytes: int) -> Chunk:
        """Return the next records from ``at``, about ``max_bytes`` of them, at least one when there is one."""

    def trim(self, passed: Position) -> None:
        """Forget everything before ``passed``: every sink has it."""


def read_chunk(owner: Owner, at: Position, end: Position, max_bytes: int = READ_BYTES) -> Chunk:
    """Read the next records of an owner's segments, from one segment at a time."""
    for number in owner.segments():
        if number < at[0] or (number, 0) >= end:
            continue
        offset = max(at[1], len(MAGIC)) if number == at[0] else len(MAGIC)
        chunk = _read_segment(owner.segment(number), number, offset, end, max_bytes)
        if chunk is not None:
            return chunk
    return Chunk((), (), (), end)


def _read_segment(path: Path, number: int, offset: int, end: Position, max_bytes: int) -> Chunk | None:
    """Read from one segment; None when nothing is left in it."""
    limit = end[1] if number == end[0] else path.stat().st_size
    wanted = max(max_bytes, 1024)
    while offset < limit:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(min(wanted, limit - offset))
        if not data:
            # Somebody has cut the file; there is nothing here to wait for.
            return None
        pieces = split(data, final=offset + len(data) >= limit)
        if pieces:
            return _chunk(number, offset, pieces)
        # One record is larger than what was read.
        wanted *= 4
    return None


def _chunk(number: int, offset: int, pieces: Sequence[Piece]) -> Chunk:
    """Sort the pieces of one segment; its first frame is the header and no record."""
    if offset == len(MAGIC) and pieces[0].line is not None:
        start, pieces = pieces[0].end, pieces[1:]
    else:
        start = 0
    whole = [piece for piece in pieces if piece.line is not None]
    return Chunk(
        lines=[piece.line for piece in whole if piece.line is not None],
        ends=[(number, offset + piece.end) for piece in whole],
        damaged=[((number, offset + piece.end), piece.damaged) for piece in pieces if piece.line is None],
        next=(number, offset + (pieces[-1].end if pieces else start)),
    )
