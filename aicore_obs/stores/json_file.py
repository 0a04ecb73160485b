"""This module is where records are written into a JSON file: an array (``.json``) or lines (``.jsonl``, ``.ndjson``).

An array is one element a line and stays append-only: new elements overwrite its closing bracket, under the file's lock.
There is no unique key in a file. So the length before a batch is noted, and when a batch may have been written before,
the ids from there on are looked at first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import anyio.from_thread
import anyio.to_thread
import msgspec
from filelock import FileLock, Timeout

from aicore_obs.errors import SinkUnavailable
from aicore_obs.model.record import Record
from aicore_obs.protocols import Address, Batch
from aicore_obs.stores import json_deletions
from aicore_obs.stores.deleted import concerned, without_deleted
from aicore_obs.stores.json_form import WINDOW, ArrayForm, Form, LinesForm, read
from aicore_obs.stores.replaced import is_newer

LOCK_TIMEOUT_S = 30.0
TORN_SUFFIX = ".torn"
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)


class _Id(msgspec.Struct):
    id: str
    replaces: bool = False


_id = msgspec.json.Decoder(_Id)


class JsonFile:
    """One JSON file, shared by as many processes as like to. It is opened anew for every batch."""

    def __init__(self, address: Address) -> None:
        if address.path is None:
            raise AssertionError("a JSON address has a path")
        self.name = address.name
        self._path = address.path
        self._form: Form = ArrayForm() if address.kind == "json" else LinesForm()
        self._mode = address.options.file_mode
        self._sync = address.options.sync
        # Work in a thread cannot be stopped, only left behind; what was begun in an earlier turn must not write.
        self._turn = 0

    async def open(self) -> None:
        """Make the file if it is missing, and repair what a crash has torn."""
        await anyio.to_thread.run_sync(self._open, self._next_turn(), abandon_on_cancel=True)

    async def write(self, batch: Batch) -> None:
        """Append the records that the file does not have."""
        turn = self._next_turn()

        def note(value: int) -> None:
            if turn != self._turn:
                raise SinkUnavailable(f"{self._path}: this write was given up")
            batch.note(value)

        def note_on_the_loop(value: int) -> None:
            anyio.from_thread.run_sync(note, value)

        await anyio.to_thread.run_sync(self._write, batch, note_on_the_loop, turn, abandon_on_cancel=True)

    async def aclose(self) -> None:
        """Give up what still waits for the file's lock; nothing is kept open between batches."""
        self._next_turn()

    def _next_turn(self) -> int:
        self._turn += 1
        return self._turn

    @contextmanager
    def whole(self) -> Iterator[int]:
        """Keep everybody else out of the file, which is whole and not torn, for a block; yields its descriptor.

        Raises:
            SinkUnavailable: it is no file of ours, or somebody holds its lock for too long.
        """
        with self._opened(self._turn) as fd:
            self._repaired_end(fd)
            yield fd

    def _open(self, turn: int) -> None:
        with self._opened(turn) as fd:
            self._repaired_end(fd)

    def _write(self, batch: Batch, note: Callable[[int], None], turn: int) -> None:
        with self._opened(turn) as fd:
            end = self._repaired_end(fd)
            deletions = json_deletions.kept_beside(self._path)
            if later := concerned(batch, deletions):
                batch = without_deleted(self.name, batch, later, json_deletions.ids_of(later))
            if batch.noted is None:
                note(end)
                lines: Sequence[bytes] = batch.lines
            else:
                # A file that something has left is another one: what was noted of it says nothing.
                is_same = json_deletions.is_as_written(self._path) and batch.noted <= end
                stored = _versions_from(fd, batch.noted if is_same else 0)
                pairs = zip(batch.records, batch.lines, strict=True)
                lines = [line for record, line in pairs if _version(record, line) not in stored]
            if lines:
                self._append(fd, end, lines)

    def _append(self, fd: int, end: int, lines: Sequence[bytes]) -> None:
        """Write all the lines, or none when the disk is full."""
        data = self._form.joined(lines, first=end == 0 or read(fd, end - 1, 1) == self._form.opening)
        try:
            _write_at(fd, end, data)
            if self._sync:
                os.fsync(fd)
        except OSError:
            # What was there before needs no new space.
            os.ftruncate(fd, end)
            _write_at(fd, end, self._form.closing)
            raise

    def _repaired_end(self, fd: int) -> int:
        """Return where the elements end; a torn tail is moved beside the file first, a missing start written."""
        size = os.fstat(fd).st_size
        start = read(fd, 0, min(size, WINDOW)).lstrip()
        if not start and size <= WINDOW:
            os.ftruncate(fd, 0)
            _write_at(fd, 0, self._form.opening + self._form.closing)
            return len(self._form.opening)
        if not start.startswith(self._form.opening):
            raise SinkUnavailable(f"{self._path} holds no JSON array; name another file, or a .jsonl one for lines")
        end = self._form.find_end(fd, size)
        return self._repair(fd, size) if end is None else end

    def _repair(self, fd: int, size: int) -> int:
        end = self._form.end_of_whole(fd, size)
        self._keep_beside(read(fd, end, size - end))
        os.ftruncate(fd, end)
        seam = self._form.seam if end else b""
        _write_at(fd, end, seam + self._form.closing)
        return end + len(seam)

    def _keep_beside(self, torn: bytes) -> None:
        if not torn.strip(b", \t\r\n"):
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        beside = os.open(f"{self._path}{TORN_SUFFIX}", flags, self._mode)
        try:
            _write_at(beside, 0, torn + b"\n")
        finally:
            os.close(beside)

    @contextmanager
    def _opened(self, turn: int) -> Iterator[int]:
        """Open the file under its lock; nothing of the system's errors comes out untranslated."""
        # A lock for each use: one that is shared lets a second thread in while the first is at work.
        lock = FileLock(f"{self._path}.lock", timeout=LOCK_TIMEOUT_S, thread_local=False, mode=self._mode)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with lock.acquire(cancel_check=lambda: turn != self._turn):
                fd = os.open(self._path, _FLAGS, self._mode)
                try:
                    yield fd
                finally:
                    os.close(fd)
        except Timeout as error:
            raise SinkUnavailable(f"{self._path}: somebody holds {self._path}.lock for too long") from error
        except OSError as error:
            raise SinkUnavailable(f"{self._path}: {error.strerror or error}") from error


def _version(record: Record, line: bytes) -> tuple[str, int]:
    """Return what tells a line from all others: its id, and of newer versions of a record what they say."""
    return record.id, hash(line) if is_newer(record) else 0


def _versions_from(fd: int, start: int) -> set[tuple[str, int]]:
    """Return the versions of the records from an offset on; see :func:`_version`."""
    found: set[tuple[str, int]] = set()
    for line in _lines_from(fd, start):
        bare = line.strip().strip(b",")
        if bare.startswith(b"{"):
            try:
                head = _id.decode(bare)
                found.add((head.id, hash(bare) if head.replaces else 0))
            except msgspec.DecodeError:
                continue
    return found


def _lines_from(fd: int, start: int) -> Iterator[bytes]:
    """Yield the lines from an offset on, without holding more than one of them and a window."""
    rest = b""
    while data := read(fd, start, WINDOW):
        start += len(data)
        *whole, rest = (rest + data).split(b"\n")
        yield from whole
    yield rest


def _write_at(fd: int, start: int, data: bytes) -> None:
    """Write all of ``data``; raises OSError when only a part of it found room."""
    os.lseek(fd, start, os.SEEK_SET)
    view = memoryview(data)
    while view:
        written = os.write(fd, view)
        if written == 0:
            raise OSError("nothing was written")
        view = view[written:]
