"""This module is where it is shown which drivers take SQLite's file locks away from a writer of the same process.

    python -m benchmarks.reading_locks

A second copy of SQLite in one process closes the file without knowing of the first one's locks, and POSIX then drops
them all (sqlite.org/howtocorrupt.html, 2.2.1). Drivers that are not installed are left out.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl

SECOND_WRITER = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
DRIVERS = {"sqlite3": "sqlite3", "adbc": "adbc_driver_sqlite", "connectorx": "connectorx"}


def read(driver: str, path: Path) -> None:
    if driver == "sqlite3":
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("SELECT x FROM t").fetchall()
    else:
        slash = "/" if driver == "adbc" else ""
        pl.read_database_uri("SELECT x FROM t", f"sqlite://{slash}{path}", engine=driver)


def keeps_locks(driver: str, path: Path, mode: str) -> bool:
    """Hold the write lock, read the file with a driver, and let another process try to write."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute(f"PRAGMA journal_mode={mode}")
        writer.execute("CREATE TABLE t (x)")
        writer.execute("BEGIN IMMEDIATE")
        read(driver, path)
        done = subprocess.run([sys.executable, "-c", SECOND_WRITER, path], capture_output=True, check=False)
        return done.returncode != 0


def main() -> None:
    for driver, package in DRIVERS.items():
        if importlib.util.find_spec(package) is None:
            continue
        for mode in ("WAL", "DELETE"):
            with tempfile.TemporaryDirectory() as folder:
                kept = keeps_locks(driver, Path(folder, "a.db"), mode)
            print(f"{driver:<12}{mode:<8}{'locks kept' if kept else 'LOCKS LOST: a second writer got in'}")


if __name__ == "__main__":
    main()
