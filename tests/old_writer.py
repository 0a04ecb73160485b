"""This module is where a program of schema version 1 is played: it knows that version's columns and no others.

As a program (``python -m tests.old_writer KIND TARGET COUNT``) it connects, writes one operation, says ``ready``, waits
for a line, writes the rest one by one, and says the id of each. It does as the writers of version 1 did: named columns,
an insert that ignores what is there in SQLite, COPY in PostgreSQL.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import asyncpg

from aicore_obs.model.ids import new_id, to_microseconds, utc_now
from aicore_obs.stores.sql.migrations.versions.v0001_initial import _OPERATION_COLUMNS

COLUMNS = ("id", "timestamp", *_OPERATION_COLUMNS)
MARKS = ",".join("?" * len(COLUMNS))
INSERT = f"INSERT INTO aicore_obs_operations ({','.join(COLUMNS)}) VALUES ({MARKS}) ON CONFLICT DO NOTHING"


def _rows(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        if number == 1:
            print("ready", flush=True)
            sys.stdin.readline()
        row = {"id": new_id(), "timestamp": utc_now(), "status": "ok", "total_tokens": 1}
        yield dict.fromkeys(COLUMNS) | row
        print(row["id"], flush=True)


def write_sqlite(path: str, count: int) -> None:
    """Write into a SQLite file, a transaction for each row."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        for row in _rows(count):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(INSERT, tuple({**row, "timestamp": to_microseconds(row["timestamp"])}.values()))
            connection.execute("COMMIT")


async def write_postgres(url: str, count: int) -> None:
    """Write into PostgreSQL over one connection, a COPY for each row."""
    connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        for row in _rows(count):
            async with connection.transaction():
                await connection.copy_records_to_table(
                    "operations", schema_name="aicore_obs", columns=COLUMNS, records=[tuple(row.values())]
                )
    finally:
        await connection.close()


if __name__ == "__main__":
    kind, target, text = sys.argv[1:]
    if kind == "sqlite":
        write_sqlite(target, int(text))
    else:
        asyncio.run(write_postgres(target, int(text)))
