"""This module is where a :class:`~aicore_obs.model.filter.Filter` becomes SQL, and nowhere else.

Values are always bound. The words that differ between the dialects are in :class:`SqliteWords` and
:class:`PostgresWords`; everything else is said once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import BigInteger, ColumnElement, FromClause, Integer, Select, cast, extract, false, func, select
from sqlalchemy.dialects.postgresql import JSONB

from aicore_obs.model.escape import escape
from aicore_obs.model.filter import MATCH_FIELDS, RANGE_FIELDS, Filter
from aicore_obs.model.ids import to_microseconds
from aicore_obs.stores.frame import raw_columns
from aicore_obs.stores.matching import storable
from aicore_obs.stores.sql.tables import Tables

# The function that an SQLite connection of ours has for tags and labels.
CONTAINS_ALL = "aicore_obs_contains_all"
_PAYLOADS = ("request", "response")
_INT64_MAX = 2**63 - 1
# SQLite may take no more than 999 values in one statement; longer lists travel as one JSON text.
_FEW = 500


class Words(Protocol):
    """What the two dialects say differently."""

    def text(self, value: str) -> str:
        """Return text as this dialect's columns hold it."""

    def time(self, value: datetime) -> Any:
        """Return a time as a value to bind."""

    def microseconds(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a time column as whole microseconds since 1970."""

    def one_of(self, column: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
        """Say that a text column equals one of the values."""

    def contains(self, column: ColumnElement[Any], wanted: str) -> ColumnElement[bool]:
        """Say that a JSON column has all the elements or members of the JSON text ``wanted``."""


class SqliteWords:
    """SQLite: times are integers, JSON is text."""

    def text(self, value: str) -> str:
        return value

    def time(self, value: datetime) -> Any:
        return to_microseconds(value)

    def microseconds(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return column

    def one_of(self, column: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
        # json_each() cuts a text at its first NUL character.
        if len(values) <= _FEW or any("\x00" in value for value in values):
            return column.in_(values)
        each = func.json_each(json.dumps(values)).table_valued("value")
        return column.in_(select(each.c.value))

    def contains(self, column: ColumnElement[Any], wanted: str) -> ColumnElement[bool]:
        # A function of our connection and not json_each(), for the same reason.
        found: ColumnElement[int] = getattr(func, CONTAINS_ALL)(column, wanted, type_=Integer())
        return found == 1


class PostgresWords:
    """PostgreSQL: times are ``timestamptz``, JSON is ``jsonb``, text holds no NUL and is kept escaped."""

    def text(self, value: str) -> str:
        return escape(value, nul=True)

    def time(self, value: datetime) -> Any:
        return value.isoformat()

    def microseconds(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return cast(extract("epoch", column) * 1_000_000, BigInteger())

    def one_of(self, column: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
        return column.in_(values)

    def contains(self, column: ColumnElement[Any], wanted: str) -> ColumnElement[bool]:
        return column.op("@>", is_comparison=True)(cast(wanted, JSONB()))


def select_operations(tables: Tables, words: Words, query: Filter, columns: Sequence[str]) -> Select[Any]:
    """Return the SELECT of the raw columns that these columns of a frame need, of the operations that match.

    The statement's columns have the names and the order of :func:`~aicore_obs.stores.frame.raw_columns`.
    """
    needed = raw_columns(columns)
    operations = tables.operations
    source: FromClause = operations
    found: dict[str, ColumnElement[Any]] = {}
    for part in _PAYLOADS:
        if f"{part}_body" in needed:
            payload = tables.payloads.alias(part)
            source = source.outerjoin(payload, payload.c.payload_id == operations.c[f"{part}_payload_id"])
            found |= {f"{part}_body": payload.c.body, f"{part}_encoding": payload.c.encoding}
    found["timestamp"] = words.microseconds(operations.c.timestamp)
    chosen = [(found[name] if name in found else operations.c[name]).label(name) for name in needed]
    order = [operations.c.timestamp, operations.c.id]
    statement = select(*chosen).select_from(source).where(*_conditions(tables, words, query))
    statement = statement.order_by(*(each.desc() if query.order == "desc" else each for each in order))
    return statement if query.limit is None else statement.limit(min(query.limit, _INT64_MAX))


def select_keys(tables: Tables) -> Select[Any]:
    """Return the SELECT of the catalogue of keys: field, key, type."""
    keys = tables.keys.c
    return select(keys.field, keys.key, keys.type).order_by(keys.field, keys.key, keys.type)


def _conditions(tables: Tables, words: Words, query: Filter) -> Iterator[ColumnElement[bool]]:
    columns = tables.operations.c
    yield from _times(columns.timestamp, words, query)
    for name in MATCH_FIELDS:
        values = getattr(query, name)
        if values is not None:
            yield words.one_of(columns[name], [words.text(storable(value)) for value in values])
    yield from _ranges(columns, query)
    if query.tags:
        yield words.contains(columns.tags, _json(words, list(query.tags)))
    if query.labels:
        yield words.contains(columns.labels, _json(words, query.labels))
    if query.flagged_for is not None:
        yield _flagged(tables, words, query.flagged_for)


def _times(timestamp: ColumnElement[Any], words: Words, query: Filter) -> Iterator[ColumnElement[bool]]:
    if query.start is not None:
        yield timestamp >= words.time(query.start)
    if query.end is not None:
        end = words.time(query.end)
        yield timestamp < end if query.end_exclusive else timestamp <= end


def _ranges(columns: Any, query: Filter) -> Iterator[ColumnElement[bool]]:
    for name, (column, comparison) in RANGE_FIELDS.items():
        value = getattr(query, name)
        if value is None:
            continue
        if column not in columns:
            # Costs are kept for no operation yet, and what has no value does not match.
            yield false()
            continue
        bound = min(value, _INT64_MAX) if isinstance(value, int) else value
        yield columns[column] >= bound if comparison == ">=" else columns[column] <= bound


def _flagged(tables: Tables, words: Words, reasons: Sequence[str]) -> ColumnElement[bool]:
    flag, cleared = tables.flags.alias("flag"), tables.flags.alias("cleared")
    later = (cleared.c.operation_id == flag.c.operation_id) & (cleared.c.reason == "")
    marked = select(flag.c.operation_id).where(
        flag.c.operation_id == tables.operations.c.id,
        words.one_of(flag.c.reason, [words.text(storable(reason)) for reason in reasons]),
        flag.c.active,
        ~select(cleared.c.operation_id).where(later, cleared.c.record_id >= flag.c.record_id).exists(),
    )
    return marked.exists()


def _json(words: Words, wanted: list[str] | dict[str, str]) -> str:
    def held(value: str) -> str:
        return words.text(storable(value))

    plain = [held(one) for one in wanted] if isinstance(wanted, list) else {held(k): held(v) for k, v in wanted.items()}
    return json.dumps(plain)
