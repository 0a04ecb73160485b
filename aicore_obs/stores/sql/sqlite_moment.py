"""This module is where a mirror is told what came into a SQLite file since it looked last.

SQLite gives a new row a ``rowid`` above all that are there, one writer at a time. So what was inserted since lies above
any row that was there then and still is. Deleting the last rows gives their numbers to others, and VACUUM may give all
rows new ones: then the row at a number is another one, and an older row is looked for that is still the same. Where one
has its id and says something else, somebody put rows in again or changed them, and nothing of what was is believed.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import msgspec
import polars as pl
import sqlalchemy as sa

from aicore_obs.model.filter import Filter
from aicore_obs.stores.catalogue import EMPTY
from aicore_obs.stores.frame import REVISION, Shape, raw_columns
from aicore_obs.stores.mirror.source import STORED, Frames, Span
from aicore_obs.stores.sql.query import select_operations
from aicore_obs.stores.sql.sqlite_reader import SqliteReader, execute, has, raw_frames
from aicore_obs.stores.sql.tables import Tables, There
from aicore_obs.stores.sql.words import SqliteWords

BATCH_ROWS = 65_536
IDS_AT_ONCE = 1_000
# So many older rows are remembered, each twice as far from the last one.
_STEPS = 24
_WORDS = SqliteWords()
# What is stored of an object is its text, whatever keys there are.
_SHAPE = Shape(EMPTY)
# What may go from an operation that stays.
_CONTENT = frozenset({"request_payload_id", "response_payload_id", "error_message", "error_stack"})
# rowid and id of a row, and a checksum of what it says.
_Row = tuple[int, str, int]


class _Mark(msgspec.Struct, frozen=True):
    """Rows that were there, the last one first."""

    operations: list[_Row] = []
    records: list[_Row] = []


class SqliteSource(SqliteReader):
    """A reader of a SQLite file that can be mirrored."""

    @contextmanager
    def moment(self, mark: str | None) -> Iterator[SqliteMoment | None]:
        """Look at the file; see :class:`~aicore_obs.stores.mirror.source.Source`."""
        with self._connection() as connection:
            # All statements see one snapshot.
            connection.execute("BEGIN")
            if not has(connection, self._tables.operations.name):
                yield None
                return
            status = os.stat(self._path)
            file = f"{status.st_dev}:{status.st_ino}"
            yield SqliteMoment(connection, self._tables, self._there(connection), mark, file=file)


class SqliteMoment:
    """One snapshot of a SQLite file; see :class:`~aicore_obs.stores.mirror.source.Moment`."""

    def __init__(
        self, connection: sqlite3.Connection, tables: Tables, there: There, mark: str | None, *, file: str
    ) -> None:
        self._connection = connection
        self._tables = tables
        self._there = there
        before = None if mark is None else msgspec.json.decode(mark, type=_Mark)
        self._above = before and self._last_of(tables.operations, before.operations)
        self._records_above = before and self._last_of(tables.records, before.records)
        now = _Mark(self._last_rows(tables.operations), self._last_rows(tables.records))
        self.mark = msgspec.json.encode(now).decode()
        version = sa.func.max(tables.schema_log.c.version)
        self.identity = f"{file} {self._one(sa.select(version)) if has(connection, tables.schema_log.name) else None}"
        self.operations = self._count(tables.operations)
        self.revisions = self._count(tables.cost_revisions) if there.costs else 0
        new = () if self._above is None else (_rowid(tables.operations) > self._above,)
        self.news = self._count(tables.operations, *new) if new else 0

    def follows(self) -> bool:
        return self._above is not None and self._records_above is not None

    def came(self) -> Frames:
        return self._frames(_rowid(self._tables.operations) > self._above)

    def recosted(self) -> list[str]:
        # Every revision is a record, too, and those have numbers.
        records = self._tables.records
        spoken_of = sa.func.json_extract(records.c.body, "$.operation_id")
        statement = sa.select(spoken_of).where(_rowid(records) > self._records_above, records.c.kind == "cost")
        return [str(row[0]) for row in self._rows_of(statement)]

    def between(self, span: Span) -> Frames:
        return self._frames(*self._within(span))

    def counts(self, spans: Sequence[Span]) -> list[int]:
        return [self._count(self._tables.operations, *self._within(span)) for span in spans]

    def of(self, ids: Sequence[str]) -> Frames:
        for start in range(0, len(ids), IDS_AT_ONCE):
            yield from self._frames(_WORDS.one_of(self._tables.operations.c.id, ids[start : start + IDS_AT_ONCE]))

    def newest_revisions(self) -> pl.DataFrame:
        schema = {"operation_id": pl.String, REVISION: pl.String}
        if not self._there.costs:
            return pl.DataFrame(schema=schema)
        revisions = self._tables.cost_revisions.c
        newest = sa.select(revisions.operation_id, sa.func.max(revisions.record_id)).group_by(revisions.operation_id)
        return pl.DataFrame(self._rows_of(newest), schema=schema, orient="row")

    def _frames(self, *conditions: sa.ColumnElement[bool]) -> Frames:
        names = raw_columns(STORED)
        statement = select_operations(self._tables, _WORDS, Filter(), STORED, there=self._there).where(*conditions)
        with closing(execute(self._connection, statement)) as cursor:
            for raw in raw_frames(cursor, names, batch_rows=BATCH_ROWS):
                yield _SHAPE.frame(raw, STORED)

    def _within(self, span: Span) -> Iterator[sa.ColumnElement[bool]]:
        after, until = span
        when = self._tables.operations.c.timestamp
        if after is not None:
            yield when > after
        if until is not None:
            yield when <= until

    def _last_of(self, table: sa.Table, rows: Sequence[_Row]) -> int | None:
        """Return the number of the last of some rows that is what it was; 0 where there were none."""
        if not rows:
            return 0
        now = {row[0]: row for row in self._rows_at(table, [row[0] for row in rows])}
        both = [(now[row[0]], row) for row in rows if row[0] in now]
        if any(is_now[1] == was[1] and is_now != was for is_now, was in both):
            return None
        return next((was[0] for is_now, was in both if is_now == was), None)

    def _last_rows(self, table: sa.Table) -> list[_Row]:
        last = self._one(sa.select(sa.func.max(_rowid(table))).select_from(table)) or 0
        return self._rows_at(table, [last, *(last - 2**power for power in range(_STEPS))])

    def _rows_at(self, table: sa.Table, numbers: Sequence[int]) -> list[_Row]:
        """Return the rows of some numbers, as far as they are there, the last one first."""
        everything = sa.literal_column("*") if table is self._tables.operations else table.c.id
        statement = sa.select(_rowid(table), table.c.id, everything).where(_rowid(table).in_(numbers))
        with closing(execute(self._connection, statement.order_by(_rowid(table).desc()))) as cursor:
            names = [one[0] for one in cursor.description]
            return [_row_of(names, row) for row in cursor]

    def _count(self, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
        return int(self._one(sa.select(sa.func.count()).select_from(table).where(*conditions)))

    def _one(self, statement: sa.Select[Any]) -> Any:
        rows = self._rows_of(statement)
        return rows[0][0] if rows else None

    def _rows_of(self, statement: sa.Select[Any]) -> list[Any]:
        with closing(execute(self._connection, statement)) as cursor:
            return cursor.fetchall()


def _rowid(table: sa.Table) -> sa.ColumnElement[int]:
    return sa.literal_column(f"{table.name}.rowid", sa.Integer())


def _row_of(names: Sequence[str], row: Sequence[Any]) -> _Row:
    said = [value for name, value in zip(names, row, strict=True) if name not in _CONTENT]
    return (row[0], str(row[1]), zlib.crc32(repr(said).encode("utf-8", "backslashreplace")))
