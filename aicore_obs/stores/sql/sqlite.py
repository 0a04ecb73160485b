"""This module is where records are written into a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, islice
from typing import Any

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from aicore_obs.errors import SchemaError, SinkRejected, SinkUnavailable, StoreDamagedError
from aicore_obs.protocols import Address, Batch
from aicore_obs.stores.sql import sqlite_files
from aicore_obs.stores.sql.deletions import still_wanted
from aicore_obs.stores.sql.engines import sqlite_engine
from aicore_obs.stores.sql.rows import KeyCatalogue, Row, Rows, sqlite_amount, sqlite_time
from aicore_obs.stores.sql.schema import Schema
from aicore_obs.stores.sql.statements import repeated, statements
from aicore_obs.stores.sql.tables import sqlite_tables

# Rows that one statement inserts; the parameters stay below the 999 that SQLite before 3.32 takes.
OPERATIONS_AT_ONCE = 14
PAYLOADS_AT_ONCE = 28
# What SQLite says of values, not of itself.
_ROW_ERRORS = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeError,
)


class SqliteStore:
    """One SQLite file. One transaction a batch, ``executemany`` for each table, WAL."""

    # See ``sqlite_files``: no forked child may inherit the connection.
    closes_for_forks = True

    def __init__(self, address: Address) -> None:
        if address.path is None:
            raise AssertionError("a SQLite address has a path")
        self.name = address.name
        self._path = address.path
        self._options = address.options
        self._tables = sqlite_tables()
        self._statements = statements(self._tables, SQLiteDialect_aiosqlite())
        self._engine: AsyncEngine | None = None
        self._connection: AsyncConnection | None = None
        self._driver: aiosqlite.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._keys = KeyCatalogue(())

    async def open(self) -> None:
        """Connect and bring the schema up to date."""
        if sqlite_files.is_inherited(self._file()):
            raise SinkUnavailable(
                f"{self._path} was in use when this process was forked, and must not be written here; records wait in "
                "the journal and are delivered by another process"
            )
        with _translated(self.name):
            self._engine = self._new_engine()
            await Schema(self._engine, self._tables).ensure(self._options.migrate)
            self._connection = await self._engine.connect()
            raw = await self._connection.get_raw_connection()
            self._driver = raw.driver_connection
            self._inode = self._file()
            if self._options.sync:
                await self._sync_log()
            known = await self._running().execute_fetchall(self._statements.known_keys)
            self._keys = KeyCatalogue([tuple(row) for row in known])

    async def write(self, batch: Batch) -> None:
        """Store the batch in one transaction."""
        if self._file() != self._inode:
            raise SinkUnavailable(f"{self._path} was moved or replaced; it is opened again")
        driver = self._running()

        async def fetch(statement: str, value: str) -> Iterable[Any]:
            return await driver.execute_fetchall(statement, (value,))

        with _translated(self.name):
            await driver.execute("BEGIN IMMEDIATE")
            try:
                wanted = await still_wanted(self.name, batch, self._statements, fetch)
                rows = Rows(wanted, time=sqlite_time, amount=sqlite_amount, nul_safe=False)
                new_keys = self._keys.new(rows.keys())
                await self._insert(driver, rows)
                if new_keys:
                    await driver.executemany(self._statements.keys, new_keys)
                await driver.commit()
            except BaseException:
                await driver.rollback()
                raise
        self._keys.committed(new_keys)

    async def _insert(self, driver: aiosqlite.Connection, rows: Rows) -> None:
        operations, payloads = rows.replaced()
        if operations:
            await driver.executemany(self._statements.replaced_operation, operations)
            await driver.executemany(self._statements.replaced_payload, payloads)
        await _insert_many(driver, self._statements.operations, rows.operations(), OPERATIONS_AT_ONCE)
        await _insert_many(driver, self._statements.payloads, rows.payloads(), PAYLOADS_AT_ONCE)
        if rows.has_others():
            await driver.executemany(self._statements.records, rows.records())
            await driver.executemany(self._statements.flags, rows.flags())
            await driver.executemany(self._statements.cost_revisions, rows.cost_revisions())
            await driver.executemany(self._statements.scores, rows.scores())

    async def aclose(self) -> None:
        """Close the connection."""
        connection, engine, driver = self._connection, self._engine, self._driver
        self._connection = self._engine = self._driver = None
        try:
            if driver is not None and self._file() != self._inode:
                await self._take_log_along(driver)
            if connection is not None:
                await connection.close()
        finally:
            if engine is not None:
                await engine.dispose()

    async def _sync_log(self) -> None:
        """Bring to the disk what SQLite's log holds, or raise.

        A commit that fails at its fsync leaves its rows in the log all the same. Whoever opens the file next finds
        them there, has nothing to write when the batch comes again, and so syncs nothing.
        """
        for busy, *_ in await self._running().execute_fetchall("PRAGMA wal_checkpoint(FULL)"):
            if busy:
                raise SinkUnavailable(f"{self.name}: somebody reads, so that the log cannot be brought to the disk")

    async def _take_log_along(self, driver: aiosqlite.Connection) -> None:
        """Empty the log beside a file that was moved away, into that file.

        At close SQLite does so for a file that is still in its place only. A log that stays behind would be lost for
        the moved file, and laid over whatever file has its name now: https://www.sqlite.org/howtocorrupt.html (1.4).
        """
        with suppress(sqlite3.Error, ValueError):
            await driver.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")

    async def migrate(self, *, allow_major: bool = False) -> int:
        """Bring the schema to this program's version."""
        engine = self._new_engine()
        try:
            return await Schema(engine, self._tables).migrate(allow_major=allow_major)
        finally:
            await engine.dispose()

    async def schema_version(self) -> int:
        """Return the version of the schema in the file, 0 when there is none; never makes the file."""
        if not self._path.exists():
            return 0
        engine = self._new_engine()
        try:
            return await Schema(engine, self._tables).version()
        finally:
            await engine.dispose()

    def _new_engine(self) -> AsyncEngine:
        return sqlite_engine(self._path, sync=self._options.sync, file_mode=self._options.file_mode)

    def _running(self) -> aiosqlite.Connection:
        if self._driver is None:
            raise SinkUnavailable(f"{self.name} is not open")
        return self._driver

    def _file(self) -> tuple[int, int] | None:
        return sqlite_files.key_of(self._path)


async def _insert_many(driver: aiosqlite.Connection, statement: str, rows: Iterator[Row], at_once: int) -> None:
    """Insert rows, so many by one statement.

    Rows are made in the driver's thread. While SQLite works the interpreter lock is free, and what one row takes it is
    too short for a waiting thread to wake up in: an event loop beside would wait for the interpreter's 5 ms each time.
    """
    rest: list[Row] = []

    def groups() -> Iterator[Row]:
        while len(group := list(islice(rows, at_once))) == at_once:
            yield tuple(chain.from_iterable(group))
        rest.extend(group)

    await driver.executemany(repeated(statement, at_once), groups())
    await driver.executemany(statement, rest)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn SQLite's errors into what the road understands."""
    try:
        yield
    except _ROW_ERRORS as error:
        raise SinkRejected(f"{name}: {error}") from error
    except (sqlite3.Error, SQLAlchemyError, SchemaError, StoreDamagedError, OSError, ValueError) as error:
        raise SinkUnavailable(f"{name}: {error}") from error
