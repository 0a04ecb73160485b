"""This module is where it is said in SQL which cost of an operation is shown: the newest revision, else its own.

A revision counts by its record's id, which grows with time; under ``cost_as_of`` later ones are as if they were not
there. A schema of version 1 keeps no cost at all, and can be read all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any, Protocol

from sqlalchemy import ColumnElement, FromClause, Select, case, false, func, null, select

from aicore_obs.model.filter import COST_RANGES, Filter
from aicore_obs.model.predicate import columns_in
from aicore_obs.stores.sql.tables import Tables

# What an operation and each of its revisions have alike.
COLUMNS = (
    "priced_model",
    "cost_usd",
    "input_cost_usd",
    "output_cost_usd",
    "cost_source",
    "cost_reason",
    "price_id",
    "price_book",
    "cost_lines",
)
# Columns of ``operations`` that version 1 of the schema does not have.
ADDED = frozenset({*COLUMNS, "billing"})


class Words(Protocol):
    """What the two dialects say differently about money."""

    def time(self, value: Any) -> Any:
        """Return a time as a value to bind."""

    def at_least(self, column: ColumnElement[Any], amount: Decimal) -> ColumnElement[bool]:
        """Say that a column of money is no less than an amount."""

    def at_most(self, column: ColumnElement[Any], amount: Decimal) -> ColumnElement[bool]:
        """Say that a column of money is no more than an amount."""


class Costs:
    """The cost columns of one statement; ``there`` is False for a schema without them: all of them are null."""

    def __init__(self, tables: Tables, words: Words, query: Filter, *, there: bool = True) -> None:
        self._tables = tables
        self._words = words
        self._query = query
        self._there = there
        self._revision = tables.cost_revisions.alias("revision")

    def joined(self, source: FromClause, needed: Collection[str]) -> FromClause:
        """Return ``source`` with the newest revision beside each operation, if these columns or the filter need it."""
        wanted = not ADDED.isdisjoint(needed) or any(getattr(self._query, name) is not None for name in COST_RANGES)
        wanted = wanted or (self._query.where is not None and not ADDED.isdisjoint(columns_in(self._query.where)))
        if not (wanted and self._there):
            return source
        newer = self._tables.cost_revisions.alias("newer")
        same = newer.c.operation_id == self._revision.c.operation_id
        later = select(newer.c.record_id).where(
            same, newer.c.record_id > self._revision.c.record_id, *self._seen(newer)
        )
        # In a join's condition nothing is correlated by itself.
        is_newest = ~later.correlate(self._revision).exists()
        on = self._revision.c.operation_id == self._tables.operations.c.id
        for condition in (*self._seen(self._revision), is_newest):
            on &= condition
        return source.outerjoin(self._revision, on)

    def shown(self) -> Mapping[str, ColumnElement[Any]]:
        """Return the columns as they are shown; the statement must come :meth:`joined`."""
        own, revision = self._tables.operations.c, self._revision.c
        if not self._there:
            return dict.fromkeys(ADDED, null())
        found = {name: case((revision.record_id.is_not(None), revision[name]), else_=own[name]) for name in COLUMNS}
        return {**found, "billing": own.billing}

    def shown_revision(self) -> ColumnElement[Any]:
        """Return the id of the revision that is shown, null where it is the operation's own cost."""
        return self._revision.c.record_id if self._there else null()

    def told(self) -> Mapping[str, ColumnElement[Any]]:
        """Return the columns that the statement knows something of, as they are shown."""
        return {name: column for name, column in self.shown().items() if name in COLUMNS} if self._there else {}

    def own(self) -> Mapping[str, ColumnElement[Any]]:
        """Return the columns as they were recorded with the operation."""
        own = self._tables.operations.c
        return {name: own[name] if self._there else null() for name in COLUMNS}

    def revisions_of(self, matched: FromClause) -> Select[Any]:
        """Return the SELECT of every revision of operations (id, timestamp), numbered from 1 in their order."""
        revision = self._revision
        earlier = self._tables.cost_revisions.alias("earlier")
        # Counted and not numbered by a window, which would number the revisions of all other operations too.
        number = select(func.count()).where(
            earlier.c.operation_id == revision.c.operation_id,
            earlier.c.record_id <= revision.c.record_id,
            *self._seen(earlier),
        )
        return (
            select(
                matched.c.id.label("operation_id"),
                matched.c.timestamp.label("made_at"),
                number.scalar_subquery().label("revision"),
                revision.c.timestamp.label("recorded_at"),
                revision.c.author,
                *(revision.c[name] for name in COLUMNS),
            )
            .join_from(matched, revision, revision.c.operation_id == matched.c.id)
            .where(*self._seen(revision))
        )

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield what the filter says about the cost that is shown; what has none does not match."""
        for name in COST_RANGES:
            amount = getattr(self._query, name)
            if amount is not None and not self._there:
                yield false()
            elif amount is not None:
                compare = self._words.at_least if name.startswith("min") else self._words.at_most
                yield compare(self.shown()["cost_usd"], amount)

    def _seen(self, revision: FromClause) -> Iterator[ColumnElement[bool]]:
        if self._query.cost_as_of is not None:
            when = self._words.time(self._query.cost_as_of)
            seen = revision.c.timestamp
            yield seen < when if self._query.cost_as_of_exclusive else seen <= when
