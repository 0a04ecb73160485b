"""This module is where it is said in SQL what goes with an operation: payloads, flags, scores, costs and their records.

Everything here is synchronous and works on one open connection, inside a transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from aicore_obs.model.deletion import Deletion, Pruned
from aicore_obs.model.escape import escape_json_nul
from aicore_obs.model.filter import Filter
from aicore_obs.model.ids import from_microseconds
from aicore_obs.stores.sql.query import header_conditions, select_ids
from aicore_obs.stores.sql.tables import Tables, postgres_tables, sqlite_tables
from aicore_obs.stores.sql.words import PostgresWords, SqliteWords, Words

LOCK_TIMEOUT_S = 30
# Kinds that go with the operation of which they speak.
_OF_OPERATIONS = ("flag", "cost", "score")


class Row(NamedTuple):
    """An operation that goes, as far as that must know it."""

    id: str
    when: datetime
    payloads: tuple[str, ...]


def _time(value: Any) -> datetime:
    return from_microseconds(value) if isinstance(value, int) else value


class Speech(Protocol):
    """What the two databases say differently."""

    tables: Tables
    words: Words

    def execute(self, connection: sa.Connection, statement: Any) -> Any:
        """Execute a statement whose values are as :class:`Words` made them."""

    def among(self, column: sa.ColumnElement[Any], ids: Sequence[str]) -> sa.ColumnElement[bool]:
        """Say that an id is one of these."""

    def json(self, text: str) -> Any:
        """Return JSON text as a value of its column."""

    def flag_records(self, ids: Sequence[str]) -> Any:
        """Return the DELETE of flag records that speak of one of these operations and of none that is still there."""

    def score_records(self, ids: Sequence[str]) -> Any:
        """Return the DELETE of score records of these operations, those that a newer one has replaced included."""

    def lock_deletions(self, connection: sa.Connection) -> None:
        """Wait until no writer is in the middle of a batch, and let none begin until this transaction ends."""


class PrunedRows:
    """What goes, in one database."""

    def __init__(self, speech: Speech) -> None:
        self._speech = speech
        self.tables = speech.tables

    def matching(
        self, connection: sa.Connection, query: Filter, after: Row | None, content_only: bool, rows: int
    ) -> Sequence[Row]:
        """Return the next operations that match, in the order of their times."""
        query = msgspec.structs.replace(query, order="asc", limit=rows)
        operations = self.tables.operations.c
        statement = select_ids(self.tables, self._speech.words, query)
        if content_only:
            content = ("request_payload_id", "response_payload_id", "error_message", "error_stack")
            statement = statement.where(sa.or_(*(operations[name].is_not(None) for name in content)))
        if after is not None:
            when = self._speech.words.time(after.when)
            later = (operations.timestamp > when) | ((operations.timestamp == when) & (operations.id > after.id))
            statement = statement.where(operations.timestamp >= when, later)
        found = self._speech.execute(connection, statement).all()
        return [Row(str(row[0]), _time(row[1]), tuple(str(one) for one in row[2:] if one)) for row in found]

    def counted(self, connection: sa.Connection, batch: Sequence[Row], content_only: bool) -> Pruned:
        """Return what goes with these operations."""
        ids, payloads = [row.id for row in batch], [one for row in batch for one in row.payloads]
        tables = self.tables
        size = sa.func.coalesce(sa.func.sum(tables.payloads.c.size_bytes), 0)
        texts = sa.select(sa.func.count(), size).where(self._speech.among(tables.payloads.c.payload_id, payloads))
        count, length = connection.execute(texts).one()
        found = Pruned(operations=len(ids), payloads=count, payload_bytes=int(length), content_only=content_only)
        if content_only:
            return found
        beside = {"flags": tables.flags, "cost_revisions": tables.cost_revisions, "scores": tables.scores}
        counts = {name: self._count(connection, table, ids) for name, table in beside.items()}
        return msgspec.structs.replace(found, **counts)

    def removed(self, connection: sa.Connection, batch: Sequence[Row], deletion: Deletion) -> Pruned:
        """Let these operations go, or their content, and everything that hangs on it."""
        tables = self.tables
        ids, payloads = [row.id for row in batch], [one for row in batch for one in row.payloads]
        found = self.counted(connection, batch, deletion.content_only)
        if deletion.by_id:
            self._keep_ids(connection, deletion, ids)
        connection.execute(sa.delete(tables.payloads).where(self._speech.among(tables.payloads.c.payload_id, payloads)))
        mine = self._speech.among(tables.operations.c.id, ids)
        if deletion.content_only:
            nothing = ("request_payload_id", "response_payload_id", "error_message", "error_stack")
            connection.execute(sa.update(tables.operations).where(mine).values(dict.fromkeys(nothing)))
            return found
        costs = sa.select(tables.cost_revisions.c.record_id).where(
            self._speech.among(tables.cost_revisions.c.operation_id, ids)
        )
        records = connection.execute(sa.delete(tables.records).where(tables.records.c.id.in_(costs))).rowcount
        for table in (tables.cost_revisions, tables.flags, tables.scores):
            connection.execute(sa.delete(table).where(self._speech.among(table.c.operation_id, ids)))
        connection.execute(sa.delete(tables.operations).where(mine))
        if found.flags:
            records += connection.execute(self._speech.flag_records(ids)).rowcount
        if found.scores:
            records += connection.execute(self._speech.score_records(ids)).rowcount
        return msgspec.structs.replace(found, records=records)

    def others_removed(self, connection: sa.Connection, query: Filter) -> Pruned:
        """Let records of other kinds go that match by their headers; a scope stays as long as an operation is in it."""
        records = self.tables.records.c
        conditions = list(header_conditions(records, self._speech.words, query))
        statement = sa.delete(self.tables.records).where(records.kind.not_in(_OF_OPERATIONS), *conditions)
        for name in ("session_id", "run_id"):
            column = self.tables.operations.c[name]
            inside = sa.select(sa.literal(1)).where(column == records[name]).exists()
            statement = statement.where((records.kind != "scope") | ~inside)
        return Pruned(records=self._speech.execute(connection, statement).rowcount)

    def lock_deletions(self, connection: sa.Connection) -> None:
        """Wait until no writer is in the middle of a batch, and let none begin until this transaction ends."""
        self._speech.lock_deletions(connection)

    def deletions(self, connection: sa.Connection) -> Sequence[Any]:
        """Return every deletion; see :func:`aicore_obs.stores.sql.deletions.deletion_of`."""
        names = ("id", "timestamp", "filter", "content_only", "author")
        table = self.tables.deletions
        columns = [sa.type_coerce(table.c[name], sa.types.NullType()) for name in names]
        return list(self._speech.execute(connection, sa.select(*columns)))

    def say(self, connection: sa.Connection, deletion: Deletion, replaced: Sequence[str]) -> None:
        """Keep a deletion in the place of others."""
        table = self.tables.deletions
        if replaced:
            connection.execute(sa.delete(table).where(self._speech.among(table.c.id, replaced)))
        text = msgspec.json.encode(deletion.filter).decode()
        values = {
            "id": deletion.id,
            "timestamp": deletion.timestamp,
            "author": deletion.author,
            "filter": self._speech.json(text),
            "content_only": deletion.content_only,
            "by_id": deletion.by_id,
        }
        connection.execute(sa.insert(table).values(values))

    def _keep_ids(self, connection: sa.Connection, deletion: Deletion, ids: Sequence[str]) -> None:
        rows = [{"operation_id": one, "deletion_id": deletion.id} for one in ids]
        connection.execute(sa.insert(self.tables.deleted_operations), rows)

    def _count(self, connection: sa.Connection, table: sa.Table, ids: Sequence[str]) -> int:
        counted = sa.select(sa.func.count()).select_from(table).where(self._speech.among(table.c.operation_id, ids))
        return int(connection.execute(counted).scalar_one())


class SqliteSpeech:
    """Ids travel as one JSON text; BEGIN IMMEDIATE has locked everybody out already."""

    def __init__(self) -> None:
        self.tables = sqlite_tables()
        self.words: Words = SqliteWords()
        self._dialect = SQLiteDialect(paramstyle="qmark")

    def execute(self, connection: sa.Connection, statement: Any) -> Any:
        compiled = statement.compile(dialect=self._dialect, compile_kwargs={"render_postcompile": True})
        values = tuple(compiled.params[name] for name in compiled.positiontup)
        return connection.exec_driver_sql(str(compiled), values)

    def among(self, column: sa.ColumnElement[Any], ids: Sequence[str]) -> sa.ColumnElement[bool]:
        each = sa.func.json_each(msgspec.json.encode(ids).decode()).table_valued("value")
        return column.in_(sa.select(each.c.value))

    def json(self, text: str) -> Any:
        return text

    def flag_records(self, ids: Sequence[str]) -> Any:
        records, operations = self.tables.records, self.tables.operations
        spoken_of = sa.func.json_each(records.c.body, "$.operation_ids").table_valued("value")
        there = sa.func.json_each(records.c.body, "$.operation_ids").table_valued("value")
        gone = sa.select(spoken_of.c.value).where(self.among(spoken_of.c.value, ids))
        kept = sa.select(operations.c.id).where(operations.c.id.in_(sa.select(there.c.value)))
        return sa.delete(records).where(records.c.kind == "flag", gone.exists(), ~kept.exists())

    def score_records(self, ids: Sequence[str]) -> Any:
        records = self.tables.records
        spoken_of = sa.func.json_extract(records.c.body, "$.operation_id")
        return sa.delete(records).where(records.c.kind == "score", self.among(spoken_of, ids))

    def lock_deletions(self, connection: sa.Connection) -> None:
        """Nothing is left to do."""


class PostgresSpeech:
    """Ids travel as an array; values of filters as literals, as the readers have them."""

    def __init__(self, schema: str) -> None:
        self.tables = postgres_tables(schema)
        self.words: Words = PostgresWords()
        self._dialect = PGDialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]

    def execute(self, connection: sa.Connection, statement: Any) -> Any:
        compiled = statement.compile(dialect=self._dialect, compile_kwargs={"render_postcompile": True})
        return connection.exec_driver_sql(str(compiled) % {name: _quoted(one) for name, one in compiled.params.items()})

    def among(self, column: sa.ColumnElement[Any], ids: Sequence[str]) -> sa.ColumnElement[bool]:
        return column == sa.any_(sa.cast(list(ids), _IDS))

    def json(self, text: str) -> Any:
        return msgspec.json.decode(escape_json_nul(text, escaped=False))

    def flag_records(self, ids: Sequence[str]) -> Any:
        records, operations = self.tables.records, self.tables.operations
        listed = sa.type_coerce(records.c.body, postgresql.JSONB())["operation_ids"]
        each = sa.func.jsonb_array_elements_text(listed).column_valued("one")
        kept = sa.select(operations.c.id).where(operations.c.id.in_(sa.select(sa.cast(each, operations.c.id.type))))
        gone = listed.op("?|", is_comparison=True)(sa.cast(list(ids), postgresql.ARRAY(sa.Text())))
        return sa.delete(records).where(records.c.kind == "flag", gone, ~kept.correlate(records).exists())

    def score_records(self, ids: Sequence[str]) -> Any:
        records = self.tables.records
        spoken_of = sa.type_coerce(records.c.body, postgresql.JSONB())["operation_id"].astext
        mine = spoken_of == sa.any_(sa.cast(list(ids), postgresql.ARRAY(sa.Text())))
        return sa.delete(records).where(records.c.kind == "score", mine)

    def lock_deletions(self, connection: sa.Connection) -> None:
        table = connection.dialect.identifier_preparer.format_table(self.tables.deletions)
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
        # Every writer reads this table first in its transaction: whoever did before now has committed after this.
        connection.exec_driver_sql(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")


_IDS = postgresql.ARRAY(postgresql.UUID(as_uuid=False))


def _quoted(value: Any) -> str:
    """Return a value as a literal, whatever ``standard_conforming_strings`` says."""
    text = str(value).replace("'", "''")
    return " E'" + text.replace("\\", "\\\\") + "'" if "\\" in text else f"'{text}'"
