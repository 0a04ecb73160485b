"""This module is where it is said what SQLite and PostgreSQL say differently in a question about operations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    cast,
    extract,
    false,
    func,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB

from aicore_obs.model.cost import from_quanta
from aicore_obs.model.escape import escape
from aicore_obs.model.ids import to_microseconds
from aicore_obs.stores.sql.conditions import PostgresTexts, SqliteTexts, Texts

# The function that an SQLite connection of ours has for tags and labels.
CONTAINS_ALL = "aicore_obs_contains_all"
_INT64_MAX = 2**63 - 1
# SQLite may take no more than 999 values in one statement; longer lists travel as one JSON text.
_FEW = 500
# Parts of a sum of 64-bit numbers: either fits for the first thousand million rows.
_SPLIT = 10**9
# Keeps every digit of a bound that somebody gave, and looks at nobody's own context.
_AS_GIVEN = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
# More US dollars than any column of money holds.
_OUT_OF_REACH = Decimal("1e26")


class Words(Protocol):
    """What the two dialects say differently."""

    texts: Texts

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

    def objects(self, members: Mapping[str, ColumnElement[Any]]) -> ColumnElement[Any]:
        """Return the aggregate of all rows as a JSON list of objects with these members."""

    def at_least(self, column: ColumnElement[Any], amount: Decimal) -> ColumnElement[bool]:
        """Say that a column of money is no less than an amount in US dollars."""

    def at_most(self, column: ColumnElement[Any], amount: Decimal) -> ColumnElement[bool]:
        """Say that a column of money is no more than an amount in US dollars."""

    def parts(self, column: ColumnElement[Any]) -> Sequence[ColumnElement[Any]]:
        """Return columns whose sums fit the dialect's numbers and make up the sum of a column of whole numbers."""

    def whole(self, sums: Sequence[Any]) -> Any:
        """Return the sum of a column of the sums of its :meth:`parts`; None is the sum of nothing."""

    def amount(self, value: Any) -> Decimal:
        """Return what a column of money, or a sum of one, has as an amount in US dollars."""


class SqliteWords:
    """SQLite: times are integers, JSON is text."""

    texts: Texts = SqliteTexts()

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

    def objects(self, members: Mapping[str, ColumnElement[Any]]) -> ColumnElement[Any]:
        return func.json_group_array(func.json_object(*_members(members)))

    def at_least(self, column: ColumnElement[Any], amount: Decimal) -> ColumnElement[bool]:
        bound = _quanta(amount, ROUND_CEILING)
        return false() if bound > _INT64_MAX else type_coerce(column, Integer()) >= max(bound, -_INT64_MAX)

    def at_most(self, column: ColumnElement[Any], amount: Decimal) -> ColumnElement[bool]:
        bound = _quanta(amount, ROUND_FLOOR)
        return false() if bound < -_INT64_MAX else type_coerce(column, Integer()) <= min(bound, _INT64_MAX)

    def parts(self, column: ColumnElement[Any]) -> Sequence[ColumnElement[Any]]:
        # Past 9.2 million USD a sum of 1e-12 USD has more than 64 bits, and SQLite says "integer overflow".
        whole = type_coerce(column, Integer())
        return whole.op("/")(_SPLIT), whole.op("%")(_SPLIT)

    def whole(self, sums: Sequence[Any]) -> Any:
        return (sums[0] or 0) * _SPLIT + (sums[1] or 0)

    def amount(self, value: Any) -> Decimal:
        return from_quanta(value)


def _members(members: Mapping[str, ColumnElement[Any]]) -> Iterator[ColumnElement[Any]]:
    for name, column in members.items():
        yield literal_column(f"'{name}'")
        yield column


def _quanta(amount: Decimal, rounding: str) -> int:
    """Return a bound in whole 1e-12 USD; what is out of reach of any column stays so, and stays small."""
    near = max(min(amount, _OUT_OF_REACH), -_OUT_OF_REACH)
    return int(near.scaleb(12, context=_AS_GIVEN).to_integral_value(rounding, context=_AS_GIVEN))


class PostgresWords:
    """PostgreSQL: times are ``timestamptz``, JSON is ``jsonb``, text holds no NUL and is kept escaped."""

    texts: Texts = PostgresTexts()

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

    def objects(self, members: Mapping[str, ColumnElement[Any]]) -> ColumnElement[Any]:
        return func.json_agg(func.json_build_object(*_members(members)))

    def at_least(self, column: ColumnElement[Any], amount: Decimal) -> ColumnElement[bool]:
        return column >= from_quanta(_quanta(amount, ROUND_CEILING))

    def at_most(self, column: ColumnElement[Any], amount: Decimal) -> ColumnElement[bool]:
        return column <= from_quanta(_quanta(amount, ROUND_FLOOR))

    def parts(self, column: ColumnElement[Any]) -> Sequence[ColumnElement[Any]]:
        return (column,)

    def whole(self, sums: Sequence[Any]) -> Any:
        return sums[0] or 0

    def amount(self, value: Any) -> Decimal:
        return Decimal(value)
