"""This module is where it is said by what a report is grouped: columns, calendar units, keys of labels and extras."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import polars as pl

from aicore_obs.errors import ConfigurationError
from aicore_obs.model.frame_columns import PAYLOAD_COLUMNS

# Unit → how far one is from the next.
UNITS = {"hour": "1h", "day": "1d", "week": "1w", "month": "1mo", "year": "1y"}
# Text that is another one in each row.
_NO_GROUPS = PAYLOAD_COLUMNS | {"operation_id", "response_id", "error_stack", "error_message", "cost_lines"}
_FREE = ("labels", "extras")
# The field that a Struct without keys has.
_NO_KEYS = "_"
Schema = Mapping[str, pl.DataType]


class Group(msgspec.Struct, frozen=True):
    """One thing that rows are grouped by: the result's column, how it is made, its calendar unit if it is one."""

    name: str
    expression: pl.Expr
    dtype: pl.DataType
    unit: str | None = None


def groups_of(by: str | Iterable[str], schema: Schema, *, tz: str) -> tuple[Group, ...]:
    """Return the groups that are meant, each once.

    Raises:
        ConfigurationError: one that does not exist; the message lists those that do.
    """
    names = tuple(by) if isinstance(by, Iterable) and not isinstance(by, str) else (by,)
    return tuple(_group(name, schema, tz) for name in dict.fromkeys(names))


def _group(name: str, schema: Schema, tz: str) -> Group:
    if name in UNITS and "timestamp" in schema:
        return _calendar(name, tz)
    if isinstance(name, str) and name in schema and name not in _NO_GROUPS and schema[name] == pl.String:
        return Group(name, pl.col(name), pl.String())
    field, _, key = str(name).partition(".")
    keys = _keys(field, schema)
    if key and keys is not None and (key in keys or not keys):
        # A store that has no labels yet has none of this name.
        made = pl.col(field).struct.field(key) if keys else pl.lit(None, pl.String)
        return Group(name, made.alias(name), keys.get(key, pl.String()))
    raise ConfigurationError(f"by={name!r}: it is one of {', '.join(_choices(schema))}")


def _calendar(unit: str, tz: str) -> Group:
    local = pl.col("timestamp").dt.convert_time_zone(tz).dt.truncate(UNITS[unit])
    if unit == "hour":
        return Group(unit, local.alias(unit), pl.Datetime("us", tz), unit)
    return Group(unit, local.dt.date().alias(unit), pl.Date(), unit)


def _keys(field: str, schema: Schema) -> dict[str, pl.DataType] | None:
    dtype = schema.get(field) if field in _FREE else None
    if not isinstance(dtype, pl.Struct):
        return None
    return {one.name: one.dtype for one in dtype.fields if one.name != _NO_KEYS}  # type: ignore[misc]


def _choices(schema: Schema) -> list[str]:
    columns = [name for name, dtype in schema.items() if dtype == pl.String and name not in _NO_GROUPS]
    keys = [f"{field}.{key}" for field in _FREE for key in _keys(field, schema) or ()]
    return [*UNITS, *columns, *keys]
