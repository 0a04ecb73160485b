"""This module is where a file is asked whether it is a SQLite database, by SQLite itself.

Opening and closing the file in any other way would drop the locks that a writer in this process holds on it: POSIX
locks belong to the process, and go when it closes *any* descriptor of the file
(https://www.sqlite.org/howtocorrupt.html, section 2.2).
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def is_database(path: Path) -> bool:
    """Return False for a file that is certainly no SQLite database; an empty one may become one."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        return getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_NOTADB
    return True
