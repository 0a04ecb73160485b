"""This module is where the elements of a JSON file are found, beside a writer that goes on and past damaged lines.

The file is append-only but for its last bytes: the writer overwrites the closing bracket. So, under the file's lock,
only the length and the last bytes are taken; everything before stays as it is and is read without the lock.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from aicore_obs.errors import StoreDamagedError, StoreNotFoundError
from aicore_obs.model import codec
from aicore_obs.model.record import Record

LOCK_TIMEOUT_S = 10.0
# More than the longest ending that a writer may overwrite.
_TAIL_BYTES = 64
_WINDOW_BYTES = 1 << 16
_python_decoder = json.JSONDecoder()
_log = logging.getLogger("aicore_obs")

# offset and length of an element
Place = tuple[int, int]


class JsonElements:
    """The elements of one file. ``damaged`` counts what could not be read at the last look."""

    def __init__(self, path: Path, *, lines_only: bool) -> None:
        self._path = path
        self._lines_only = lines_only
        self.damaged = 0

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Open the file as it is now.

        Raises:
            StoreNotFoundError: there is no file.
        """
        if not self._path.exists():
            raise StoreNotFoundError(
                f"there is no file {self._path}; reading never creates one: check the path, or record something first"
            )
        with self._path.open("rb") as file:
            with self._locked():
                length = file.seek(0, os.SEEK_END)
                file.seek(max(0, length - _TAIL_BYTES))
                tail = file.read(length - file.tell())
            yield Snapshot(file, tail, length=length)

    def records(self, snapshot: Snapshot) -> Iterator[tuple[Place, Record]]:
        """Yield every record with its place. What cannot be read is passed over, counted, and logged once.

        Raises:
            StoreDamagedError: the file is not an array, or nothing in it is a record.
        """
        for place, record in self.elements(snapshot):
            if isinstance(record, Record):
                yield place, record

    def elements(self, snapshot: Snapshot) -> Iterator[tuple[Place, Record | Newer | None]]:
        """Yield every element with its place, those too that are no record of this program; else as :meth:`records`."""
        if not self._lines_only and snapshot.first_byte() not in (b"", b"["):
            raise StoreDamagedError(
                f"{self._path} is not a JSON array; a file of JSON lines is named .jsonl or .ndjson"
            )
        known, damaged = 0, list[Place]()
        for place, record in snapshot.elements():
            known += record is not None
            yield place, record
            if record is None:
                damaged.append(place)
        # A single torn line at the end is what a crash leaves of a first record.
        if damaged and not known and damaged != [snapshot.last_line()]:
            raise StoreDamagedError(f"{self._path} holds no record that can be read; name another file or restore it")
        self._report(damaged)

    def _report(self, damaged: list[Place]) -> None:
        if damaged and len(damaged) != self.damaged:
            _log.warning(
                "%s: passed over %d damaged lines, the first at byte %d", self._path, len(damaged), damaged[0][0]
            )
        self.damaged = len(damaged)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(f"{self._path}.lock", timeout=LOCK_TIMEOUT_S)
        try:
            lock.acquire()
        except (Timeout, OSError) as error:
            # A folder that we may not write to, or a writer that hangs: a torn last line is the worst that can come.
            _log.warning("reading %s without its lock: %s", self._path, error)
        try:
            yield
        finally:
            lock.release()


class Snapshot:
    """The file as it was at one moment: its length and its last bytes are kept, the rest does not change."""

    def __init__(self, file: BinaryIO, tail: bytes, *, length: int) -> None:
        self._file = file
        self._tail = tail
        self._body = length - len(tail)
        self._length = length

    def first_byte(self) -> bytes:
        """Return the first byte that is no space; none in a file without content."""
        offset = 0
        while offset < self._length:
            data = self.read(offset, _WINDOW_BYTES).lstrip()
            if data:
                return data[:1]
            offset += _WINDOW_BYTES
        return b""

    def holds(self, text: bytes) -> bool:
        """Return whether a short text stands anywhere in the file."""
        starts = range(0, self._length, _WINDOW_BYTES)
        return any(text in self.read(start, _WINDOW_BYTES + len(text)) for start in starts)

    def last_line(self) -> Place | None:
        """Return the place of the last line when no newline ends it."""
        place = None
        offset = 0
        while offset < self._length:
            line = self._line(offset)
            place = None if line.endswith(b"\n") else self._bare(offset, line)
            offset += len(line)
        return place

    def elements(self) -> Iterator[tuple[Place, Record | Newer | None]]:
        """Yield each element: a record, :data:`NEWER` for one of a newer program, None for what is none."""
        offset = 0
        while offset < self._length:
            line = self._line(offset)
            place = start, size = self._bare(offset, line)
            offset += len(line)
            if not size:
                continue
            record = _record(line[start - offset + len(line) :][:size])
            if record is None and (longer := self._element_at(start)):
                # An array that another program has written: an element of several lines, or several on one line.
                place, offset = longer, sum(longer)
                record = _record(self.read(*longer))
            yield place, record

    def read(self, offset: int, size: int) -> bytes:
        """Return the bytes of one place."""
        self._file.seek(offset)
        data = self._file.read(max(0, min(size, self._body - offset)))
        if len(data) == size:
            return data
        start = max(0, offset - self._body)
        return data + self._tail[start : start + size - len(data)]

    def _line(self, offset: int) -> bytes:
        line = b""
        if offset < self._body:
            self._file.seek(offset)
            line = self._file.readline(self._body - offset)
            if line.endswith(b"\n"):
                return line
        start = offset + len(line) - self._body
        end = self._tail.find(b"\n", start)
        return line + self._tail[start : len(self._tail) if end < 0 else end + 1]

    def _bare(self, offset: int, line: bytes) -> Place:
        """Return where the element of a line is, without the brackets and commas around it."""
        kept = line.lstrip(b"[, \t\r\n")
        return offset + len(line) - len(kept), len(kept.rstrip(b"], \t\r\n"))

    def _element_at(self, offset: int) -> Place | None:
        """Return the place of the whole JSON object that begins here, however many lines it takes."""
        size = _WINDOW_BYTES
        while True:
            text = self.read(offset, size).decode("utf-8", "surrogateescape")
            try:
                _, end = _python_decoder.raw_decode(text)
                return offset, len(text[:end].encode("utf-8", "surrogateescape"))
            except json.JSONDecodeError as error:
                cut_off = error.pos > len(text) - 16 or error.msg.startswith("Unterminated string")
                if not cut_off or offset + size >= self._length:
                    return None
            except RecursionError:
                return None
            size *= 8


class Newer:
    """An element that a newer program wrote."""


NEWER = Newer()


def _record(line: bytes) -> Record | Newer | None:
    try:
        # The codec passes over payloads, so that it does not see what is no UTF-8 in them.
        line.decode()
        return codec.decode(line)
    except codec.UnknownCodecError:
        return NEWER
    except ValueError:
        return None
