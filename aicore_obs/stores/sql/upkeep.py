"""This module is where a SQL store is looked after by hand: its DDL printed, its schema taken back, its state examined.

Nothing here runs on the road. Examining changes nothing, and never makes a file or a schema.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from aicore_obs.errors import ConfigurationError, SchemaError, StoreDamagedError, StoreError
from aicore_obs.protocols import Address
from aicore_obs.stores.sql.engines import READ_ONLY, postgres_engine, sqlite_engine
from aicore_obs.stores.sql.migrations.migrator import Migrator
from aicore_obs.stores.sql.migrations.place import Place
from aicore_obs.stores.sql.migrations.rights import Rights
from aicore_obs.stores.sql.schema import Schema
from aicore_obs.stores.sql.tables import Tables, postgres_tables, sqlite_tables

# A writer holds the lock for one batch; who holds it longer keeps everybody out.
LOCKED_AFTER_S = 2.0
_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")


class SchemaState(msgspec.Struct, frozen=True, kw_only=True):
    """A store's schema beside this program's: versions (0: none), and whether the way up has a major step."""

    version: int
    program_version: int
    oldest_writer: int
    needs_major: bool

    @property
    def is_behind(self) -> bool:
        """Return whether steps are to be taken."""
        return self.version < self.program_version

    @property
    def is_too_new(self) -> bool:
        """Return whether the schema no longer takes what this program writes."""
        return self.oldest_writer > self.program_version


def ddl(address: Address, *, start: int = 0) -> str:
    """Return the statements from version ``start`` to this program's, in one transaction; nothing is connected to.

    Raises:
        ConfigurationError: there is no such version, or the store is no database.
    """
    migrator = Migrator(Place.of(tables_of(address)))
    if not 0 <= start <= migrator.program_version:
        raise ConfigurationError(f"version {start}: this program knows the versions 0 to {migrator.program_version}")
    return migrator.sql(start=start)


async def downgrade(address: Address, target: int) -> int:
    """Take the schema back to version ``target``; what only the newer version can hold is lost.

    Raises:
        SchemaError: there is no such way back.
    """
    engine = engine_of(address)
    try:
        return await Schema(engine, tables_of(address)).downgrade(target)
    finally:
        await engine.dispose()


async def examine(address: Address) -> SchemaState:
    """Return the state of the schema, after a look at whether this program may and can write there now.

    Raises:
        SchemaError: a right is missing; the message has the GRANT.
        StoreDamagedError: the file is not a SQLite database.
        StoreError: the database is locked, or says no for another reason.
    """
    if address.path is not None:
        return _examine_sqlite(address.path)
    engine = engine_of(address)
    try:
        async with engine.execution_options(**READ_ONLY).connect() as connection:
            return await connection.run_sync(lambda sync: _examine_postgres(sync, tables_of(address)))
    finally:
        await engine.dispose()


def tables_of(address: Address) -> Tables:
    """Return the tables of a database.

    Raises:
        ConfigurationError: it is none.
    """
    if address.kind == "sqlite":
        return sqlite_tables()
    if address.kind == "postgresql":
        return postgres_tables(address.options.db_schema)
    raise ConfigurationError(f"{address.name} is no database: only databases have a schema")


def engine_of(address: Address) -> AsyncEngine:
    """Return an engine that reads and writes a database, for the running loop."""
    if address.path is not None:
        return sqlite_engine(address.path, sync=True, file_mode=address.options.file_mode)
    return postgres_engine(address.url or "")


def _state(migrator: Migrator, connection: sa.Connection) -> SchemaState:
    state = migrator.state(connection)
    return SchemaState(
        version=state.version,
        program_version=migrator.program_version,
        oldest_writer=state.oldest_writer,
        needs_major=migrator.needs_major(state.version, migrator.program_version),
    )


def _examine_postgres(connection: sa.Connection, tables: Tables) -> SchemaState:
    migrator = Migrator(Place.of(tables))
    state = _state(migrator, connection)
    schema = str(tables.metadata.schema)
    if state.is_behind:
        Rights.read(connection, schema=schema, version_table="alembic_version").check_create()
    if state.version:
        _check_write(connection, tables, schema)
    return state


def _check_write(connection: sa.Connection, tables: Tables, schema: str) -> None:
    # Whichever of our tables are there: an older schema has fewer.
    question = sa.text(
        "SELECT current_user, array("
        "SELECT DISTINCT one FROM unnest(cast(:rights AS text[])) AS one, pg_catalog.pg_tables "
        "WHERE schemaname = :schema AND tablename = any(cast(:tables AS text[])) "
        "AND NOT has_table_privilege(format('%I.%I', schemaname, tablename), one))"
    )
    values = {"rights": list(_RIGHTS), "schema": schema, "tables": [one.name for one in tables.written]}
    role, missing = connection.execute(question, values).one()
    if missing:
        raise SchemaError(
            f'role "{role}" may not write in schema "{schema}"; needed: '
            f'GRANT {", ".join(_RIGHTS)} ON ALL TABLES IN SCHEMA "{schema}" TO "{role}"'
        )


def _examine_sqlite(path: Path) -> SchemaState:
    with _translated(path):
        # Not the writers' engine: that one makes a missing file and switches a stranger's database to WAL.
        engine = sa.create_engine("sqlite://", creator=lambda: _connect(path, "ro"), poolclass=sa.NullPool)
        with engine.connect() as connection:
            state = _state(Migrator(Place.of(sqlite_tables())), connection)
        with closing(_connect(path, "rw")) as raw:
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("ROLLBACK")
    return state


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=LOCKED_AFTER_S, isolation_level=None)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.DatabaseError, sa.exc.DBAPIError) as error:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise StoreDamagedError(f"{path} is no SQLite database, or it is damaged ({cause})") from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreError(f"{path} is locked by another process for more than {LOCKED_AFTER_S:g} s") from error
        raise StoreError(f"{path}: {cause}") from error
