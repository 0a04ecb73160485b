"""This module is where a :class:`~aicore_obs.model.filter.Filter` is tried on a frame that somebody already has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import polars as pl

from aicore_obs.errors import FilterError
from aicore_obs.model.filter import COST_RANGES, MATCH_FIELDS, RANGE_FIELDS, SCORE_FILTERS, Filter

# What only a store can answer.
_ONLY_STORES = ("flagged_for", *SCORE_FILTERS, "cost_as_of")
_COMPARE: dict[str, Callable[[pl.Expr, Any], pl.Expr]] = {
    ">=": lambda column, bound: column >= bound,
    "<=": lambda column, bound: column <= bound,
}


def filtered(frame: pl.LazyFrame, filters: Mapping[str, Any], schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """Return the rows of a frame of operations that match, as a store would.

    Raises:
        FilterError: a filter that does not exist, that only a store can answer, or whose column is not there.
    """
    query = Filter.of(**filters)
    wrong = [name for name in _ONLY_STORES if name in filters]
    if wrong:
        raise FilterError(f"{wrong[0]}={filters[wrong[0]]!r}: only a store knows it, a frame does not")
    asked = list(conditions(query, schema))
    missing = sorted({name for one in asked for name in one.meta.root_names()} - set(schema))
    if missing:
        raise FilterError(f"the frame has no column {', '.join(missing)} to filter by")
    found = frame.filter(*asked) if asked else frame
    if "order" in filters:
        found = found.sort("timestamp", "operation_id", descending=query.order == "desc")
    return found if query.limit is None else found.head(query.limit)


def conditions(query: Filter, schema: Mapping[str, pl.DataType]) -> Iterator[pl.Expr]:
    """Yield what a filter asks of each operation, as far as a frame of this schema can tell."""
    when = pl.col("timestamp")
    if query.start is not None:
        yield when >= query.start
    if query.end is not None:
        yield when < query.end if query.end_exclusive else when <= query.end
    for name in MATCH_FIELDS:
        values = getattr(query, name)
        if values is not None:
            yield pl.col(name).is_in(list(values))
    ranges = {**RANGE_FIELDS, **{name: ("cost_usd", sign) for name, sign in COST_RANGES.items()}}
    for name, (column, sign) in ranges.items():
        bound = getattr(query, name)
        if bound is not None:
            yield _COMPARE[sign](pl.col(column), bound)
    yield from (pl.col("tags").list.contains(tag) for tag in query.tags)
    yield from (_label(key, value, schema) for key, value in query.labels.items())


def _label(key: str, value: str, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    dtype = schema.get("labels")
    known = {field.name for field in dtype.fields} if isinstance(dtype, pl.Struct) else set()
    return pl.col("labels").struct.field(key) == value if key in known else pl.col("labels").is_null() & pl.lit(False)  # noqa: FBT003
