"""This module is where a record waits: an append-only journal, on disk or (``durability="memory"``) in memory.

``append`` runs on callers' threads and is one ``write``; everything else runs on the writer's loop. Once ``append`` has
returned True the record is in the operating system's hands and outlives the process.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from aicore_obs.model.ids import utc_now
from aicore_obs.model.record import FIRST_VERSION
from aicore_obs.pipeline.allowance import Allowance
from aicore_obs.pipeline.appending import Appender
from aicore_obs.pipeline.chunk import Chunk, read_chunk
from aicore_obs.pipeline.owners import FILE_MODE, START, Owner, Position, give_mode
from aicore_obs.pipeline.segment import SEGMENT_FORMAT, Piece, SegmentHeader, frame, segment_start, split

# How often somebody else's append is waited for with a sleep of nothing, some 60 µs: an append takes less, at its turn.
_PATIENCE = 10
_OPEN_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)


class Refused(msgspec.Struct, frozen=True):
    """Why a record was not taken."""

    reason: str
    detail: str = ""


FULL = Refused("journal_full")
CLOSED = Refused("closed")


class FileJournal:
    """The journal of one road on disk."""

    def __init__(
        self, owner: Owner, *, header: SegmentHeader, allowance: Allowance, file_mode: int = FILE_MODE
    ) -> None:
        self.owner = owner
        self._header = segment_start(header)
        self._allowance = allowance
        self._segment_bytes = allowance.segment_bytes
        self._file_mode = file_mode
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._appender = Appender()
        self._fd = -1
        self._number = 0
        self._size = 0
        self._synced: Position = START
        self._refusal: Refused | None = None
        # Segment, size, count and bytes before the append that is under way; not None after one that was interrupted.
        self._before: tuple[int, int, int, int] | None = None
        self._count = 0
        self.bytes = 0

    def append(self, line: bytes) -> Refused | None:
        """Append one record; None when it is in, else why not. Never waits but for another ``append``."""
        data = frame(line)
        size = len(data)
        # Who waits in the lock itself has it before it has its turn, and makes all others wait for that.
        for _ in range(_PATIENCE):
            if not self._lock.locked():
                break
            time.sleep(0)
        with self._lock:
            if self._refusal is not None:
                return self._refusal
            if self._before is not None:
                self._settle(*self._before)
            if not self._allowance.admits(self.bytes, size):
                return FULL
            self._before = (self._number, self._size, self._count, self.bytes)
            try:
                if self._size + size > self._segment_bytes or self._fd < 0:
                    self._rotate()
                self._appender.append(self._fd, data, self._size)
            except OSError as error:
                self._before = None
                return Refused("journal_error", f"{type(error).__name__}: {error.strerror}")
            self._size += size
            self.bytes += size
            self._count += 1
            self._before = None
        return None

    def _settle(self, number: int, size: int, count: int, held: int) -> None:
        """Make the numbers true again after an append that an interrupt (Ctrl-C) has left in the middle.

        What of it is on the disk as a whole frame is accepted, though its caller never saw the id; the rest goes.
        """
        for stray in self.owner.segments():
            if stray > self._number:
                self.owner.segment(stray).unlink()
        if self._number != number:
            size = len(self._header)
            held += size
        pieces: list[Piece] = []
        if self._fd >= 0:
            with self.owner.segment(self._number).open("rb") as file:
                file.seek(size)
                pieces = [piece for piece in split(file.read(), final=True) if piece.line is not None]
            end = size + (pieces[-1].end if pieces else 0)
            os.ftruncate(self._fd, end)
            held, size = held + end - size, end
        self._size, self._count, self.bytes = size, count + len(pieces), held
        self._before = None

    def _rotate(self) -> None:
        """Close the segment that is full and start the next. The caller holds the lock."""
        path = self.owner.segment(self._number + 1)
        fd = os.open(path, _OPEN_FLAGS, self._file_mode)
        try:
            give_mode(fd, self._file_mode)
            self._appender.append(fd, self._header, 0)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        # In this order: an interrupt in between leaks a descriptor, but never leaves us with a closed one.
        full, self._fd, self._number, self._size = self._fd, fd, self._number + 1, len(self._header)
        self.bytes += self._size
        if full >= 0:
            os.close(full)

    def sync(self) -> Refused | None:
        """Wait until everything appended so far is on the disk itself; callers share one fsync (group commit)."""
        wanted = self.end()
        with self._sync_lock:
            if self._synced >= wanted:
                return None
            with self._lock:
                now = self.end()
                # Closed by `trim`: every sink has everything.
                fd = os.dup(self._fd) if self._fd >= 0 else -1
            if fd < 0:
                return None
            try:
                os.fsync(fd)
                if now[0] != self._synced[0]:
                    self._sync_older(self._synced[0], now[0])
            except OSError as error:
                return Refused("fsync_error", f"{type(error).__name__}: {error.strerror}")
            finally:
                os.close(fd)
            self._synced = now
        return None

    def _sync_older(self, last: int, current: int) -> None:
        """Bring segments that were closed since the last sync, and their names, to the disk."""
        paths = [self.owner.segment(number) for number in self.owner.segments() if last <= number < current]
        # Only POSIX systems can open a directory to sync the names in it.
        folders = [self.owner.path, self.owner.path.parent] if os.name == "posix" else []
        for path in [*paths, *folders]:
            # A segment that is gone meanwhile has arrived everywhere.
            with suppress(FileNotFoundError):
                _sync_file(path)

    def end(self) -> Position:
        return (self._number, self._size)

    def mark(self) -> tuple[Position, int]:
        """Return the end and the number of records appended so far, both of one moment."""
        with self._lock:
            if self._before is not None:
                self._settle(*self._before)
            return self.end(), self._count

    def read(self, at: Position, max_bytes: int) -> Chunk:
        return read_chunk(self.owner, at, self.end(), max_bytes)

    def trim(self, passed: Position) -> None:
        """Delete the segments that every sink has passed; the current one too when it is passed and has grown."""
        with self._lock:
            if self._fd >= 0 and passed >= self.end() and self._size > self._allowance.segment_bytes // 4:
                os.close(self._fd)
                self._fd = -1
                # The next append makes a new segment; until then the journal ends at the start of that one.
                passed = (self._number + 1, 0)
        for number in self.owner.segments():
            if number < passed[0]:
                path = self.owner.segment(number)
                size = path.stat().st_size
                path.unlink(missing_ok=True)
                with self._lock:
                    self.bytes -= size
        self._allowance.freed()

    def heal(self) -> None:
        """Go on in a folder of our own where somebody has deleted it: what was in it is lost, what comes is not."""
        with self._lock:
            whole = self.owner.is_whole()
            if whole and (self._fd < 0 or self.owner.segment(self._number).exists()):
                return
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            if not whole:
                self.owner = Owner.create(self.owner.path.parent, file_mode=self._file_mode)
                self._allowance.ours = self.owner.path
            self.bytes = 0

    def seal(self) -> None:
        """Accept nothing any more."""
        with self._lock:
            self._refusal = CLOSED

    def close(self, *, remove: bool) -> None:
        """Close the files; ``remove`` when everything has arrived, else what is left waits for the next start."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
        if remove:
            self.owner.remove()
        else:
            self.owner.release()

    def forget(self) -> None:
        """In a forked child: let go of the parent's files without touching what they stand for."""
        self._lock = threading.Lock()
        self._refusal = Refused("forked")
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class MemoryJournal:
    """A journal that ends with the process; chosen by ``durability="memory"`` or where no disk can be written."""

    def __init__(self, *, allowance: Allowance) -> None:
        self._allowance = allowance
        self._lock = threading.Lock()
        self._lines: deque[bytes] = deque()
        self._first = 0
        self._refusal: Refused | None = None
        self._count = 0
        self.bytes = 0

    def append(self, line: bytes) -> Refused | None:
        """Append one record; None when it is in, else why not."""
        with self._lock:
            if self._refusal is not None:
                return self._refusal
            if not self._allowance.admits(self.bytes, len(line)):
                return FULL
            self._lines.append(line)
            self._count += 1
            self.bytes += len(line)
        return None

    def sync(self) -> Refused | None:
        """There is nothing to wait for."""
        return None

    def end(self) -> Position:
        return (0, self._first + len(self._lines))

    def mark(self) -> tuple[Position, int]:
        """Return the end and the number of records appended so far, both of one moment."""
        with self._lock:
            return self.end(), self._count

    def read(self, at: Position, max_bytes: int) -> Chunk:
        lines: list[bytes] = []
        size = 0
        with self._lock:
            start = max(at[1], self._first)
            while size < max_bytes and start + len(lines) < self._first + len(self._lines):
                lines.append(self._lines[start + len(lines) - self._first])
                size += len(lines[-1])
        ends = [(0, start + count + 1) for count in range(len(lines))]
        return Chunk(lines, ends, (), ends[-1] if ends else at)

    def trim(self, passed: Position) -> None:
        with self._lock:
            while self._first < passed[1] and self._lines:
                self.bytes -= len(self._lines.popleft())
                self._first += 1
        self._allowance.freed()

    def heal(self) -> None:
        """Nobody else can delete what is here."""

    def seal(self) -> None:
        """Accept nothing any more."""
        with self._lock:
            self._refusal = CLOSED

    def close(self, *, remove: bool) -> None:
        """Nothing is left behind, whatever ``remove`` says."""

    def forget(self) -> None:
        """In a forked child: the records are the parent's; the child's copy goes."""
        self._lines.clear()


class LeftJournal:
    """The journal of a dead process, read to its end by whoever holds its lock."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        numbers = owner.segments()
        self._end: Position = (numbers[-1], owner.segment(numbers[-1]).stat().st_size) if numbers else START

    def end(self) -> Position:
        return self._end

    def read(self, at: Position, max_bytes: int) -> Chunk:
        return read_chunk(self.owner, at, self._end, max_bytes)

    def trim(self, passed: Position) -> None:
        for number in self.owner.segments():
            if number < passed[0]:
                self.owner.segment(number).unlink(missing_ok=True)


def _sync_file(path: Path) -> None:
    # Where a file must be open for writing to be synced (Windows), no folder gets here.
    fd = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def header_of(
    fingerprint: str,
    sinks: Sequence[str],
    processors: Sequence[str] = (),
    *,
    external: bool = False,
    max_bytes: int = 0,
) -> SegmentHeader:
    """Return the header of the segments that this process writes."""
    return SegmentHeader(
        format=SEGMENT_FORMAT,
        codec=FIRST_VERSION,
        fingerprint=fingerprint,
        sinks=tuple(sinks),
        pid=os.getpid(),
        host=platform.node(),
        created=utc_now().isoformat(),
        processors=tuple(processors),
        external=external,
        max_bytes=max_bytes,
    )
