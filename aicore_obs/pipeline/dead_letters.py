"""This module is where records are kept aside that a sink will never take, each with the reason.

One JSON line a record in ``dead-letters.jsonl`` beside the journal's folders, shared by its processes under a lock.
``aicore-obs dead-letters list`` shows them, ``retry`` sends them again.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from filelock import FileLock

from aicore_obs.model.ids import utc_now
from aicore_obs.pipeline.owners import FILE_MODE, give_mode

FILE_NAME = "dead-letters.jsonl"
LOCK_NAME = "dead-letters.lock"
LOCK_TIMEOUT_S = 10.0


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One record that was kept aside for one sink.

    ``record`` is its JSON; bytes that are no record at all (a damaged piece of a segment) are in ``damaged``, base64.
    """

    at: str
    sink: str
    reason: str
    error: str
    id: str | None = None
    record: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    damaged: str | None = None


class _Id(msgspec.Struct):
    id: str | None = None


_id_decoder = msgspec.json.Decoder(_Id)


def for_record(sink: str, reason: str, error: str, line: bytes) -> DeadLetter:
    """Return the dead letter of a record, or of bytes that are no JSON."""
    try:
        record_id = _id_decoder.decode(line).id
    except msgspec.DecodeError:
        return for_damage(sink, reason, error, line)
    return DeadLetter(at=_now(), sink=sink, reason=reason, error=error, id=record_id, record=msgspec.Raw(line))


def for_damage(sink: str, reason: str, error: str, damaged: bytes) -> DeadLetter:
    """Return the dead letter of a damaged piece of the journal."""
    text = base64.b64encode(damaged).decode()
    return DeadLetter(at=_now(), sink=sink, reason=reason, error=error, damaged=text)


class DeadLetters:
    """The dead letters of one journal directory. Methods raise OSError when the disk does not take it."""

    def __init__(self, directory: Path, *, file_mode: int = FILE_MODE) -> None:
        self.path = directory / FILE_NAME
        self._lock_path = directory / LOCK_NAME
        self._file_mode = file_mode

    def add(self, letters: Sequence[DeadLetter]) -> None:
        """Append letters; all of them or, on a full disk, none."""
        data = b"".join(msgspec.json.encode(letter) + b"\n" for letter in letters)
        with self._locked():
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            fd = os.open(self.path, flags, self._file_mode)
            try:
                give_mode(fd, self._file_mode)
                size = os.fstat(fd).st_size
                if size and _byte_at(fd, size - 1) != b"\n":
                    # Somebody died in the middle of a letter.
                    data = b"\n" + data
                try:
                    written = os.write(fd, data)
                except OSError:
                    written = 0
                if written != len(data):
                    os.ftruncate(fd, size)
                    raise OSError(f"no space for {len(letters)} dead letters in {self.path}")
            finally:
                os.close(fd)

    def _locked(self) -> FileLock:
        # One for each use: two sinks that keep letters aside at once are in two threads.
        return FileLock(self._lock_path, timeout=LOCK_TIMEOUT_S, thread_local=False, mode=self._file_mode)

    def all(self) -> list[DeadLetter]:
        """Return the letters, each record once per sink (a crash may have written one twice); torn lines are left."""
        return [letter for letter, _ in self._read()]

    def take(self, wanted: Sequence[tuple[str, str | None]], *, instead: Sequence[DeadLetter] = ()) -> None:
        """Remove the letters of these (sink, record id) pairs; everything else stays, torn lines included.

        ``instead`` are letters that come in their place, in the same step.
        """
        gone = set(wanted)
        with self._locked():
            kept = [line for letter, line in self._parsed() if letter is None or (letter.sink, letter.id) not in gone]
            kept += [msgspec.json.encode(letter) for letter in instead]
            draft = self.path.with_suffix(".new")
            draft.touch(mode=self._file_mode)
            draft.write_bytes(b"".join(line + b"\n" for line in kept))
            os.replace(draft, self.path)
            if not kept:
                self.path.unlink()

    def _read(self) -> list[tuple[DeadLetter, bytes]]:
        seen: dict[tuple[str, str], tuple[DeadLetter, bytes]] = {}
        for letter, line in self._parsed():
            if letter is not None:
                seen[letter.sink, letter.id or str(len(seen))] = (letter, line)
        return list(seen.values())

    def _parsed(self) -> list[tuple[DeadLetter | None, bytes]]:
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [(_letter(line), line) for line in lines]


def _byte_at(fd: int, at: int) -> bytes:
    os.lseek(fd, at, os.SEEK_SET)
    return os.read(fd, 1)


def _letter(line: bytes) -> DeadLetter | None:
    try:
        return msgspec.json.decode(line, type=DeadLetter)
    except msgspec.DecodeError:
        return None


def _now() -> str:
    return utc_now().isoformat()
