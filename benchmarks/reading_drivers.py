"""This module is where the ways from a SQL database into a Polars frame are measured against each other.

    python -m benchmarks.reading_drivers [--rows 1000000] [--postgres postgresql://user@host/database]

Every way runs in a process of its own on the real tables; the line says seconds and the process's peak memory. Ways
whose package is missing are left out. The figures that decided are in docs/decisions/0003-reading.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import io
import multiprocessing
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import polars as pl

from aicore_obs.protocols import Address, StoreOptions
from aicore_obs.query.reader import read_frame
from benchmarks.reading_data import QUOTE, SCHEMA, SEPARATOR, WIDE_AGENT, build_postgres, build_sqlite

NARROW: dict[str, Any] = {
    "id": pl.String,
    "timestamp": pl.Int64,
    **dict.fromkeys(("project", "operation_type", "provider", "model", "status", "finish_reason"), pl.String),
    "response_id": pl.String,
    **dict.fromkeys(("latency_ms", "time_to_first_token_ms", "temperature"), pl.Float64),
    "max_tokens": pl.Int64,
    **dict.fromkeys(("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"), pl.Int64),
    **dict.fromkeys(("reasoning_tokens", "total_tokens"), pl.Int64),
    **dict.fromkeys(("usage_source", "session_id", "run_id", "workspace", "agent_id", "user_id"), pl.String),
    **dict.fromkeys(("tags", "labels"), pl.String),
}
WIDE: dict[str, Any] = {"id": pl.String, "timestamp": pl.Int64, "request": pl.String, "response": pl.String}
FETCH_ROWS = 2_000
PAGE_ROWS = 20_000
Way = Callable[[str, str], int]


def sqlite_sql(case: str) -> str:
    if case == "narrow":
        return f"SELECT {', '.join(NARROW)} FROM aicore_obs_operations ORDER BY timestamp, id"
    return (
        "SELECT o.id, o.timestamp, q.body AS request, r.body AS response FROM aicore_obs_operations o"
        " JOIN aicore_obs_payloads q ON q.payload_id = o.request_payload_id"
        " JOIN aicore_obs_payloads r ON r.payload_id = o.response_payload_id ORDER BY o.timestamp, o.id"
    )


def postgres_sql(case: str) -> str:
    sql = sqlite_sql(case).replace("aicore_obs_", f"{SCHEMA}.")
    for name in ("o.id", "o.timestamp", "q.body", "r.body") if case == "wide" else ():
        cast = "(extract(epoch from o.timestamp)*1000000)::bigint AS timestamp" if name == "o.timestamp" else None
        sql = sql.replace(f"{name}", cast or (f"{name}::text AS id" if name == "o.id" else f"{name}::text"), 1)
    if case == "narrow":
        sql = sql.replace(" timestamp,", " (extract(epoch from timestamp)*1000000)::bigint AS timestamp,", 1)
        for name in ("id", "tags", "labels"):
            sql = sql.replace(f" {name},", f" {name}::text,", 1).replace(f" {name} ", f" {name}::text ", 1)
    return sql


def types(case: str) -> dict[str, Any]:
    return NARROW if case == "narrow" else WIDE


def fetchall(target: str, case: str) -> int:
    with contextlib.closing(sqlite3.connect(target)) as connection:
        rows = connection.execute(sqlite_sql(case)).fetchall()
    return pl.DataFrame(rows, schema=types(case), orient="row").height


def fetchmany_columns(target: str, case: str) -> int:
    frames = []
    with contextlib.closing(sqlite3.connect(target)) as connection:
        cursor = connection.execute(sqlite_sql(case))
        while rows := cursor.fetchmany(FETCH_ROWS):
            frames.append(_transposed(rows, types(case)))
    return pl.concat(frames).height


def _transposed(rows: list[tuple[Any, ...]], schema: dict[str, Any]) -> pl.DataFrame:
    columns = zip(*rows, strict=True)
    return pl.DataFrame(
        [pl.Series(name, values, dtype=schema[name]) for name, values in zip(schema, columns, strict=True)]
    )


def json_rows(target: str, case: str) -> int:
    """SQLite writes each row as a JSON array; Polars reads lines."""
    schema = types(case)
    pairs = ", ".join(f"'{name}', {_exact(name, schema)}" for name in schema)
    sql = f"SELECT json_object({pairs}) FROM ({sqlite_sql(case)})"
    parsed = {name: pl.String if dtype == pl.Float64 else dtype for name, dtype in schema.items()}
    floats = [pl.col(name).cast(pl.Float64) for name, dtype in schema.items() if dtype == pl.Float64]
    frames = []
    with contextlib.closing(sqlite3.connect(target)) as connection:
        connection.text_factory = bytes
        cursor = connection.execute(sql)
        while rows := cursor.fetchmany(FETCH_ROWS):
            lines = io.BytesIO(b"\n".join(line for (line,) in rows))
            frames.append(pl.read_ndjson(lines, schema=parsed).with_columns(floats))
    return pl.concat(frames).height


def _exact(name: str, schema: dict[str, Any]) -> str:
    # SQLite's JSON functions write floats with 15 digits, which is not all of a float.
    if schema[name] != pl.Float64:
        return name
    return f"CASE WHEN {name} IS NOT NULL THEN printf('%!.17g', {name}) END"


def json_columns(target: str, case: str) -> int:
    """SQLite writes each column of a page as one JSON array; pages go on from the last key."""
    schema = types(case)
    groups = ", ".join(f"json_group_array({_exact(name, schema)})" for name in schema)
    inner = sqlite_sql(case)
    table = "o." if case == "wide" else ""
    key = f" WHERE ({table}timestamp, {table}id) > (?, ?) ORDER BY"
    sql = f"SELECT {groups}, max(timestamp), max(id) FROM ({inner.replace(' ORDER BY', key)} LIMIT {PAGE_ROWS})"
    frames: list[pl.DataFrame] = []
    last: tuple[Any, Any] = (-1, "")
    with contextlib.closing(sqlite3.connect(target)) as connection:
        while True:
            *columns, _, _ = connection.execute(sql, last).fetchone()
            frame = pl.DataFrame(
                [_decoded(name, text, schema[name]) for name, text in zip(schema, columns, strict=True)]
            )
            if frame.height == 0:
                return pl.concat(frames).height
            last = frame["timestamp"][-1], frame["id"][-1]
            frames.append(frame)


def _decoded(name: str, text: str, dtype: Any) -> pl.Series:
    kind = pl.String if dtype == pl.Float64 else dtype
    return pl.Series(name, [text]).str.json_decode(pl.List(kind)).explode(empty_as_null=False).cast(dtype)


def adbc_sqlite(target: str, case: str) -> int:
    return pl.read_database_uri(sqlite_sql(case), f"sqlite:///{target}", engine="adbc").height


def connectorx_sqlite(target: str, case: str) -> int:
    return pl.read_database_uri(sqlite_sql(case), f"sqlite://{target}", engine="connectorx").height


def adbc_postgres(target: str, case: str) -> int:
    return pl.read_database_uri(postgres_sql(case), target, engine="adbc").height


def connectorx_postgres(target: str, case: str) -> int:
    return pl.read_database_uri(postgres_sql(case), target, engine="connectorx").height


def asyncpg_cursor(target: str, case: str) -> int:
    async def run() -> list[pl.DataFrame]:
        connection = await asyncpg.connect(target)
        frames = []
        async with connection.transaction(readonly=True):
            cursor = await connection.cursor(postgres_sql(case))
            while rows := await cursor.fetch(FETCH_ROWS):
                frames.append(_transposed(rows, types(case)))
        await connection.close()
        return frames

    return pl.concat(asyncio.run(run())).height


def copy_csv(target: str, case: str) -> int:
    """PostgreSQL writes CSV with its usual quotes; Polars reads chunks."""
    return _copy(target, case, separator=",", quote='"')


def copy_control_csv(target: str, case: str) -> int:
    """PostgreSQL writes CSV with control characters as separator and quote."""
    return _copy(target, case, separator=SEPARATOR, quote=QUOTE)


def _copy(target: str, case: str, *, separator: str, quote: str) -> int:
    frames: list[pl.DataFrame] = []
    waiting = bytearray()

    def parse() -> None:
        frames.append(
            pl.read_csv(
                io.BytesIO(waiting), has_header=False, schema=types(case), separator=separator, quote_char=quote
            )
        )
        waiting.clear()

    async def take(chunk: bytes) -> None:
        waiting.extend(chunk)
        whole = waiting.endswith(b"\n") and waiting.count(quote.encode()) % 2 == 0
        if len(waiting) > 4_000_000 and whole:
            parse()

    async def run() -> None:
        connection = await asyncpg.connect(target)
        await connection.copy_from_query(
            postgres_sql(case), output=take, format="csv", delimiter=separator, quote=quote
        )
        await connection.close()

    asyncio.run(run())
    if waiting:
        parse()
    return pl.concat(frames).height


def ours_sqlite(target: str, case: str) -> int:
    return _ours(Address(kind="sqlite", name="sqlite", path=Path(target), options=StoreOptions()), case)


def ours_postgres(target: str, case: str) -> int:
    options = StoreOptions(db_schema=SCHEMA)
    return _ours(Address(kind="postgresql", name="postgresql", url=target, options=options), case)


def _ours(address: Address, case: str) -> int:
    """The package's own reader: the same columns, with times, tags and labels in their final types."""
    names = ["operation_id" if name == "id" else name for name in NARROW]
    wide = ["operation_id", "timestamp", "completion_args", "response"]
    # Only the rows with payloads have this agent.
    asked = {"columns": names} if case == "narrow" else {"columns": wide, "agent_id": WIDE_AGENT}
    return read_frame(address, asked).height


SQLITE_WAYS: dict[str, tuple[str, Way]] = {
    "sqlite3 fetchall": ("sqlite3", fetchall),
    "sqlite3 fetchmany, by column": ("sqlite3", fetchmany_columns),
    "sqlite3, rows as JSON": ("sqlite3", json_rows),
    "sqlite3, columns as JSON": ("sqlite3", json_columns),
    "ADBC": ("adbc_driver_sqlite", adbc_sqlite),
    "connectorx": ("connectorx", connectorx_sqlite),
    "this package": ("aicore_obs", ours_sqlite),
}
POSTGRES_WAYS: dict[str, tuple[str, Way]] = {
    "asyncpg cursor, by column": ("asyncpg", asyncpg_cursor),
    "asyncpg COPY, CSV": ("asyncpg", copy_csv),
    "asyncpg COPY, CSV, control characters": ("asyncpg", copy_control_csv),
    "ADBC": ("adbc_driver_postgresql", adbc_postgres),
    "connectorx": ("connectorx", connectorx_postgres),
    "this package": ("aicore_obs", ours_postgres),
}


def _timed(way: Way, target: str, case: str, answers: Any) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    try:
        rows = way(target, case)
    except Exception as error:  # noqa: BLE001 - a way that fails is a result
        answers.put(f"fails: {str(error).splitlines()[0][:90]}")
        return
    seconds = time.perf_counter() - start
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6
    answers.put(f"{rows:>9,} rows  {seconds:6.2f} s  +{peak:5.2f} GB")


def measure(title: str, ways: dict[str, tuple[str, Way]], target: str, only: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    for case in ("narrow", "wide"):
        for name, (package, way) in ways.items():
            if importlib.util.find_spec(package) is None or only not in name:
                continue
            answers = spawn.Queue()
            child = spawn.Process(target=_timed, args=(way, target, case, answers))
            child.start()
            print(f"{title:<11}{case:<7}{name:<40}{answers.get()}", flush=True)
            child.join()


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--wide-rows", type=int, default=50_000)
    options.add_argument("--sqlite", help="a database of an earlier run")
    options.add_argument("--postgres", help="URL of a database that may get the schema " + SCHEMA)
    options.add_argument("--only", default="", help="part of a way's name")
    options.add_argument("--filled", action="store_true", help="the databases are there from an earlier run")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(given.sqlite or Path(folder, "bench.db"))
        if not given.filled:
            build_sqlite(path, given.rows, given.wide_rows)
        measure("SQLite", SQLITE_WAYS, str(path), given.only)
    if given.postgres:
        if not given.filled:
            asyncio.run(build_postgres(given.postgres, given.rows, given.wide_rows))
        measure("PostgreSQL", POSTGRES_WAYS, given.postgres, given.only)


if __name__ == "__main__":
    sys.exit(main())
