"""This module is where records are written into PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import asyncpg
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from aicore_obs.errors import SchemaError, SinkRejected, SinkUnavailable
from aicore_obs.protocols import Address, Batch
from aicore_obs.stores.sql.deletions import still_wanted
from aicore_obs.stores.sql.engines import connect_arguments, postgres_engine
from aicore_obs.stores.sql.rows import KeyCatalogue, Row, Rows, postgres_amount
from aicore_obs.stores.sql.schema import Schema
from aicore_obs.stores.sql.statements import statements
from aicore_obs.stores.sql.tables import postgres_tables

# Classes of SQLSTATE that speak of the row and not of the server: data, integrity, a limit of the program (an index
# entry that is too long). https://www.postgresql.org/docs/current/errcodes-appendix.html
_ROW_CLASSES = frozenset({"22", "23", "54"})
# How many rows are handed to the driver before the interpreter lock is given up: about 150 µs of work.
_SLICE = 12


class PostgresStore:
    """One PostgreSQL database, as a guest in a schema of its own, over one connection.

    Every statement runs in a transaction and none is named, so that PgBouncer may give each transaction another server.
    """

    def __init__(self, address: Address) -> None:
        if address.url is None:
            raise AssertionError("a PostgreSQL address has a URL")
        self.name = address.name
        self._url = address.url
        self._options = address.options
        self._tables = postgres_tables(address.options.db_schema)
        self._statements = statements(self._tables, PGDialect_asyncpg())  # type: ignore[no-untyped-call]
        self._connection: Any = None
        self._keys = KeyCatalogue(())

    async def open(self) -> None:
        """Connect and bring the schema up to date."""
        with _translated(self.name):
            await self._with_engine(lambda schema: schema.ensure(self._options.migrate))
            self._connection = await asyncpg.connect(**connect_arguments(self._url))
            async with self._connection.transaction():
                known = await self._connection.fetch(self._statements.known_keys)
            self._keys = KeyCatalogue([tuple(row) for row in known])

    async def write(self, batch: Batch) -> None:
        """Store the batch in one transaction."""
        connection = self._connection
        if connection is None or connection.is_closed():
            raise SinkUnavailable(f"{self.name}: the connection is closed")
        with _translated(self.name), _values_refused(self.name):
            try:
                new_keys = await self._stored(connection, batch, self._copy)
            except asyncpg.UniqueViolationError:
                # Part of the batch is there already: a replay. Slower, and ignores what is there.
                new_keys = await self._stored(connection, batch, self._insert)
        self._keys.committed(new_keys)

    async def _stored(self, connection: Any, batch: Batch, store: Callable[[Any, Rows], Awaitable[None]]) -> list[Row]:
        async with connection.transaction():
            wanted = await still_wanted(self.name, batch, self._statements, connection.fetch)
            rows = Rows(wanted, time=lambda when: when, amount=postgres_amount, nul_safe=True)
            new_keys = self._keys.new(rows.keys())
            operations, payloads = rows.replaced()
            if operations:
                await connection.executemany(self._statements.replaced_operation, operations)
                await connection.executemany(self._statements.replaced_payload, payloads)
            await store(connection, rows)
            await self._others(connection, rows, new_keys)
        return new_keys

    async def _copy(self, connection: Any, rows: Rows) -> None:
        for table, ready in (
            (self._tables.operations, rows.operations()),
            (self._tables.payloads, rows.payloads()),
        ):
            await connection.copy_records_to_table(
                table.name, schema_name=table.schema, columns=table.columns.keys(), records=_in_slices(ready)
            )

    async def _insert(self, connection: Any, rows: Rows) -> None:
        await connection.executemany(self._statements.operations, _in_slices(rows.operations()))
        await connection.executemany(self._statements.payloads, _in_slices(rows.payloads()))

    async def _others(self, connection: Any, rows: Rows, new_keys: Sequence[Row]) -> None:
        if new_keys:
            await connection.executemany(self._statements.keys, new_keys)
        if rows.has_others():
            await connection.executemany(self._statements.records, rows.records())
            await connection.executemany(self._statements.flags, rows.flags())
            await connection.executemany(self._statements.cost_revisions, rows.cost_revisions())
            await connection.executemany(self._statements.scores, rows.scores())

    async def aclose(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=1)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()

    async def migrate(self, *, allow_major: bool = False) -> int:
        """Bring the schema to this program's version."""
        return await self._with_engine(lambda schema: schema.migrate(allow_major=allow_major))

    async def schema_version(self) -> int:
        """Return the version of the schema in the database, 0 when there is none."""
        return await self._with_engine(lambda schema: schema.version())

    async def _with_engine(self, work: Any) -> int:
        engine: AsyncEngine = postgres_engine(self._url)
        try:
            version: int = await work(Schema(engine, self._tables))
            return version
        finally:
            await engine.dispose()


def _in_slices(rows: Iterator[Row]) -> Iterator[Row]:
    """Yield the rows, and give up the interpreter lock every few: the driver encodes without doing so."""
    for index, row in enumerate(rows):
        if index % _SLICE == 0:
            time.sleep(0)
        yield row


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn the driver's errors into what the road understands; no message of them holds the URL."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if str(error.sqlstate)[:2] in _ROW_CLASSES:
            raise SinkRejected(f"{name}: {error}") from error
        raise SinkUnavailable(f"{name}: {error}") from error
    except (asyncpg.InterfaceError, SQLAlchemyError, SchemaError, OSError, ValueError) as error:
        raise SinkUnavailable(f"{name}: {error}") from error


@contextmanager
def _values_refused(name: str) -> Iterator[None]:
    """While rows are written, what the driver cannot encode (its DataError included) is a verdict on the row."""
    try:
        yield
    except (ValueError, TypeError, OverflowError) as error:
        raise SinkRejected(f"{name}: {error}") from error
