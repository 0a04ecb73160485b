"""This module is where a SQLite database that another program made is read; it is never written to or made."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from aicore_obs.errors import StoreDamagedError, StoreError

BUSY_TIMEOUT_S = 30.0


def columns(path: Path) -> dict[str, frozenset[str]]:
    """Return the tables of a database with the names of their columns.

    Raises:
        StoreDamagedError: it is no database, or damaged.
    """
    with _opened(path) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        ask = "SELECT name FROM pragma_table_info(?)"
        return {name: frozenset(row[0] for row in connection.execute(ask, (name,))) for name in names}


def rows(path: Path, sql: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of one statement of ours.

    Raises:
        StoreError: it cannot be read.
    """
    with _opened(path) as connection, closing(connection.execute(sql)) as cursor:
        names = [one[0] for one in cursor.description]
        for row in cursor:
            yield dict(zip(names, row, strict=True))


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False)) as connection:
            # Text that is no UTF-8 costs its characters and not the row.
            connection.text_factory = lambda data: data.decode("utf-8", "replace")
            yield connection
    except sqlite3.DatabaseError as error:
        kind = StoreError if isinstance(error, sqlite3.OperationalError) else StoreDamagedError
        raise kind(f"cannot read {path}: {error}") from error
