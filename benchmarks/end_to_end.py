"""This module is where records per second are measured from ``record_completion`` to the store, beside raw drivers.

A collector's time runs from the first record to the end of ``flush()``. Raw means: the very rows that the collector has
written, read back before the clock starts, into the same tables, columns and indices, by one thread and nothing else:
``executemany`` for SQLite, COPY for PostgreSQL; for JSON lines encode + ``os.write`` of each.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from aicore_obs import LlmOperationCollector
from benchmarks.figures import Taken
from benchmarks.payload import ARGUMENTS, RESPONSE
from benchmarks.turns import Case, Stage

# As many records of 2.8 KB as a batch of the collector holds.
BATCH = 350
FILES = {"SQLite": "store.db", "JSON lines": "store.jsonl"}
FLOORS = {"SQLite": "executemany", "JSON lines": "encode + os.write", "PostgreSQL": "COPY"}


def cases(stage: Stage) -> Sequence[Case]:
    return [
        Case(
            name=store,
            ours="benchmarks.end_to_end:turn",
            floor="benchmarks.end_to_end:raw",
            floor_after=True,
            given={"store": store, "count": stage.size(full=20_000, quick=1_000)},
            floor_is=floor,
            needs_postgres=store == "PostgreSQL",
        )
        for store, floor in FLOORS.items()
    ]


def turn(*, store: str, count: int, folder: str, url: str = "") -> list[Taken]:
    """Record ``count`` times and flush."""
    with LlmOperationCollector(**place(store, folder, url)) as collector:
        collector.record_completion(ARGUMENTS, "completion", "openai", RESPONSE, 1200)
        collector.flush()
        return _timed(count, lambda: _burst(collector, count))


def _burst(collector: LlmOperationCollector, count: int) -> None:
    for _ in range(count):
        collector.record_completion(ARGUMENTS, "completion", "openai", RESPONSE, 1200)
    if not collector.flush(600):
        raise SystemExit(f"not everything arrived: {collector.stats()}")


def place(store: str, folder: str, url: str = "") -> dict[str, Any]:
    """Return where a collector shall write."""
    if store == "PostgreSQL":
        return {"db_url": url}
    path = Path(folder, FILES[store])
    return {"storage_path": path} if store == "JSON lines" else {"db_url": f"sqlite:///{path}"}


def raw(*, store: str, count: int, folder: str, url: str = "") -> list[Taken]:
    """Write again what :func:`turn` has left, with the driver alone."""
    if store == "PostgreSQL":
        return asyncio.run(_raw_postgres(count, url))
    return {"SQLite": _raw_sqlite, "JSON lines": _raw_lines}[store](count, Path(folder, FILES[store]))


def _timed(count: int, work: Callable[[], object]) -> list[Taken]:
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return _taken(count, time.perf_counter() - start, time.process_time() - cpu)


def _taken(count: int, seconds: float, cpu: float) -> list[Taken]:
    return [
        Taken(what="speed", unit="records/s", value=count / seconds, more_is_better=True),
        Taken(what="CPU of this process per 10,000", unit="s", value=cpu / count * 10_000),
    ]


def _slices(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _raw_lines(count: int, path: Path) -> list[Taken]:
    records = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    encode = msgspec.json.Encoder().encode
    with path.with_name("raw.jsonl").open("wb", buffering=0) as file:
        return _timed(count, lambda: [file.write(encode(record) + b"\n") for record in records])


def _raw_sqlite(count: int, path: Path) -> list[Taken]:
    with contextlib.closing(sqlite3.connect(path)) as source:
        made = [sql for (sql,) in source.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
        operations = source.execute("SELECT * FROM aicore_obs_operations").fetchall()
        payloads = source.execute("SELECT * FROM aicore_obs_payloads").fetchall()
    with contextlib.closing(sqlite3.connect(path.with_name("raw.db"), isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        for sql in made:
            connection.execute(sql)
        return _timed(count, lambda: _write_sqlite(connection, operations, payloads))


def _write_sqlite(connection: sqlite3.Connection, operations: Sequence[Any], payloads: Sequence[Any]) -> None:
    for some, texts in zip(_slices(operations, BATCH), _slices(payloads, 2 * BATCH), strict=True):
        connection.execute("BEGIN IMMEDIATE")
        for table, rows in (("operations", some), ("payloads", texts)):
            marks = ",".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO aicore_obs_{table} VALUES ({marks}) ON CONFLICT DO NOTHING", rows)
        connection.execute("COMMIT")


async def _raw_postgres(count: int, url: str) -> list[Taken]:
    connection = await asyncpg.connect(url)
    tables = ("operations", "payloads")
    rows = [[tuple(row) for row in await connection.fetch(f"SELECT * FROM aicore_obs.{table}")] for table in tables]
    await connection.execute("CREATE SCHEMA raw")
    for table in tables:
        await connection.execute(f"CREATE TABLE raw.{table} (LIKE aicore_obs.{table} INCLUDING ALL)")
    start, cpu = time.perf_counter(), time.process_time()
    for some, texts in zip(_slices(rows[0], BATCH), _slices(rows[1], 2 * BATCH), strict=True):
        async with connection.transaction():
            for table, ready in zip(tables, (some, texts), strict=True):
                await connection.copy_records_to_table(table, schema_name="raw", records=ready)
    taken = _taken(count, time.perf_counter() - start, time.process_time() - cpu)
    await connection.close()
    return taken
