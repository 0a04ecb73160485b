"""This module is where columns of plain values become the bytes of a Parquet file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

# The whole choice of types; what has several of them is text.
_TYPES: dict[frozenset[type], pl.DataType] = {
    frozenset({str}): pl.String(),
    frozenset({bool}): pl.Boolean(),
    frozenset({int}): pl.Int64(),
    frozenset({float}): pl.Float64(),
    frozenset({int, float}): pl.Float64(),
    frozenset({datetime}): pl.Datetime("us", "UTC"),
}
_ROWS_IN_GROUP = 50_000
_INT64 = 2**63


def parquet_of(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """Return a Parquet file of columns of texts, numbers, switches and times; the same for the same values."""
    frame = pl.DataFrame([_column(name, values) for name, values in columns.items()])
    data = io.BytesIO()
    frame.write_parquet(data, compression="zstd", row_group_size=_ROWS_IN_GROUP)
    return data.getvalue()


def _column(name: str, values: Sequence[Any]) -> pl.Series:
    kinds = frozenset(type(value) for value in values if value is not None)
    dtype = _TYPES.get(kinds, pl.String())
    if isinstance(dtype, pl.Int64) and any(value is not None and not -_INT64 <= value < _INT64 for value in values):
        dtype = pl.String()
    if isinstance(dtype, pl.String) and kinds != {str}:
        values = [None if value is None else str(value) for value in values]
    return pl.Series(name, values, dtype=dtype)
