"""This module is where SQLAlchemy engines are made: one for a SQLite file, one for a PostgreSQL server.

Neither keeps a connection when nobody uses it (``NullPool``), so that nothing is left to close or to inherit by a
fork. An engine belongs to the event loop on which it is used.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiosqlite
from sqlalchemy import URL, AdaptedConnection, Connection, NullPool, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_fixed

from aicore_obs.errors import ConfigurationError, StoreDamagedError
from aicore_obs.stores.sql import sqlite_files

BUSY_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 10.0
# Execution options of a connection that only reads: in SQLite its transaction takes no write lock.
READ_ONLY: dict[str, Any] = {"aicore_obs_begin": "BEGIN DEFERRED"}

# Where a connection of the pool keeps which file it has open.
_FILE = "aicore_obs_file"
_SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")
# Words of libpq's client side that asyncpg would hand to the server, which refuses them; and SQLAlchemy's own.
_NOT_FOR_SERVER = frozenset(
    {
        "async_fallback",
        "channel_binding",
        "connect_timeout",
        "fallback_application_name",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "prepared_statement_cache_size",
        "prepared_statement_name_func",
        "require_auth",
        "requirepeer",
        "sslcompression",
        "sslsni",
        "statement_cache_size",
        "tcp_user_timeout",
    }
)


def sqlite_engine(path: Path, *, sync: bool, file_mode: int) -> AsyncEngine:
    """Return an engine for a SQLite file in WAL mode; connecting makes the file and its folder when missing.

    Transactions are ``BEGIN IMMEDIATE`` (see :data:`READ_ONLY`) and hold DDL too. ``sync``: a commit survives the
    loss of power.

    Raises (on connecting):
        StoreDamagedError: the file is not a SQLite database.
    """
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        poolclass=NullPool,
        # Without an isolation level the driver begins nothing by itself; ``_begin`` does.
        connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None},
    )

    def create_file(*_: Any) -> None:
        _create_file(path, file_mode=file_mode)

    def prepare(connection: AdaptedConnection, record: ConnectionPoolEntry) -> None:
        connection.run_async(lambda raw: _prepare(raw, path=path, sync=sync))
        record.info[_FILE] = sqlite_files.opened(path)

    def forget(_: Any, record: ConnectionPoolEntry) -> None:
        sqlite_files.closed(record.info.pop(_FILE, None))

    event.listen(engine.sync_engine, "do_connect", create_file)
    event.listen(engine.sync_engine, "connect", prepare)
    event.listen(engine.sync_engine, "close", forget)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def postgres_engine(url: str) -> AsyncEngine:
    """Return an engine for PostgreSQL that also works behind PgBouncer in transaction mode: no named statements.

    Raises:
        ConfigurationError: the URL is not one of PostgreSQL.
    """
    arguments = {**connect_arguments(url), "prepared_statement_cache_size": 0}
    # The URL stays out of the engine: SQLAlchemy knows fewer of libpq's words than asyncpg, and would print it.
    return create_async_engine("postgresql+asyncpg://", poolclass=NullPool, connect_args=arguments)


def connect_arguments(url: str) -> dict[str, Any]:
    """Return the arguments of ``asyncpg.connect`` for a user's URL; libpq's parameters keep their meaning.

    Raises:
        ConfigurationError: the URL is not one of PostgreSQL.
    """
    address, _, query = url.partition("?")
    scheme, separator, rest = address.partition("://")
    if scheme not in _SCHEMES or not separator:
        raise ConfigurationError(f"a database URL starts with postgresql://, this one with {scheme[:20]!r}")
    given = dict(parse_qsl(query))
    if "ssl" in given:
        given.setdefault("sslmode", given.pop("ssl"))
    kept = {name: value for name, value in given.items() if name not in _NOT_FOR_SERVER}
    dsn = f"postgresql://{rest}" + (f"?{urlencode(kept)}" if kept else "")
    return {"dsn": dsn, "timeout": _connect_timeout(given.get("connect_timeout")), "statement_cache_size": 0}


def _connect_timeout(value: str | None) -> float:
    if value is None:
        return CONNECT_TIMEOUT_S
    try:
        seconds = float(value)
    except ValueError as error:
        raise ConfigurationError(f"connect_timeout={value!r} in the database URL: seconds are needed") from error
    # libpq: zero and less mean no limit; here every wait has one.
    return seconds if seconds > 0 else CONNECT_TIMEOUT_S


def _create_file(path: Path, *, file_mode: int) -> None:
    """Create the file before SQLite does, so that others can never read it, not even for a moment."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except FileExistsError:  # another process was faster
        return
    os.close(descriptor)
    # The mode that was asked for, whatever the umask takes away; SQLite gives it to the -wal and -shm files too.
    path.chmod(file_mode)


async def _prepare(raw: aiosqlite.Connection, *, path: Path, sync: bool) -> None:
    """Set what a connection needs; close it when that fails, since nobody else would."""
    async with AsyncExitStack() as undo:
        undo.push_async_callback(raw.close)
        try:
            # Processes that switch a new file to WAL at once may get "locked" without SQLite waiting: seen by 2 of 320.
            async for attempt in AsyncRetrying(
                retry=retry_if_exception(_is_busy),
                stop=stop_after_delay(BUSY_TIMEOUT_S),
                wait=wait_fixed(0.01),
                reraise=True,
            ):
                with attempt:
                    # Of an empty file only: one that is there keeps what it has until it is vacuumed as a whole, and
                    # the question alone takes the write lock.
                    if path.stat().st_size == 0:
                        await raw.execute_fetchall("PRAGMA auto_vacuum=INCREMENTAL")
                    await raw.execute_fetchall("PRAGMA journal_mode=WAL")
            await raw.execute_fetchall(f"PRAGMA synchronous={'FULL' if sync else 'NORMAL'}")
        except sqlite3.DatabaseError as error:
            raise _translated(error, path) from error
        undo.pop_all()


def _is_busy(error: BaseException) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _translated(error: sqlite3.DatabaseError, path: Path) -> Exception:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return StoreDamagedError(f"{path} is not a SQLite database ({error}); move it away or name another file")
    return error


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    connection.exec_driver_sql(options.get("aicore_obs_begin", "BEGIN IMMEDIATE"))
