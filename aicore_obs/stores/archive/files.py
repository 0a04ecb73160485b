"""This module is where rows become files of an archive, each read back and compared before it counts.

A month is a partition, since time is what an archive is cut by and what nearly every question names. A project is none:
it is text that users choose, or nothing, and no name of a directory. Rows lie in the order of their times and ids.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl
from polars.io.plugins import register_io_source

from aicore_obs.errors import StoreError
from aicore_obs.model.ids import new_id, utc_now
from aicore_obs.stores.archive.columns import file_schema
from aicore_obs.stores.archive.manifest import File, checksum_of, sync_folder

# What one file holds at most, so that what a crash undoes is little.
FILE_ROWS = 50_000
# What is in memory at once where the file is written and read; each row may carry texts of megabytes.
GROUP_ROWS = 5_000
_PREFIX, _SUFFIX, _DRAFT = "operations-", ".parquet", ".part"
# Of what Polars' hashes are kept apart in, so that sums of them are exact.
_HALF = 2**32

Frames = Iterator[pl.DataFrame]


class Rows(msgspec.Struct):
    """What is reckoned of rows while they pass: how many, a checksum that no order changes, first and last times."""

    count: int = 0
    checksum: tuple[int, int] = (0, 0)
    first: datetime | None = None
    last: datetime | None = None

    def add(self, frame: pl.DataFrame) -> None:
        """Take the rows of a frame."""
        hashes = frame.hash_rows()
        high, low = self.checksum
        self.checksum = high + int((hashes // _HALF).sum()), low + int((hashes % _HALF).sum())
        self.count += frame.height
        first, last = frame["timestamp"].min(), frame["timestamp"].max()
        if isinstance(first, datetime) and isinstance(last, datetime):
            self.first = first if self.first is None else min(self.first, first)
            self.last = last if self.last is None else max(self.last, last)


def parts_of(frames: Frames) -> Iterator[tuple[str, Frames]]:
    """Yield each month and its rows, in files of at most :data:`FILE_ROWS`; each is to be read before the next."""
    waiting = _Waiting(frames)
    while (month := waiting.month()) is not None:
        yield month, waiting.rows_of(month)


class _Waiting:
    """Rows in the order of their times, of which a part is taken at a time."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._rest: pl.DataFrame | None = None

    def month(self) -> str | None:
        """Return the month of the next row, None where there is none."""
        while self._rest is None or not self._rest.height:
            self._rest = next(self._frames, None)
            if self._rest is None:
                return None
        return str(self._rest["timestamp"].dt.strftime("%Y-%m")[0])

    def rows_of(self, month: str) -> Frames:
        """Yield rows of this month, as many as a file holds."""
        room = FILE_ROWS
        while room and self.month() == month and self._rest is not None:
            same = int((self._rest["timestamp"].dt.strftime("%Y-%m") == month).sum())
            height = min(same, room)
            part, self._rest = self._rest[:height], self._rest[height:]
            room -= height
            yield part


def write(archive: Path, month: str, frames: Frames, before: datetime, *, file_mode: int) -> File:
    """Write rows into a new file of the archive, read it back, and return what the manifest is to say of it.

    Raises:
        StoreError: what the file says is not what was given; it is removed, and nothing is to be deleted.
    """
    folder = archive / f"month={month}"
    folder.mkdir(exist_ok=True, mode=file_mode | (file_mode & 0o444) >> 2)
    path = folder / f"{_PREFIX}{new_id()}{_SUFFIX}"
    draft = path.with_name(f".{path.name}{_DRAFT}")
    given = Rows()
    try:
        _sink(draft, frames, given.add, file_mode=file_mode)
        verify(draft, given)
        size, checksum = draft.stat().st_size, checksum_of(draft)
        draft.replace(path)
        sync_folder(folder)
    finally:
        draft.unlink(missing_ok=True)
    if given.first is None or given.last is None:
        raise StoreError(f"{path}: there was nothing to write")
    return File(
        path=path.relative_to(archive).as_posix(),
        rows=given.count,
        first=given.first,
        last=given.last,
        size_bytes=size,
        checksum=checksum,
        before=before,
        verified_at=utc_now(),
    )


def _sink(draft: Path, frames: Frames, passed: Callable[[pl.DataFrame], object], *, file_mode: int) -> None:
    def source(*_pushed_down: object) -> Frames:
        for frame in frames:
            passed(frame)
            yield frame

    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(draft, flags, file_mode), "wb") as file:
        scan = register_io_source(source, schema=file_schema())
        try:
            scan.sink_parquet(file, compression="zstd", row_group_size=GROUP_ROWS, maintain_order=True)
        except pl.exceptions.PolarsError as error:
            raise StoreError(f"{draft} cannot be written ({error}); nothing was deleted, run it again") from error
        file.flush()
        os.fsync(file.fileno())


def verify(path: Path, given: Rows) -> None:
    """Read a file back and compare it with the rows that it was made of.

    Raises:
        StoreError: it says something else.
    """
    found = Rows()
    try:
        for frame in pl.scan_parquet(path, hive_partitioning=False).collect_batches(chunk_size=GROUP_ROWS):
            found.add(frame)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StoreError(f"{path} cannot be read back ({error}); nothing was deleted, run it again") from error
    if (found.count, found.checksum) != (given.count, given.checksum):
        raise StoreError(
            f"{path} has {found.count:,} rows and checksum {found.checksum}, written were {given.count:,} and "
            f"{given.checksum}; nothing was deleted, run it again"
        )


def remove_strays(archive: Path, named: frozenset[str]) -> None:
    """Remove what runs that were stopped have left: files of ours that the manifest does not name, and drafts."""
    for folder in archive.glob("month=*"):
        for path in folder.iterdir():
            is_draft = path.name.startswith(f".{_PREFIX}") and path.name.endswith(_DRAFT)
            is_ours = path.name.startswith(_PREFIX) and path.name.endswith(_SUFFIX)
            if is_draft or (is_ours and path.relative_to(archive).as_posix() not in named):
                path.unlink(missing_ok=True)
