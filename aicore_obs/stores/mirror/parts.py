"""This module is where changed rows find their part: the parts of a mirror, in their order, while they change.

The parts share out time between them: a part has what comes after the last time of the part before, up to its own last
time. So rows that were recorded late are put among their like, and reading the parts one by one reads all in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from aicore_obs.stores.frame import REVISION
from aicore_obs.stores.mirror.folder import Folder, Part
from aicore_obs.stores.mirror.source import Span, in_key_order

# Rows of a part: what is rewritten when one of them changes, in a fifth of a second.
PART_ROWS = 65_536
# A last part of fewer rows takes more; so what comes in small pieces does not rewrite much.
LAST_ROWS = PART_ROWS // 8
# So many parts may be smaller than half before neighbours are put together.
SMALL_PARTS = 8


class TooLarge(Exception):  # noqa: N818 - a state, not a mistake
    """The parts take more room than they may."""


class Parts:
    """The parts of one mirror: what is changed is written anew, and what was there stays until it is swept."""

    def __init__(self, folder: Folder, parts: Iterable[Part] = (), *, max_bytes: int) -> None:
        self._folder = folder
        self._parts = list(parts)
        self._max_bytes = max_bytes

    @property
    def listed(self) -> tuple[Part, ...]:
        return tuple(self._parts)

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self._parts)

    @property
    def spans(self) -> list[Span]:
        """Which time each part has; together all of it."""
        ends = [part.last for part in self._parts[:-1]]
        return list(zip([None, *ends], [*ends, None], strict=True)) if self._parts else []

    def add(self, frames: Iterable[pl.DataFrame]) -> None:
        """Put rows, all in order and later than what is there, behind it."""
        self._parts.extend(self._written(frames))
        self._check_size()

    def put(self, rows: pl.DataFrame) -> None:
        """Put rows, which are in order, in their places; those of the same ids go."""
        places = rows["timestamp"].to_physical()
        ends = pl.Series([part.last for part in self._parts[:-1]], dtype=pl.Int64)
        numbers = ends.search_sorted(places, side="left") if len(ends) else pl.zeros(rows.height, eager=True)
        groups = rows.group_by(numbers.cast(pl.Int64).alias("number"), maintain_order=True)
        # From the end, so that the numbers of the others hold while a part becomes several.
        for (number,), group in reversed(list(groups)):
            self._put_into(int(str(number)), group)
        self._check_size()

    def instead(self, number: int, frames: Iterable[pl.DataFrame]) -> None:
        """Put rows, all in order, in the place of everything that a part has."""
        self._parts[number : number + 1] = self._written(frames)
        self._check_size()

    def tidy(self) -> None:
        """Put small neighbours together when there are many."""
        small = [part for part in self._parts if part.rows < PART_ROWS // 2]
        if len(small) <= SMALL_PARTS:
            return
        runs: list[list[Part]] = []
        for part in self._parts:
            if runs and sum(one.rows for one in runs[-1]) + part.rows <= PART_ROWS:
                runs[-1].append(part)
            else:
                runs.append([part])
        self._parts = [part for run in runs for part in self._joined(run)]

    def revisions(self) -> Iterator[pl.DataFrame]:
        """Yield ids and shown revisions of all rows."""
        for part in self._parts:
            with self._folder.opened([part]) as (file,):
                yield pl.read_parquet(file, columns=["operation_id", REVISION])

    def _put_into(self, number: int, rows: pl.DataFrame) -> None:
        if not self._parts:
            self._parts.extend(self._written([rows]))
            return
        part = self._parts[number]
        is_behind = number == len(self._parts) - 1 and rows["timestamp"].to_physical()[0] > part.last
        if is_behind and part.rows >= LAST_ROWS:
            self._parts.extend(self._written([rows]))
            return
        before = self._folder.read(part)
        rest = before.filter(~pl.col("operation_id").is_in(rows["operation_id"].implode()))
        self._parts[number : number + 1] = self._written([in_key_order(pl.concat([rest, rows]))])

    def _joined(self, run: Sequence[Part]) -> Iterator[Part]:
        if len(run) == 1:
            return iter(run)
        return self._written([pl.concat([self._folder.read(part) for part in run])])

    def _written(self, frames: Iterable[pl.DataFrame]) -> Iterator[Part]:
        size = 0
        for frame in _pieces(frames):
            part = self._folder.write(frame)
            size += part.size
            self._check(size)
            yield part

    def _check_size(self) -> None:
        self._check(sum(part.size for part in self._parts))

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise TooLarge(f"it would take more than {self._max_bytes:,} bytes; AICORE_OBS_MIRROR_MAX_BYTES says so")


def _pieces(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield frames, which follow one another, as pieces of the size of a part."""
    waiting: list[pl.DataFrame] = []
    for frame in frames:
        waiting.append(frame)
        if sum(one.height for one in waiting) >= 2 * PART_ROWS:
            *whole, rest = _cut(pl.concat(waiting))
            yield from whole
            waiting = [rest]
    if waiting:
        yield from (one for one in _cut(pl.concat(waiting)) if one.height)


def _cut(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield pieces of the size of a part and a last one, up to twice as long; what has one time stays together."""
    times = frame["timestamp"].to_physical()
    while frame.height >= 2 * PART_ROWS:
        end = int(times.search_sorted(times[PART_ROWS - 1], side="right"))
        if end == frame.height:
            # More of the same time may come.
            break
        yield frame.head(end)
        frame, times = frame.slice(end), times.slice(end)
    yield frame
