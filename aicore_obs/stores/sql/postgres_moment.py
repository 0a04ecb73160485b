"""This module is where a mirror is told what came into a PostgreSQL schema since it looked last.

Several writers commit in any order, so that neither an id nor a number of a sequence says what is new. But each row
says which transaction wrote it, and each snapshot which transactions had ended: a row that an earlier snapshot did not
see was written by one that is no older than the oldest that had not ended then. So was a row that somebody changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import msgspec
import polars as pl
import sqlalchemy as sa
from anyio.from_thread import BlockingPortal
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.base import PGDialect

from aicore_obs.model.filter import Filter
from aicore_obs.model.ids import from_microseconds
from aicore_obs.stores.catalogue import EMPTY
from aicore_obs.stores.frame import REVISION, Shape, raw_columns
from aicore_obs.stores.mirror.source import STORED, Frames, Span, Unfit
from aicore_obs.stores.sql.postgres_reader import PostgresReader, copied, has, reading_portal
from aicore_obs.stores.sql.query import select_operations
from aicore_obs.stores.sql.tables import Tables, There
from aicore_obs.stores.sql.words import PostgresWords

BATCH_ROWS = 65_536
IDS_AT_ONCE = 1_000
# Numbers of transactions have 32 bits in rows: so many lie before one, and as many after it.
_HALF = 2**31
_WORDS = PostgresWords()
_SHAPE = Shape(EMPTY)
_DIALECT = PGDialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]
_IDS = postgresql.ARRAY(postgresql.UUID(as_uuid=False))
# The functions' older names, which every version knows.
_SNAPSHOT = "SELECT t::text, txid_snapshot_xmin(t), txid_snapshot_xmax(t) FROM txid_current_snapshot() AS t"
_MAY_ASK = (
    "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')"
    " AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE')"
)
_CLUSTER = (
    "SELECT system_identifier::text || ' ' || timeline_id::text FROM pg_control_system(), pg_control_checkpoint()"
)
_TABLES = (
    "SELECT d.oid::text || ' ' || string_agg(c.oid::text, ' ' ORDER BY c.relname)"
    " FROM pg_database AS d, pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE d.datname = current_database() AND n.nspname = $1 AND c.relname = ANY($2::text[]) GROUP BY d.oid"
)


class _Mark(msgspec.Struct, frozen=True):
    """A snapshot, the oldest transaction that had not ended in it, and what there was."""

    snapshot: str
    oldest: int
    is_quiet: bool
    operations: int
    revisions: int


class PostgresSource(PostgresReader):
    """A reader of a PostgreSQL schema that can be mirrored."""

    @contextmanager
    def moment(self, mark: str | None) -> Iterator[PostgresMoment | None]:
        """Look at the schema; see :class:`~aicore_obs.stores.mirror.source.Source`."""
        before = None if mark is None else msgspec.json.decode(mark, type=_Mark)
        with (
            self._translated(),
            reading_portal() as portal,
            portal.wrap_async_context_manager(self._snapshot()) as connection,
        ):
            facts = portal.call(self._facts, connection, before)
            yield facts and PostgresMoment(portal, connection, self._tables, facts)

    async def _facts(self, connection: Any, before: _Mark | None) -> _Facts | None:
        if not await has(connection, self._tables.operations):
            return None
        if not await connection.fetchval(_MAY_ASK):
            raise Unfit("this user may not ask the server which one it is (pg_control_system, pg_control_checkpoint)")
        there = await self._there(connection)
        snapshot, oldest, end = await connection.fetchrow(_SNAPSHOT)
        is_quiet = oldest == end
        # Where every transaction had ended and none came since, every row is what it was. On a standby a snapshot
        # does not name those that have not ended.
        if before is not None and is_quiet and before.is_quiet and snapshot == before.snapshot:
            operations, revisions, news, new_revisions = before.operations, before.revisions, 0, 0
        else:
            follows = before is not None and 0 <= end - before.oldest < _HALF
            since = before.oldest if before is not None and follows else None
            operations, news = await connection.fetchrow(_counted(self._tables.operations, since))
            revisions, new_revisions = 0, 0
            if there.costs:
                revisions, new_revisions = await connection.fetchrow(_counted(self._tables.cost_revisions, since))
            before = before if follows else None
        names = [self._tables.operations.name, self._tables.cost_revisions.name]
        identity = await connection.fetchval(_TABLES, self._tables.operations.schema, names)
        log = self._tables.schema_log
        version = await connection.fetchval(_max_of(log)) if await has(connection, log) else None
        return _Facts(
            there=there,
            since=None if before is None else before.oldest,
            identity=f"{await connection.fetchval(_CLUSTER)} {identity} {version}",
            mark=_Mark(snapshot, oldest, is_quiet, operations, revisions),
            news=news,
            new_revisions=new_revisions,
        )


class _Facts(msgspec.Struct, frozen=True, kw_only=True):
    there: There
    since: int | None
    identity: str
    mark: _Mark
    news: int
    new_revisions: int


class PostgresMoment:
    """One snapshot of a PostgreSQL schema; see :class:`~aicore_obs.stores.mirror.source.Moment`."""

    def __init__(self, portal: BlockingPortal, connection: Any, tables: Tables, facts: _Facts) -> None:
        self._portal = portal
        self._connection = connection
        self._tables = tables
        self._facts = facts
        self.identity = facts.identity
        self.mark = msgspec.json.encode(facts.mark).decode()
        self.operations = facts.mark.operations
        self.revisions = facts.mark.revisions
        self.news = facts.news

    def follows(self) -> bool:
        return self._facts.since is not None

    def came(self) -> Frames:
        if self._facts.since is not None and self.news:
            yield from self._frames(_written_since(self._tables.operations, self._facts.since))

    def recosted(self) -> list[str]:
        if self._facts.since is None or not self._facts.new_revisions:
            return []
        revisions = self._tables.cost_revisions
        statement = sa.select(revisions.c.operation_id).where(_written_since(revisions, self._facts.since))
        return [row for raw in self._raws(statement, ["operation_id"]) for row in raw["operation_id"]]

    def between(self, span: Span) -> Frames:
        return self._frames(*self._within(span))

    def counts(self, spans: Sequence[Span]) -> list[int]:
        operations = self._tables.operations
        each = [sa.select(sa.func.count()).select_from(operations).where(*self._within(span)) for span in spans]
        if not each:
            return []
        names = [f"span_{number}" for number in range(len(each))]
        statement = sa.select(*(one.scalar_subquery().label(name) for name, one in zip(names, each, strict=True)))
        return [int(count) for raw in self._raws(statement, names) for count in raw.row(0)]

    def of(self, ids: Sequence[str]) -> Frames:
        for start in range(0, len(ids), IDS_AT_ONCE):
            among = sa.any_(sa.cast("{" + ",".join(ids[start : start + IDS_AT_ONCE]) + "}", _IDS))
            yield from self._frames(self._tables.operations.c.id == among)

    def newest_revisions(self) -> pl.DataFrame:
        if not self._facts.there.costs:
            return pl.DataFrame(schema={"operation_id": pl.String, REVISION: pl.String})
        revisions = self._tables.cost_revisions.c
        newest = sa.func.max(sa.cast(revisions.record_id, sa.Text()))
        statement = sa.select(revisions.operation_id, newest).group_by(revisions.operation_id)
        names = ["operation_id", REVISION]
        empty = pl.DataFrame(schema=dict.fromkeys(names, pl.String))
        return pl.concat([empty, *self._raws(statement, names)])

    def _frames(self, *conditions: sa.ColumnElement[bool]) -> Frames:
        statement = select_operations(self._tables, _WORDS, Filter(), STORED, there=self._facts.there)
        waiting: list[pl.DataFrame] = []
        with closing(self._raws(statement.where(*conditions), raw_columns(STORED))) as raws:
            for raw in raws:
                waiting.append(_SHAPE.frame(raw, STORED))
                if sum(one.height for one in waiting) >= BATCH_ROWS:
                    yield pl.concat(waiting)
                    waiting = []
        if waiting:
            yield pl.concat(waiting)

    def _raws(self, statement: sa.Select[Any], names: Sequence[str]) -> Frames:
        return copied(self._portal, self._connection, statement, names)

    def _within(self, span: Span) -> Iterator[sa.ColumnElement[bool]]:
        after, until = span
        when = self._tables.operations.c.timestamp
        if after is not None:
            yield when > _WORDS.time(from_microseconds(after))
        if until is not None:
            yield when <= _WORDS.time(from_microseconds(until))


def _written_since(table: sa.Table, transaction: int) -> sa.ColumnElement[bool]:
    """Say that a row was written by a transaction that is no older than this one."""
    writer: sa.ColumnClause[Any] = sa.column("xmin")
    writer.table = table
    return sa.func.age(writer) <= sa.literal_column(f"age('{transaction % 2**32}'::xid)")


def _counted(table: sa.Table, transaction: int | None) -> str:
    """Return the SELECT of the numbers of all rows and of those written since."""
    since = sa.literal(0) if transaction is None else sa.func.count().filter(_written_since(table, transaction))
    statement = sa.select(sa.func.count(), since).select_from(table)
    return str(statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))


def _max_of(log: sa.Table) -> str:
    return str(sa.select(sa.func.max(log.c.version)).compile(dialect=_DIALECT))
