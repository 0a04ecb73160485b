"""This module is where the databases are filled that the ways of reading are measured on."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import polars as pl
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateSchema, CreateTable

from aicore_obs.model.ids import new_id
from aicore_obs.stores.sql.tables import postgres_tables, sqlite_tables

SCHEMA = "aicore_obs_bench"
WIDE_AGENT = "agent-with-payloads"
# One byte each that JSON text never holds, so that hardly a field needs quotes.
SEPARATOR, QUOTE = "\x1f", "\x1e"


def fill(rows: int, wide_rows: int) -> Iterator[tuple[tuple[Any, ...], list[tuple[Any, ...]]]]:
    """Yield operations as stored, with the payloads of the first ``wide_rows``."""
    names = list(sqlite_tables().operations.c.keys())
    body = json.dumps({"messages": [{"role": "user", "content": 'A line with "quotes",\nand words. ' * 40}]})
    for number in range(rows):
        row = _operation(number)
        payloads = []
        if number < wide_rows:
            row |= {"request_payload_id": new_id(), "response_payload_id": new_id(), "agent_id": WIDE_AGENT}
            payloads = [(row[key], "json", len(body), body) for key in ("request_payload_id", "response_payload_id")]
        yield tuple(row.get(name) for name in names), payloads


def _operation(number: int) -> dict[str, Any]:
    draw = random.Random(number)
    tokens = draw.randrange(10, 9000)
    return {
        "id": new_id(),
        "timestamp": 1_760_000_000_000_000 + number * 137_000,
        "project": f"project-{number % 3}",
        "operation_type": "completion",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "response_model": "gpt-4o-mini-2024-07-18",
        "status": "ok",
        "finish_reason": "stop",
        "response_id": f"chatcmpl-{number:020d}",
        "latency_ms": draw.random() * 3000,
        # Absent from the first rows, as an option that somebody begins to use one day.
        "time_to_first_token_ms": draw.random() * 300 if number > 50_000 else None,
        "temperature": 0.7,
        "max_tokens": 1024,
        "input_tokens": tokens,
        "cache_read_tokens": tokens // 2,
        "output_tokens": tokens // 3,
        "total_tokens": tokens + tokens // 3,
        "usage_source": "openai",
        "session_id": f"session-{number // 20}",
        "run_id": None,
        "workspace": "a workspace" if number > 50_000 else None,
        "agent_id": f"agent-{number % 7}",
        "user_id": f"user-{number % 999}",
        "tags": '["a","b"]' if number % 3 == 0 else None,
        "labels": '{"team":"search"}',
        "extras": json.dumps({"project": "x", "step": number, "score": 0.5}),
    }


def build_sqlite(path: Path, rows: int, wide_rows: int) -> None:
    tables = sqlite_tables()
    engine = create_engine(f"sqlite:///{path}")
    tables.metadata.create_all(engine)
    engine.dispose()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        marks = ",".join("?" * len(tables.operations.c))
        for row, payloads in fill(rows, wide_rows):
            connection.execute(f"INSERT INTO aicore_obs_operations VALUES ({marks})", row)
            connection.executemany("INSERT INTO aicore_obs_payloads VALUES (?,?,?,?)", payloads)


async def build_postgres(url: str, rows: int, wide_rows: int) -> None:
    connection = await asyncpg.connect(url)
    tables = postgres_tables(SCHEMA)
    await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    dialect = postgresql.dialect()
    await connection.execute(str(CreateSchema(SCHEMA).compile(dialect=dialect)))
    for table in tables.metadata.sorted_tables:
        await connection.execute(str(CreateTable(table).compile(dialect=dialect)))
        for index in table.indexes:
            columns = ",".join(column.name for column in index.columns)
            await connection.execute(f"CREATE INDEX ON {SCHEMA}.{table.name} ({columns})")
    payloads: list[tuple[Any, ...]] = []

    async def operations() -> AsyncIterator[tuple[Any, ...]]:
        for row, parts in fill(rows, wide_rows):
            payloads.extend(parts)
            yield (row[0], pl.Series([row[1]]).cast(pl.Datetime("us", "UTC"))[0], *row[2:])

    for name, source in (("operations", operations()), ("payloads", payloads)):
        await _copy_in(connection, name, source)
    await connection.execute(f"ANALYZE {SCHEMA}.operations")
    await connection.close()


async def _copy_in(connection: Any, table: str, source: Any) -> None:
    async def lines() -> AsyncIterator[bytes]:
        if isinstance(source, list):
            for row in source:
                yield _line(row)
        else:
            async for row in source:
                yield _line(row)

    await connection.copy_to_table(
        table, schema_name=SCHEMA, source=lines(), format="csv", delimiter=SEPARATOR, quote=QUOTE
    )


def _line(row: tuple[Any, ...]) -> bytes:
    return (SEPARATOR.join("" if value is None else str(value) for value in row) + "\n").encode()
