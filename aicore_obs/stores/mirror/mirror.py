"""This module is where frames are read from a mirror, which is made equal to its database before.

Whoever finds the mirror behind brings it up to date, one process at a time; the others go on as soon as it is equal, or
are told to ask the database itself. So nobody waits for long, and nobody gets less than what is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

import polars as pl

from aicore_obs.guard import log_window
from aicore_obs.protocols import Address
from aicore_obs.stores.frame import Shape
from aicore_obs.stores.mirror.folder import Damaged, Folder, Listed, Unwritable
from aicore_obs.stores.mirror.parts import TooLarge
from aicore_obs.stores.mirror.refresh import LAYOUT, is_equal, is_refused, refreshed
from aicore_obs.stores.mirror.source import MIRRORED, TEXTS, Source, Unfit

# How long a reader waits for another one that brings the mirror up to date, before it asks the database itself.
WAIT_S = 2.0


class _Busy(Exception):  # noqa: N818 - a state, not a mistake
    """Another process is writing the mirror."""


class Mirror:
    """The mirror of one database in one folder."""

    def __init__(self, address: Address, source: Source, path: Path, *, max_bytes: int, file_mode: int) -> None:
        self._name = address.name
        self._database = address.path
        self._source = source
        self._folder = Folder(path, file_mode=file_mode)
        self._max_bytes = max_bytes

    def frames(
        self, columns: Sequence[str], conditions: Sequence[pl.Expr], *, descending: bool = False
    ) -> Iterator[pl.DataFrame] | None:
        """Return the frames of the operations that match, in their order, as they are stored now.

        Args:
            columns: some of :data:`~aicore_obs.stores.mirror.source.MIRRORED`, at least one.
            conditions: what all rows satisfy; they may look at any of these columns.
            descending: the newest first.

        None: the database is to be asked itself. Raises what reading the database raises.
        """
        stack = ExitStack()
        try:
            files = self._equal(stack)
        except BaseException:
            stack.close()
            raise
        if files is None:
            stack.close()
            return None
        reading = _Reading(self._source.shape(), columns, conditions)
        return _frames(stack, files, reading, descending=descending)

    def bring_up(self) -> bool:
        """Make the mirror equal to the database now, or leave nothing of it; return whether nothing else is in it."""
        with ExitStack() as stack:
            return self._equal(stack) is not None or self._folder.remove()

    def _equal(self, stack: ExitStack) -> list[BinaryIO] | None:
        """Return the open files of the mirror, equal to the database as it is now."""
        if self._database is not None and not self._database.exists():
            return None
        reason: Exception
        try:
            return self._equal_by_force(stack)
        except Unwritable as error:
            reason = error
            # Somebody else may keep it up to date.
            with suppress(Unfit):
                files = self._equal_as_it_is(stack)
                if files is not None:
                    return files
        except (TooLarge, Unfit, Damaged, _Busy) as error:
            reason = error
        self._tell(reason)
        return None

    def _tell(self, reason: Exception) -> None:
        where = self._folder.path
        log_window.warn(f"mirror {where}", f"{self._name} is read without its mirror {where}: {reason}")

    def _equal_by_force(self, stack: ExitStack) -> list[BinaryIO] | None:
        self._folder.make()
        for timeout_s in (0.0, WAIT_S):
            with self._folder.locked(timeout_s) as is_mine:
                if is_mine:
                    return self._brought_up(stack)
            files = self._equal_as_it_is(stack)
            if files is not None:
                return files
        raise _Busy("another process is writing it")

    def _brought_up(self, stack: ExitStack) -> list[BinaryIO] | None:
        listed, files = self._opened(stack)
        with self._source.moment(None if listed is None else listed.mark) as moment:
            if moment is None or is_refused(listed, moment, self._max_bytes):
                return None
            if listed is not None and files is not None and is_equal(listed, moment):
                # Somebody may have been killed before this.
                self._folder.sweep(listed.parts)
                return files
            sound = listed if files is not None else None
            listed = refreshed(self._folder, sound, moment, max_bytes=self._max_bytes)
        return self._folder.open(listed.parts, stack)

    def _equal_as_it_is(self, stack: ExitStack) -> list[BinaryIO] | None:
        """Return the files if the mirror is equal as it is, though this reader cannot change it."""
        listed, files = self._opened(stack)
        if listed is None or files is None:
            return None
        with self._source.moment(listed.mark) as moment:
            return files if moment is not None and is_equal(listed, moment) else None

    def _opened(self, stack: ExitStack) -> tuple[Listed | None, list[BinaryIO] | None]:
        """Return the list and the open files of its parts; no files where one of them is not what was written."""
        listed = self._folder.listed()
        if listed is None or listed.layout != LAYOUT:
            return None, None
        try:
            return listed, self._folder.open(listed.parts, stack)
        except Damaged:
            return listed, None


class _Reading:
    """What is wanted of each part."""

    def __init__(self, shape: Shape, columns: Sequence[str], conditions: Sequence[pl.Expr]) -> None:
        self._shape = shape
        self._columns = columns
        # What looks at an object has to wait until there is one.
        self._late = [one for one in conditions if not TEXTS.keys().isdisjoint(one.meta.root_names())]
        self._early = [one for one in conditions if TEXTS.keys().isdisjoint(one.meta.root_names())]

    def frame(self, file: BinaryIO) -> pl.DataFrame:
        stored = [TEXTS.get(name, name) for name in self._columns]
        found = pl.scan_parquet(file).filter(*self._early).select(stored).collect()
        frame = pl.DataFrame([self._column(name, found) for name in self._columns])
        return frame.filter(*self._late) if self._late else frame

    def _column(self, name: str, found: pl.DataFrame) -> pl.Series:
        if name not in TEXTS:
            return found[name]
        return self._shape.frame(found.select(pl.col(TEXTS[name]).alias(name)), [name]).to_series()


def _frames(
    stack: ExitStack, files: Sequence[BinaryIO], reading: _Reading, *, descending: bool
) -> Iterator[pl.DataFrame]:
    with stack:
        for file in reversed(files) if descending else files:
            frame = reading.frame(file)
            yield frame.reverse() if descending else frame


def is_mirrored(columns: Sequence[str]) -> bool:
    """Return whether a mirror has all of these columns."""
    return bool(columns) and set(columns) <= set(MIRRORED)
