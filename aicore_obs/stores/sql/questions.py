"""This module is where somebody's own question in SQL is put to a database, which itself refuses to write."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import asyncpg
import msgspec

from aicore_obs.errors import ConfigurationError, StoreDamagedError, StoreError, StoreNotFoundError
from aicore_obs.protocols import Address
from aicore_obs.stores.sql import sqlite_files
from aicore_obs.stores.sql.engines import connect_arguments
from aicore_obs.stores.sql.tables import SQLITE_PREFIX

# How many steps of SQLite's machine pass between two looks at the clock: about a millisecond.
_STEPS = 10_000
_NO_ROWS = "that is no question: only a statement that returns rows is asked (SELECT, WITH, VALUES, EXPLAIN)"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The columns and rows of an answer; ``is_cut``: there are more rows than were asked for."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    is_cut: bool


async def answer(address: Address, question: str, timeout_s: float, max_rows: int | None) -> Answer:
    """Ask one question of a database, read-only, and return at most ``max_rows`` rows.

    The views can be named without prefix or schema.

    Raises:
        ConfigurationError: the store is no database, or the statement returns no rows.
        StoreNotFoundError: there is no database.
        StoreError: the database cannot answer, or not in time; the message has its words.
    """
    if address.kind not in ("sqlite", "postgresql"):
        raise ConfigurationError(f"{address.name} is no database: only databases answer SQL")
    # One more shows that there are more.
    fetched = None if max_rows is None else max_rows + 1
    with _translated(address.name, timeout_s):
        if address.path is not None:
            columns, rows = _ask_sqlite(address, question, timeout_s, fetched)
        else:
            columns, rows = await _ask_postgres(address, question, timeout_s, fetched)
    return Answer(columns=columns, rows=rows[:max_rows], is_cut=max_rows is not None and len(rows) > max_rows)


_Found = tuple[tuple[str, ...], list[tuple[Any, ...]]]


def _ask_sqlite(address: Address, question: str, timeout_s: float, max_rows: int | None) -> _Found:
    path = address.path
    if path is None or not path.exists():
        raise StoreNotFoundError(f"there is no database {path}; asking never creates one")
    uri = f"{path.as_uri()}?mode=ro"
    with (
        sqlite_files.held(path),
        closing(sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)) as connection,
    ):
        _name_views(connection)
        connection.execute("PRAGMA query_only = ON")
        # No file but this one is opened or made: ATTACH, VACUUM INTO.
        connection.set_authorizer(_only_this_file)
        deadline = time.monotonic() + timeout_s
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        with closing(connection.execute(question)) as cursor:
            if cursor.description is None:
                raise ConfigurationError(_NO_ROWS)
            columns = tuple(column[0] for column in cursor.description)
            return columns, cursor.fetchall() if max_rows is None else cursor.fetchmany(max_rows)


def _only_this_file(action: int, *_: object) -> int:
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK


def _name_views(connection: sqlite3.Connection) -> None:
    """Let the views be called as in PostgreSQL, for this connection only."""
    connection.execute("PRAGMA temp_store = MEMORY")
    views = "SELECT name FROM sqlite_master WHERE type = 'view' AND substr(name, 1, length(?1)) = ?1"
    for (name,) in connection.execute(views, (SQLITE_PREFIX,)).fetchall():
        short = name.removeprefix(SQLITE_PREFIX)
        connection.execute(f'CREATE TEMP VIEW "{short}" AS SELECT * FROM main."{name}"')  # noqa: S608


async def _ask_postgres(address: Address, question: str, timeout_s: float, max_rows: int | None) -> _Found:
    connection = await asyncpg.connect(**connect_arguments(address.url or ""))
    try:
        async with connection.transaction(readonly=True):
            settings = "SELECT set_config('statement_timeout', $1, true), set_config('search_path', $2, true)"
            schema = address.options.db_schema.replace('"', '""')
            await connection.fetch(settings, str(max(1, int(timeout_s * 1000))), f'"{schema}", public')
            # Prepared, so that there can be one statement only: nothing ends the transaction and goes on.
            prepared = await connection.prepare(question)
            columns = tuple(attribute.name for attribute in prepared.get_attributes())
            if not columns:
                raise ConfigurationError(_NO_ROWS)
            rows = await (prepared.fetch() if max_rows is None else (await prepared.cursor()).fetch(max_rows))
            return columns, [tuple(row) for row in rows]
    finally:
        await connection.close(timeout=1)


@contextmanager
def _translated(name: str, timeout_s: float) -> Iterator[None]:
    try:
        yield
    except sqlite3.Warning as error:
        raise ConfigurationError(f"one statement at a time ({error})") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise StoreDamagedError(f"{name} is no SQLite database, or it is damaged ({error})") from error
        raise StoreError(_said(name, error, timeout_s, is_late=code == sqlite3.SQLITE_INTERRUPT)) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        is_late = isinstance(error, asyncpg.QueryCanceledError)
        raise StoreError(_said(name, error, timeout_s, is_late=is_late)) from error


def _said(name: str, error: Exception, timeout_s: float, *, is_late: bool) -> str:
    if is_late:
        return f"{name} had no answer within {timeout_s:g} s; --timeout gives it longer"
    words = " ".join(str(error).split()) or type(error).__name__
    return f"{name} cannot answer: {words}"
