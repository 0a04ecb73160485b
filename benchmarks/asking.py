"""This module is where the reports are measured over many operations: time and peak memory, on SQLite and PostgreSQL.

``python -m benchmarks.asking [ROWS]`` prints a table: each report as a user asks for it, beside the same answer by SQL
of one's own through the raw driver, and beside reading everything into Polars first. Each has a process of its own, so
that its peak memory is its own; PostgreSQL's is that of the client. The operations have no texts: no report reads any.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import polars as pl
from rich.console import Console
from rich.table import Table

from aicore_obs import LlmOperationCollector, reports
from benchmarks.figures import Taken
from benchmarks.payload import ARGUMENTS, RESPONSE
from benchmarks.reading import NARROW, peak_memory
from benchmarks.turns import take
from tests.postgres import PostgresServer

COSTS = ["cost_usd", "cost_reason", "input_cost_usd", "output_cost_usd", "priced_model"]
COLUMNS = [*NARROW, *COSTS, "labels", "error_type"]
A, B = {"model": "model-0"}, {"model": "model-1"}
REPORTS: dict[str, Callable[[Any], pl.DataFrame]] = {
    "cost": lambda source: reports.cost(source, by="model"),
    "cost, by day": lambda source: reports.cost(source, by="day"),
    "latency": lambda source: reports.latency(source, by="model"),
    "errors": lambda source: reports.errors(source),
    "usage": lambda source: reports.usage(source, by="model"),
    "sessions": lambda source: reports.sessions(source),
    "top": lambda source: reports.top(source),
    "compare": lambda source: reports.compare(source, A, B),
    "unpriced": lambda source: reports.unpriced(source),
}
# What somebody would write who knows the tables; percentiles are taken from the sorted rows.
RAW = {
    "cost": "SELECT model, count(*), sum(cost_usd), count(cost_usd), sum(total_tokens) FROM {o} GROUP BY model",
    "cost, by day": "SELECT {day} AS day, count(*), sum(cost_usd), count(cost_usd) FROM {o} GROUP BY 1 ORDER BY 1",
    "latency": "SELECT model, latency_ms, time_to_first_token_ms, output_tokens FROM {o} ORDER BY model, latency_ms",
    "errors": "SELECT error_type, count(*), min(timestamp), max(timestamp) FROM {o} WHERE status = 'error' GROUP BY 1",
    "usage": "SELECT model, sum(input_tokens), sum(cache_read_tokens), sum(output_tokens) FROM {o} GROUP BY model",
    "sessions": "SELECT session_id, count(*), sum(cost_usd), min(timestamp), max(timestamp) FROM {o} GROUP BY 1",
    "top": "SELECT id, model, cost_usd FROM {o} ORDER BY cost_usd DESC {last} LIMIT 10",
    "compare": "SELECT model, cost_usd, latency_ms FROM {o} WHERE model IN ('model-0', 'model-1')",
    "unpriced": "SELECT model, count(*), sum(total_tokens) FROM {o} WHERE cost_usd IS NULL GROUP BY model",
}
WAYS = ("report", "SQL", "load all")


def main() -> None:
    """Measure, and print the table."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    server = PostgresServer()
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for place in (f"sqlite:///{folder}/asked.db", server.create_database()):
                take("benchmarks.asking:fill", {"place": place, "rows": rows, "folder": folder})
                Console(width=120).print(_table(place, rows, folder))
    finally:
        server.remove()


def _table(place: str, rows: int, folder: str) -> Table:
    table = Table("report", *(f"{way}, {what}" for way in WAYS for what in ("s", "GiB")))
    table.title = f"{place.partition(':')[0]}, {rows:,} operations"
    for name in REPORTS:
        asked = {"place": place, "name": name, "folder": folder}
        taken = [take("benchmarks.asking:turn", {**asked, "way": way}) for way in WAYS]
        table.add_row(name, *(f"{one.value:.2f}" for way in taken for one in way))
    return table


def turn(*, place: str, name: str, way: str, folder: str) -> list[Taken]:
    """Answer one question one way."""
    del folder
    # What is imported for the first reading is measured elsewhere.
    LlmOperationCollector.polars_from_db(place, limit=1)
    start = time.perf_counter()
    _ANSWERS[way](place, name)
    seconds = time.perf_counter() - start
    return [Taken(what="time", unit="s", value=seconds), Taken(what="peak memory", unit="GiB", value=peak_memory())]


def _raw(place: str, name: str) -> object:
    if place.startswith("sqlite"):
        day = "date(timestamp / 1000000, 'unixepoch')"
        statement = RAW[name].format(o="aicore_obs_operations", day=day, last="")
        with contextlib.closing(sqlite3.connect(place.removeprefix("sqlite:///"))) as connection:
            return connection.execute(statement).fetchall()
    statement = RAW[name].format(o="aicore_obs.operations", day="date_trunc('day', timestamp)", last="NULLS LAST")
    return asyncio.run(_fetched(place, statement))


async def _fetched(place: str, statement: str) -> object:
    connection = await asyncpg.connect(place)
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()


_ANSWERS: dict[str, Callable[[str, str], object]] = {
    "report": lambda place, name: REPORTS[name](place),
    "SQL": _raw,
    "load all": lambda place, name: REPORTS[name](LlmOperationCollector.polars_from_db(place, columns=COLUMNS)),
}


def fill(*, place: str, rows: int, folder: str) -> list[Taken]:
    """Make ``rows`` copies of one recorded operation inside the database: models, users, sessions, costs that vary."""
    del folder
    with LlmOperationCollector(db_url=place) as collector:
        collector.record_completion(ARGUMENTS, "completion", "openai", RESPONSE, 1200)
        collector.flush()
    if place.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(place.removeprefix("sqlite:///"))) as connection, connection:
            names = [row[1] for row in connection.execute("PRAGMA table_info(aicore_obs_operations)")]
            counted = f"SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows}"
            numbers = f"(WITH RECURSIVE s(n) AS ({counted}) SELECT n FROM s)"
            connection.execute(_copies("aicore_obs_operations", names, _SQLITE, numbers))
        return []
    asyncio.run(_fill_postgres(place, rows))
    return []


async def _fill_postgres(place: str, rows: int) -> None:
    connection = await asyncpg.connect(place)
    names = list((await connection.fetchrow("SELECT * FROM aicore_obs.operations")).keys())
    numbers = f"(SELECT generate_series(1::bigint, {rows}) AS n)"
    await connection.execute(_copies("aicore_obs.operations", names, _POSTGRES, numbers))
    await connection.execute("ANALYZE aicore_obs.operations")
    await connection.close()


_VARIED = {
    "model": "'model-' || (n % 5)",
    "user_id": "'user-' || (n % 999)",
    "session_id": "'session-' || (n / 20)",
    "latency_ms": "(n * 7919) % 3000 + 0.5",
    "status": "CASE WHEN n % 50 = 0 THEN 'error' ELSE 'ok' END",
    "error_type": "CASE WHEN n % 50 = 0 THEN 'Error' || (n % 4) END",
    "request_payload_id": "NULL",
    "response_payload_id": "NULL",
}
_SQLITE = {
    "id": "substr(o.id, 1, 24) || printf('%012x', n)",
    "timestamp": "o.timestamp - n * 3000000",
    "cost_usd": "CASE WHEN n % 100 > 0 THEN (n % 1000) * 1000000 END",
    **_VARIED,
}
_POSTGRES = {
    "id": "(left(o.id::text, 24) || lpad(to_hex(n), 12, '0'))::uuid",
    "timestamp": "o.timestamp - n * interval '3 seconds'",
    "cost_usd": "CASE WHEN n % 100 > 0 THEN (n % 1000) * 0.000001 END",
    **_VARIED,
}


def _copies(table: str, names: list[str], varied: Mapping[str, str], numbers: str) -> str:
    values = ", ".join(varied.get(name, f"o.{name}") for name in names)
    first = f"(SELECT * FROM {table} LIMIT 1)"
    return f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {first} o CROSS JOIN {numbers} s"


if __name__ == "__main__":
    with contextlib.chdir(Path(__file__).parents[1]):
        main()
