"""This module is where the journal of a living process is read by another one, while its owner goes on appending.

The owner takes no notice. What makes that safe: frames are appended in order, each with its checksum, so that a frame
that is not whole yet is not there yet; and a segment has got its last record when the next one has its first.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from pathlib import Path

from aicore_obs.pipeline.chunk import Chunk, read_chunk
from aicore_obs.pipeline.owners import Owner, Position
from aicore_obs.pipeline.segment import MAGIC, Piece, holds_records, split

# How much one look takes in: what has piled up while nobody delivered is counted bit by bit.
LOOK_BYTES = 8 * 1024 * 1024
_SCAN_BYTES = 1024 * 1024
# Damage in a segment that is still written is believed when it is the same after this long.
_DOUBT_S = 0.05


class LivingJournal:
    """A source that grows; :meth:`look` says by how much. After :meth:`finish` its owner is dead and it is complete."""

    def __init__(self, owner: Owner, at: Position) -> None:
        self.owner = owner
        self._end = at
        self._finished = False
        # Where damage was met in a segment that is still written, the sum of what was there, and when.
        self._doubt: tuple[Position, int] | None = None
        self._doubted = 0.0

    def end(self) -> Position:
        """Return the position after the last whole record that was seen."""
        return self._end

    def read(self, at: Position, max_bytes: int) -> Chunk:
        return read_chunk(self.owner, at, self._end, max_bytes)

    def trim(self, passed: Position) -> None:
        """Delete the segments before ``passed``: a record stands behind them, so that their owner has left them."""
        for number in self.owner.segments():
            if number < passed[0]:
                self.owner.segment(number).unlink(missing_ok=True)

    def look(self, max_bytes: int = LOOK_BYTES) -> list[Position]:
        """Take in what was appended since, about ``max_bytes`` of it; return the end of each new record.

        A damaged piece counts as a record. Raises OSError when the folder cannot be read.
        """
        if self._is_quiet():
            return []
        ends: list[Position] = []
        seen = 0
        numbers = [number for number in self.owner.segments() if number >= self._end[0]]
        for index, number in enumerate(numbers):
            sealed = self._finished or any(holds_records(self.owner.segment(later)) for later in numbers[index + 1 :])
            while seen < max_bytes:
                size, found = self._look_into(number, sealed=sealed)
                seen += size
                ends += found
                if not size:
                    break
            if seen >= max_bytes or not sealed:
                break
        return ends

    def _is_quiet(self) -> bool:
        """Return whether nothing has been appended since, at the price of two questions to the file system."""
        number, offset = self._end
        try:
            size = self.owner.segment(number).stat().st_size
        except FileNotFoundError:
            return False
        return size == offset and not self.owner.segment(number + 1).exists()

    def look_through(self) -> list[Position]:
        """Take in everything that is there now."""
        ends = self.look()
        while new := self.look():
            ends += new
        return ends

    def finish(self) -> None:
        """The owner is dead: nothing follows any more."""
        self._finished = True

    def _look_into(self, number: int, *, sealed: bool) -> tuple[int, list[Position]]:
        """Take in the next part of one segment; return its size in bytes and the ends of the records in it."""
        path = self.owner.segment(number)
        offset = max(self._end[1], len(MAGIC)) if number == self._end[0] else len(MAGIC)
        pieces = self._pieces(path, number, offset, sealed=sealed)
        if not pieces:
            return 0, []
        records = pieces[1:] if offset == len(MAGIC) and pieces[0].line is not None else pieces
        if not records:
            # A header alone: an owner that is interrupted may take the whole segment back.
            return 0, []
        self._end = (number, offset + pieces[-1].end)
        return pieces[-1].end, [(number, offset + piece.end) for piece in records]

    def _pieces(self, path: Path, number: int, offset: int, *, sealed: bool) -> Sequence[Piece]:
        wanted = _SCAN_BYTES
        while True:
            data, rest = _read(path, offset, wanted)
            pieces = split(data, final=True) if data else []
            if pieces and pieces[-1].line is None and (rest or not sealed):
                # The end of what was read is no end of a frame.
                pieces.pop()
            if pieces or not rest:
                return pieces if sealed else self._trusted(pieces, number, offset)
            # One record is larger than what was read.
            wanted *= 4

    def _trusted(self, pieces: Sequence[Piece], number: int, offset: int) -> Sequence[Piece]:
        """Return the pieces up to damage that was not met before: the owner may be mending it this very moment.

        It cuts a frame that was torn by a full disk, and writes the next one in its place.
        """
        damaged = next((index for index, piece in enumerate(pieces) if piece.line is None), None)
        if damaged is None:
            return pieces
        start = offset + (pieces[damaged - 1].end if damaged else 0)
        met, now = ((number, start), zlib.crc32(pieces[damaged].damaged)), time.monotonic()
        if met != self._doubt:
            self._doubt, self._doubted = met, now
        return pieces[: damaged + (now - self._doubted > _DOUBT_S)]


def _read(path: Path, offset: int, wanted: int) -> tuple[bytes, bool]:
    """Return bytes of a file, and whether more of it follows."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(wanted)
            return data, len(data) == wanted and bool(file.read(1))
    except FileNotFoundError:
        return b"", False
