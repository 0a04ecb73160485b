"""This module is where records per second are measured from ``record_completion`` to the store, beside raw drivers.

Raw means: rows that are ready, the same tables, columns and indices, one thread, nothing else: ``executemany`` for
SQLite, one unbuffered ``write`` a line for JSON lines, COPY for PostgreSQL. A collector's time runs from the first
record to the end of ``flush()``; beside it stands the road alone (a journal that is full, no caller).

Run with ``python -m benchmarks.end_to_end [records]`` from the project's root.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg

from aicore_obs import LlmOperationCollector, plugins
from aicore_obs.addresses import address_of
from aicore_obs.assembly import ask_store
from aicore_obs.capture.record import Capture
from aicore_obs.pipeline.processors import normalise, prepare
from aicore_obs.protocols import Batch, StoreOptions
from aicore_obs.stores.sql.rows import Rows, sqlite_time
from aicore_obs.stores.sql.statements import statements
from aicore_obs.stores.sql.tables import postgres_tables, sqlite_tables
from benchmarks.payload import ARGUMENTS, RESPONSE
from tests.postgres import PostgresServer

BATCH = 350
ROUNDS = 3


def _batch(count: int) -> Batch:
    capture = Capture(derive=plugins.derive)
    first = normalise(plugins.derive)
    lines = [capture.operation(ARGUMENTS, "completion", "openai", RESPONSE, 1200, {}).line for _ in range(count)]
    prepared = [prepare(line, first, ()) for line in lines]
    records = [one.record for one in prepared if one.record is not None]
    return Batch(records=records, lines=[one.line for one in prepared], note=lambda _: None)


def _slices(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def raw_sqlite(count: int, folder: Path) -> float:
    """Return the seconds that ``executemany`` takes for ready rows."""
    path = folder / "raw.db"
    ask_store(address_of(f"sqlite:///{path}", StoreOptions()), lambda store: store.migrate())
    rows = Rows(_batch(count), time=sqlite_time, nul_safe=False)
    operations, payloads = list(rows.operations()), list(rows.payloads())
    text = statements(sqlite_tables(), plugins.load("sqlalchemy.dialects.sqlite.aiosqlite:SQLiteDialect_aiosqlite")())
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    start = time.perf_counter()
    for some, texts in zip(_slices(operations, BATCH), _slices(payloads, 2 * BATCH), strict=True):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(text.operations, some)
        connection.executemany(text.payloads, texts)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - start
    connection.close()
    return seconds


def raw_jsonl(count: int, folder: Path) -> float:
    """Return the seconds that one unbuffered write a line takes."""
    lines = [line + b"\n" for line in _batch(count).lines]
    with (folder / "raw.jsonl").open("wb", buffering=0) as file:
        start = time.perf_counter()
        for line in lines:
            file.write(line)
        return time.perf_counter() - start


def raw_postgres(count: int, url: str) -> float:
    """Return the seconds that COPY takes for ready rows."""
    ask_store(address_of(url, StoreOptions(db_schema="raw")), lambda store: store.migrate())
    rows = Rows(_batch(count), time=lambda when: when, nul_safe=True)
    operations, payloads = list(rows.operations()), list(rows.payloads())
    tables = postgres_tables("raw")

    async def copy() -> float:
        connection = await asyncpg.connect(url)
        start = time.perf_counter()
        for some, texts in zip(_slices(operations, BATCH), _slices(payloads, 2 * BATCH), strict=True):
            async with connection.transaction():
                for table, ready in ((tables.operations, some), (tables.payloads, texts)):
                    await connection.copy_records_to_table(
                        table.name, schema_name="raw", records=ready, columns=table.columns.keys()
                    )
        seconds = time.perf_counter() - start
        await connection.close()
        return seconds

    return asyncio.run(copy())


def collected(count: int, **place: Any) -> tuple[float, float, float]:
    """Return seconds from the first record to the end of the flush, CPU seconds, and seconds of the flush alone."""
    with LlmOperationCollector(**place) as collector:
        collector.record_completion(ARGUMENTS, "completion", "openai", RESPONSE, 1200)
        collector.flush()
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(count):
            collector.record_completion(ARGUMENTS, "completion", "openai", RESPONSE, 1200)
        recorded = time.perf_counter()
        if not collector.flush(600):
            raise SystemExit(f"not everything arrived: {collector.stats()}")
        end = time.perf_counter()
        return end - start, time.process_time() - cpu, end - recorded


def main() -> None:
    """Print, for each store, records per second raw and collected, their ratio, CPU seconds per 10,000 records."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {count} records")
    server = PostgresServer()
    server.start()
    try:
        for turn in range(ROUNDS):
            folder = Path(tempfile.mkdtemp(prefix="aicore-obs-bench-"))
            url = server.create_database()
            pairs = {
                "SQLite": (raw_sqlite(count, folder), collected(count, db_url=f"sqlite:///{folder}/ours.db")),
                "JSON lines": (raw_jsonl(count, folder), collected(count, storage_path=folder / "ours.jsonl")),
                "PostgreSQL": (raw_postgres(count, url), collected(count, db_url=url)),
            }
            for name, (raw, (seconds, cpu, _)) in pairs.items():
                print(
                    f"{turn + 1} {name:11} raw {count / raw:9.0f}/s   ours {count / seconds:7.0f}/s   "
                    f"ratio {raw / seconds:.2f}   CPU {cpu / count * 10_000:.2f} s per 10,000"
                )
    finally:
        server.remove()


if __name__ == "__main__":
    main()
