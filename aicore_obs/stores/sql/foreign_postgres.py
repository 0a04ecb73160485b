"""This module is where a PostgreSQL database that another program made is read; nothing in it is ever changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import asyncpg
from anyio.from_thread import BlockingPortal, start_blocking_portal

from aicore_obs.errors import StoreError
from aicore_obs.stores.sql.engines import connect_arguments

PAGE_ROWS = 100
_COLUMNS = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"


def columns(url: str) -> dict[str, frozenset[str]]:
    """Return the tables of the schema that the connection comes to, with the names of their columns.

    Raises:
        StoreError: the server cannot be asked.
    """
    found: dict[str, set[str]] = {}
    for row in rows(url, _COLUMNS):
        found.setdefault(row["table_name"], set()).add(row["column_name"])
    return {table: frozenset(names) for table, names in found.items()}


def rows(url: str, sql: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of one statement of ours, page by page.

    Raises:
        StoreError: the server cannot be asked.
    """
    with _opened(url) as (portal, connection):
        transaction = connection.transaction(isolation="repeatable_read", readonly=True)
        portal.call(transaction.start)
        cursor = portal.call(_cursor, connection, sql)
        while page := portal.call(cursor.fetch, PAGE_ROWS):
            yield from map(dict, page)


async def _cursor(connection: Any, sql: str) -> Any:
    return await connection.cursor(sql)


@contextmanager
def _opened(url: str) -> Iterator[tuple[BlockingPortal, Any]]:
    try:
        with start_blocking_portal("asyncio", name="aicore-obs-import") as portal:
            connection = portal.call(partial(asyncpg.connect, **connect_arguments(url)))
            try:
                yield portal, connection
            finally:
                portal.call(_terminate, connection)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StoreError(
            f"cannot read the PostgreSQL database ({type(error).__name__}: {error}); check the URL and the server"
        ) from error


async def _terminate(connection: Any) -> None:
    connection.terminate()
