"""This module is where the journal's directory is shared between processes: one folder each, one lock each.

A process (or rather, each road in it) owns a folder ``<directory>/<id>/`` with its segments, its positions and a lock
that it holds while it lives. A folder whose lock is free belongs to the dead: whoever gets the lock may deliver what
is left in it. Folder names are ids that we make; nothing that a user says becomes part of a path.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from aicore_obs.model.ids import new_id

LOCK_NAME = "lock"
POSITIONS_NAME = "positions.json"
SEGMENT_SUFFIX = ".seg"
FILE_MODE = 0o600
# Neighbours that come and go get in the way of a new folder now and then, and not for long.
_CREATE_TRIES = 100
_READ_TRIES = 3
_POSITIONS_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)

Position = tuple[int, int]
"""A place in a journal: the number of a segment, and an offset in bytes within it."""

START: Position = (0, 0)


class SinkPosition(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How far one sink is: everything before ``at`` is committed. ``noted`` is the sink's own note (see Batch).

    The counts say what became of the records before ``at``, so that a process whose records somebody else delivers can
    tell. ``error`` is why the sink takes nothing now.
    """

    at: Position = START
    noted: int | None = None
    stored: int = 0
    dead_lettered: int = 0
    dropped: dict[str, int] = {}
    error: str | None = None

    @property
    def settled(self) -> int:
        """Return how many records need nothing more."""
        return self.stored + self.dead_lettered + sum(self.dropped.values())

    def drop(self, reason: str, count: int) -> None:
        """Count records that the sink will not get."""
        self.dropped = {**self.dropped, reason: self.dropped.get(reason, 0) + count}


class _Kept(msgspec.Struct):
    """The file of positions: its text, and the CRC-32 of that; who reads it may meet its writer in the middle."""

    sinks: msgspec.Raw
    check: int


class Owner:
    """One folder of a journal's directory, with its lock held by us."""

    def __init__(self, path: Path, lock: FileLock, *, file_mode: int = FILE_MODE) -> None:
        self.path = path
        self._lock = lock
        self._file_mode = file_mode
        self._others: dict[str, SinkPosition] = {}

    @classmethod
    def create(cls, directory: Path, *, file_mode: int = FILE_MODE) -> Owner:
        """Make and lock a folder of our own. Raises OSError when the directory cannot be written."""
        error: OSError | None = None
        for _ in range(_CREATE_TRIES):
            path = directory / new_id()
            try:
                if not directory.is_dir():
                    with suppress(FileExistsError):
                        _make_folder(directory, file_mode, parents=True)
                _make_folder(path, file_mode)
                owner = cls._locked(path, file_mode)
            except (FileNotFoundError, FileExistsError) as gone:
                # A neighbour that left has removed the directory, empty as it was, between our steps.
                error = gone
                continue
            # A neighbour that looked in between the two steps may hold the lock for a moment: then take a new name.
            if owner is not None:
                return owner
        raise error or FileExistsError(errno.EEXIST, "every new folder was taken by somebody else", str(directory))

    @classmethod
    def take(cls, path: Path, *, file_mode: int = FILE_MODE) -> Owner | None:
        """Return the folder with its lock held, None when its owner lives or it is gone."""
        try:
            return cls._locked(path, file_mode) if path.is_dir() else None
        except OSError:
            return None

    @classmethod
    def of_another(cls, path: Path, *, file_mode: int = FILE_MODE) -> Owner:
        """Return the folder of somebody who lives; its lock is not held by us."""
        return cls(path, _lock_of(path, file_mode), file_mode=file_mode)

    def claim(self) -> bool:
        """Take the lock of a folder of somebody else; return whether that one has died."""
        try:
            self._lock.acquire()
        except (Timeout, OSError):
            return False
        return True

    @classmethod
    def _locked(cls, path: Path, file_mode: int) -> Owner | None:
        lock = _lock_of(path, file_mode)
        try:
            lock.acquire()
        except Timeout:
            return None
        return cls(path, lock, file_mode=file_mode)

    def is_whole(self) -> bool:
        """Return whether the folder and its lock are still there; without its lock a neighbour takes us for dead."""
        return (self.path / LOCK_NAME).exists()

    def is_empty(self) -> bool:
        """Return whether nothing was ever written here; a process may have died between making a file and its start."""
        return all(self.segment(number).stat().st_size == 0 for number in self.segments())

    def segments(self) -> list[int]:
        """Return the numbers of the segments in the folder, oldest first."""
        return segment_numbers(self.path)

    def segment(self, number: int) -> Path:
        """Return the path of a segment."""
        return self.path / f"{number:010d}{SEGMENT_SUFFIX}"

    def load_positions(self, sinks: Sequence[str]) -> dict[str, SinkPosition]:
        """Return each sink's position; where the file is damaged, the start, with a note to look from 0 on."""
        noted = None
        known: dict[str, SinkPosition] = {}
        try:
            known = read_positions(self.path)
        except FileNotFoundError:
            pass
        except msgspec.DecodeError:
            noted = 0
        self._others = {name: position for name, position in known.items() if name not in sinks}
        return {name: known.get(name) or SinkPosition(noted=noted) for name in sinks}

    def save_positions(self, positions: dict[str, SinkPosition]) -> None:
        """Overwrite the positions, in one ``write``: a killed process has written all of it or nothing.

        Replacing the file by renaming another one over it would be the usual way, and costs a millisecond a batch on
        file systems that flush on it. Where power is lost the file may be torn; then everything is looked at again.
        Positions of sinks that were not asked for when they were loaded stay: a rescue may end half-way.
        """
        text = msgspec.json.encode({**self._others, **positions})
        data = msgspec.json.encode(_Kept(sinks=msgspec.Raw(text), check=zlib.crc32(text)))
        fd = os.open(self.path / POSITIONS_NAME, _POSITIONS_FLAGS, self._file_mode)
        try:
            give_mode(fd, self._file_mode)
            # Spaces behind a shorter text; JSON does not mind them.
            size = os.fstat(fd).st_size
            if os.write(fd, data.ljust(size)) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(fd)

    def release(self) -> None:
        """Give the folder up; whoever comes next may take it."""
        self._lock.release()

    def remove(self) -> None:
        """Delete the folder: everything in it has arrived. What cannot be deleted is left to the next neighbour."""
        with suppress(OSError):
            for path in self.path.iterdir():
                if path.name != LOCK_NAME:
                    path.unlink(missing_ok=True)
            # While we hold it: whoever waits for this lock finds that it has no name any more, and takes none.
            self._delete_lock_and_folder()
        self._lock.release()
        if os.name == "nt":
            # There an open file is not deleted, ours neither.
            with suppress(OSError):
                self._delete_lock_and_folder()
        with suppress(OSError):
            # Only when we were the last and there are no dead letters.
            self.path.parent.rmdir()

    def _delete_lock_and_folder(self) -> None:
        (self.path / LOCK_NAME).unlink(missing_ok=True)
        self.path.rmdir()


def _lock_of(path: Path, file_mode: int) -> FileLock:
    return FileLock(path / LOCK_NAME, timeout=0, thread_local=False, mode=file_mode)


def read_positions(path: Path) -> dict[str, SinkPosition]:
    """Return the positions in an owner's folder as they are now.

    Raises:
        FileNotFoundError: none were ever kept.
        msgspec.DecodeError: they are damaged.
    """
    for _ in range(_READ_TRIES):
        # Whoever delivers may be writing them just now.
        with suppress(msgspec.DecodeError):
            return _kept_positions(path)
    return _kept_positions(path)


def _kept_positions(path: Path) -> dict[str, SinkPosition]:
    kept = msgspec.json.decode((path / POSITIONS_NAME).read_bytes(), type=_Kept)
    if zlib.crc32(kept.sinks) != kept.check:
        raise msgspec.DecodeError("the check does not fit")
    return msgspec.json.decode(kept.sinks, type=dict[str, SinkPosition])


def _make_folder(path: Path, file_mode: int, *, parents: bool = False) -> None:
    """Make a folder that those may use who may use files of ``file_mode``."""
    mode = file_mode | (file_mode & 0o444) >> 2
    path.mkdir(parents=parents, mode=mode)
    if file_mode != FILE_MODE:
        # What the umask took away; the bit that hands the group on stays.
        path.chmod(path.stat().st_mode & 0o7000 | mode)


def give_mode(fd: int, file_mode: int) -> None:
    """Give an open file of ours the mode that was asked for, whatever the umask took away."""
    if file_mode != FILE_MODE and hasattr(os, "fchmod"):
        # Of another user's file: whoever made it has done this.
        with suppress(PermissionError):
            os.fchmod(fd, file_mode)


def segment_numbers(path: Path) -> list[int]:
    """Return the numbers of the segments in a folder, oldest first; none when the folder is gone."""
    try:
        names = os.listdir(path)
    except OSError:
        return []
    return sorted(int(name[:-4]) for name in names if name.endswith(SEGMENT_SUFFIX) and name[:-4].isdigit())


def owner_folders(directory: Path) -> Iterator[Path]:
    """Yield the owners' folders in a journal's directory, oldest first."""
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    for name in names:
        path = directory / name
        if path.is_dir():
            yield path


def bytes_in(directory: Path, *, besides: Path | None = None) -> int:
    """Return the size of everything in a journal's directory: every owner's segments, and the dead letters."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names if besides is None or Path(folder) != besides else ():
            try:
                total += os.stat(os.path.join(folder, name)).st_size
            except OSError:
                continue
    return total
