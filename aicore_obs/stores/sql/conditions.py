"""This module is where a :data:`~aicore_obs.model.predicate.Condition` becomes SQL, as far as SQL means the same.

What comes out may let rows through that the condition does not: whoever set it looks again. What it must not do is keep
one back, so a comparison of money includes its bound, and what is not certain is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, String, Text, and_, case, cast, false, func, literal, not_, or_, true

from aicore_obs.model.escape import MARK
from aicore_obs.model.frame_columns import NOT_PRICED
from aicore_obs.model.predicate import CONTAINS, STARTS, Compare, Condition, Either, Every, Has, Known, OneOf, Part
from aicore_obs.stores.matching import storable
from aicore_obs.stores.sql.costs import ADDED
from aicore_obs.stores.sql.tables import Tables

# Longer lists of anything but text are left out.
_FEW = 500
# So many parts are left to a database; it may not take a statement that is nested deeper.
_MOST_PARTS = 200
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda column, value: column == value,
    "!=": lambda column, value: column != value,
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}
_Sql = ColumnElement[bool]


class Texts(Protocol):
    """What the two dialects say differently about text."""

    def order(self, column: ColumnElement[Any], comparison: str, value: str) -> _Sql:
        """Say that a text column stands before or after a text, by their code points."""

    def part(self, column: ColumnElement[Any], where: str, text: str) -> _Sql | None:
        """Say that a text column starts with a text, contains it or ends with it."""

    def no_part(self, column: ColumnElement[Any], where: str, text: str) -> _Sql | None:
        """Say the opposite."""

    def unknown(self, column: ColumnElement[Any], kind: str, /) -> _Sql:
        """Say that a column shows nothing; ``kind`` is ``text``, ``number`` or ``other``."""

    def id_text(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the column of ids as text."""

    def of_id(self, column: ColumnElement[Any], condition: Condition, /) -> _Sql | None:
        """Say it of the column of ids, None when it is said as of any text."""


class Words(Protocol):
    """What the two dialects say differently."""

    texts: Texts

    def text(self, value: str) -> str: ...

    def time(self, value: datetime) -> Any: ...

    def one_of(self, column: ColumnElement[Any], values: Sequence[str]) -> _Sql: ...

    def contains(self, column: ColumnElement[Any], wanted: str) -> _Sql: ...

    def at_least(self, column: ColumnElement[Any], amount: Decimal) -> _Sql: ...

    def at_most(self, column: ColumnElement[Any], amount: Decimal) -> _Sql: ...


class SqliteTexts:
    """SQLite: text is compared by its bytes; a column holds whatever somebody put there."""

    def order(self, column: ColumnElement[Any], comparison: str, value: str) -> _Sql:
        found: _Sql = _COMPARE[comparison](column, value)
        return found

    def part(self, column: ColumnElement[Any], where: str, text: str) -> _Sql | None:
        # SQLite's functions cut text at its first NUL character.
        if "\x00" in text:
            return None
        if where == STARTS:
            return func.substr(column, 1, len(text)) == text
        return func.instr(column, text) > 0

    def no_part(self, column: ColumnElement[Any], where: str, text: str) -> _Sql | None:
        if "\x00" in text or where != STARTS:
            return None
        return func.substr(column, 1, len(text)) != text

    def unknown(self, column: ColumnElement[Any], kind: str, /) -> _Sql:
        kinds = {"text": ("text",), "number": ("integer", "real"), "other": ("integer",)}[kind]
        return func.typeof(column).not_in(kinds)

    def id_text(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return column

    def of_id(self, _column: ColumnElement[Any], _condition: Condition, /) -> _Sql | None:
        return None


class PostgresTexts:
    """PostgreSQL: text has the order of its collation, and codes for what it cannot hold; an id is a ``uuid``."""

    def order(self, column: ColumnElement[Any], comparison: str, value: str) -> _Sql:
        # A code does not stand where the character would, for which it stands.
        found: _Sql = _COMPARE[comparison](column.collate("C"), value)
        return or_(found, func.strpos(column, MARK) > 0)

    def part(self, column: ColumnElement[Any], where: str, text: str) -> _Sql | None:
        if where == STARTS:
            return func.starts_with(column, text, type_=_BOOLEAN)
        return func.strpos(column, text) > 0

    def no_part(self, column: ColumnElement[Any], where: str, text: str) -> _Sql | None:
        if where == STARTS:
            return not_(func.starts_with(column, text, type_=_BOOLEAN))
        # The code of another character may hold the text.
        return or_(func.strpos(column, text) == 0, func.strpos(column, MARK) > 0) if where == CONTAINS else None

    def unknown(self, column: ColumnElement[Any], _kind: str, /) -> _Sql:
        return column.is_(None)

    def id_text(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return cast(column, Text())

    def of_id(self, column: ColumnElement[Any], condition: Condition, /) -> _Sql | None:
        if isinstance(condition, OneOf):
            ids = [value for value in condition.values if isinstance(value, str) and _is_id(value)]
            return column.in_(ids) if condition.wanted else column.not_in(ids)
        if isinstance(condition, Compare):
            value = condition.value
            if isinstance(value, str) and _is_id(value):
                found: _Sql = _COMPARE[condition.comparison](column, value)
                return found
            return {"==": false(), "!=": true()}.get(condition.comparison)
        return None


_BOOLEAN = true().type


def _is_id(text: str) -> bool:
    """Return whether a text is an id as PostgreSQL writes it."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


class Conditions:
    """The columns of one statement, as conditions speak of them; ``costs`` are the columns that are shown of costs."""

    def __init__(self, tables: Tables, words: Words, costs: Mapping[str, ColumnElement[Any]]) -> None:
        self._words = words
        self._id = tables.operations.c.id
        self._labels = tables.operations.c.labels
        own = {name: column for name, column in tables.operations.c.items() if name not in _NOT_SHOWN}
        self._columns: dict[str, ColumnElement[Any]] = {**own, **costs, "operation_id": words.texts.id_text(self._id)}
        if "cost_usd" in costs:
            nothing = costs["cost_usd"].is_(None) & costs["cost_reason"].is_(None)
            self._columns["cost_reason"] = case((nothing, literal(NOT_PRICED)), else_=costs["cost_reason"])

    def sql(self, condition: Condition) -> _Sql:
        """Return what the database is asked for; a condition that it cannot be asked for is true."""
        if _parts(condition) > _MOST_PARTS:
            return true()
        found = self._sql(condition)
        return true() if found is None else found

    def _sql(self, condition: Condition) -> _Sql | None:
        if isinstance(condition, Every):
            told = [found for part in condition.parts if (found := self._sql(part)) is not None]
            return and_(*told) if told else None
        if isinstance(condition, Either):
            all_told = [found for part in condition.parts if (found := self._sql(part)) is not None]
            return or_(*all_told) if len(all_told) == len(condition.parts) else None
        if isinstance(condition, Has):
            wanted = {self._words.text(storable(condition.label)): self._words.text(storable(condition.text))}
            return self._words.contains(self._labels, json.dumps(wanted))
        column = self._columns.get(condition.column)
        if column is None:
            return None
        if condition.column == "operation_id" and (by_id := self._words.texts.of_id(self._id, condition)) is not None:
            return by_id
        return self._of_column(column, condition)

    def _of_column(self, column: ColumnElement[Any], condition: Compare | OneOf | Known | Part) -> _Sql | None:
        if isinstance(condition, Known):
            unknown = self._words.texts.unknown(column, _kind(column, condition.column))
            return not_(unknown) if condition.wanted else unknown
        if isinstance(condition, Part):
            say = self._words.texts.part if condition.wanted else self._words.texts.no_part
            return say(column, condition.where, self._words.text(condition.text))
        if isinstance(condition, OneOf):
            return self._one_of(column, condition)
        return self._compare(column, condition.comparison, condition.value)

    def _compare(self, column: ColumnElement[Any], comparison: str, value: Any) -> _Sql | None:
        if isinstance(value, Decimal):
            return self._amount(column, comparison, value)
        if isinstance(value, str):
            held = self._words.text(value)
            if comparison in ("==", "!="):
                return _COMPARE[comparison](column, held)  # type: ignore[no-any-return]
            return self._words.texts.order(column, comparison, held)
        bound = self._words.time(value) if isinstance(value, datetime) else value
        return _COMPARE[comparison](column, bound)  # type: ignore[no-any-return]

    def _amount(self, column: ColumnElement[Any], comparison: str, amount: Decimal) -> _Sql | None:
        if comparison == "==":
            return and_(self._words.at_least(column, amount), self._words.at_most(column, amount))
        if comparison == "!=":
            return None
        say = self._words.at_least if comparison in (">", ">=") else self._words.at_most
        return say(column, amount)

    def _one_of(self, column: ColumnElement[Any], condition: OneOf) -> _Sql | None:
        texts = [self._words.text(value) for value in condition.values if isinstance(value, str)]
        if len(texts) == len(condition.values):
            found = self._words.one_of(column, texts)
            return found if condition.wanted else not_(found)
        if len(condition.values) > _FEW:
            return None
        parts = [self._compare(column, "==" if condition.wanted else "!=", value) for value in condition.values]
        told = [part for part in parts if part is not None]
        if len(told) < len(parts):
            return None
        return or_(*told) if condition.wanted else and_(*told)


# Kept as JSON, or under another name; costs come as they are shown.
_NOT_SHOWN = frozenset({"id", "tags", "labels", "extras", "usage_raw", "odd", *ADDED})


def _kind(column: ColumnElement[Any], name: str) -> str:
    if name == "timestamp" or name.endswith("_usd"):
        return "other"
    return "text" if isinstance(column.type, String) else "number"


def _parts(condition: Condition) -> int:
    return sum(map(_parts, condition.parts)) if isinstance(condition, Every | Either) else 1
