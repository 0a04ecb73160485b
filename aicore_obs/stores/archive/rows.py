"""This module is where rows of an archive's files are looked up: by id, by time, by what a file may leave out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from aicore_obs.errors import StoreDamagedError
from aicore_obs.model.filter import MATCH_FIELDS, RANGE_FIELDS, Filter
from aicore_obs.model.predicate import (
    CONTAINS,
    ENDS,
    STARTS,
    Compare,
    Condition,
    Either,
    Every,
    Known,
    OneOf,
    Part,
)
from aicore_obs.stores.archive.columns import COSTS, file_schema
from aicore_obs.stores.archive.manifest import File, Manifest
from aicore_obs.stores.matching import storable

_INT64_MAX = 2**63 - 1
_COMPARE: dict[str, Callable[[pl.Expr, Any], pl.Expr]] = {
    "==": lambda column, value: column == value,
    "!=": lambda column, value: column != value,
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}
_PARTS: dict[str, Callable[[pl.Expr, str], pl.Expr]] = {
    STARTS: lambda column, text: column.str.starts_with(text),
    CONTAINS: lambda column, text: column.str.contains(text, literal=True),
    ENDS: lambda column, text: column.str.ends_with(text),
}


def scanned(archive: Path, file: File) -> pl.LazyFrame:
    """Return the rows of one file as a lazy frame; columns that a file of an older program lacks are null."""
    lazy = pl.scan_parquet(archive / file.path, hive_partitioning=False)
    with _readable(archive, file):
        there = lazy.collect_schema()
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in file_schema().items() if name not in there]
    return lazy.with_columns(missing) if missing else lazy


def batches(archive: Path, file: File, lazy: pl.LazyFrame, *, batch_rows: int) -> Iterator[pl.DataFrame]:
    """Yield the rows of a lazy frame of a file, in their order, at most so many at a time."""
    with _readable(archive, file):
        for frame in lazy.collect_batches(maintain_order=True, chunk_size=batch_rows):
            yield from frame.iter_slices(batch_rows)


def ids_in(archive: Path, file: File, wanted: pl.LazyFrame | None = None) -> pl.Series:
    """Return the ids of the operations of a file, or those of them that a frame has as ``operation_id``."""
    ids = scanned(archive, file).select("operation_id")
    with _readable(archive, file):
        return (ids if wanted is None else ids.join(wanted, on="operation_id", how="semi")).collect()["operation_id"]


def holders_of(archive: Path, manifest: Manifest, operations: pl.DataFrame) -> Iterator[tuple[File, pl.Series]]:
    """Yield each file that has some of these operations (``operation_id``, ``timestamp``), and their ids."""
    first, last = operations["timestamp"].min(), operations["timestamp"].max()
    for file in manifest.within(_time(first), _time(last)):
        near = scanned(archive, file).filter(pl.col("timestamp").is_between(pl.lit(first), pl.lit(last)))
        wanted = operations.lazy().select("operation_id")
        with _readable(archive, file):
            found = near.select("operation_id").join(wanted, on="operation_id", how="semi").collect()["operation_id"]
        if len(found):
            yield file, found


@contextmanager
def _readable(archive: Path, file: File) -> Iterator[None]:
    """Say of a file that cannot be read which it is.

    Raises:
        StoreDamagedError: it cannot.
    """
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StoreDamagedError(f"{archive / file.path} cannot be read ({error}); restore it") from error


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def bounds_of(query: Filter) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last time that a filter, and the predicate that it comes with, let through."""
    lower, upper = [query.start], [query.end]
    parts = query.where.parts if isinstance(query.where, Every) else (query.where,)
    for part in parts:
        if isinstance(part, Compare) and part.column == "timestamp":
            if part.comparison in (">", ">=", "=="):
                lower.append(part.value)
            if part.comparison in ("<", "<=", "=="):
                upper.append(part.value)
    return max((one for one in lower if one), default=None), min((one for one in upper if one), default=None)


def pushed(query: Filter, *, with_costs: bool) -> Iterator[pl.Expr]:
    """Yield what of a filter can be told of a file's columns; ``with_costs``: the costs there are those to be shown."""
    yield from _times(query)
    for name in MATCH_FIELDS:
        values = getattr(query, name)
        if values is not None:
            yield pl.col(name).is_in([storable(value) for value in values])
    for name, (column, comparison) in RANGE_FIELDS.items():
        bound = getattr(query, name)
        if bound is not None:
            yield _COMPARE[comparison](pl.col(column), min(bound, _INT64_MAX) if isinstance(bound, int) else bound)
    yield from (pl.col("tags").list.contains(storable(tag)) for tag in query.tags)
    hint = None if query.where is None else _hint(query.where, with_costs=with_costs)
    if hint is not None:
        yield hint


def _times(query: Filter) -> Iterator[pl.Expr]:
    when = pl.col("timestamp")
    if query.start is not None:
        yield when >= query.start
    if query.end is not None:
        yield when < query.end if query.end_exclusive else when <= query.end
    if query.id_below is not None:
        yield pl.col("operation_id") < query.id_below


def _hint(condition: Condition, *, with_costs: bool) -> pl.Expr | None:
    """Return a condition as an expression that lets through what it lets through, or None for one that cannot be."""
    if isinstance(condition, Every | Either):
        parts = [_hint(part, with_costs=with_costs) for part in condition.parts]
        told = [part for part in parts if part is not None]
        if isinstance(condition, Every):
            return pl.all_horizontal(told) if told else None
        return pl.any_horizontal(told) if len(told) == len(parts) else None
    if condition.column not in file_schema() or (condition.column in COSTS and not with_costs):
        return None
    read = _HINTS.get(type(condition))
    return None if read is None else read(condition)


def _compare(condition: Compare) -> pl.Expr | None:
    # Polars gives a Decimal the scale of the column, whatever it has more; the scan tries it as it was meant.
    if isinstance(condition.value, Decimal):
        return None
    return _COMPARE[condition.comparison](pl.col(condition.column), condition.value)


def _one_of(condition: OneOf) -> pl.Expr | None:
    values: Sequence[Any] = condition.values
    if any(isinstance(value, Decimal) for value in values):
        return None
    found = pl.col(condition.column).is_in(list(values))
    return found if condition.wanted else ~found


def _known(condition: Known) -> pl.Expr:
    column = pl.col(condition.column)
    return column.is_not_null() if condition.wanted else column.is_null()


def _part(condition: Part) -> pl.Expr:
    found = _PARTS[condition.where](pl.col(condition.column), condition.text)
    return found if condition.wanted else ~found


_HINTS: dict[type, Callable[[Any], pl.Expr | None]] = {
    Compare: _compare,
    OneOf: _one_of,
    Known: _known,
    Part: _part,
}
