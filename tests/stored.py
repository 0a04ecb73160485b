"""This module is where tests put operations into stores by hand: a JSON file, a SQLite file, a PostgreSQL schema."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from aicore_obs.model import codec
from aicore_obs.model.cost import Cost, to_quanta
from aicore_obs.model.escape import escape, escape_json_nul
from aicore_obs.model.events import CostRevision, Flag, Score
from aicore_obs.model.ids import part_id, to_microseconds
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.record import Record
from aicore_obs.model.usage import Usage
from aicore_obs.protocols import Address, StoreOptions
from aicore_obs.stores.catalogue import KEY_CAP, catalogue_of, keys_of
from aicore_obs.stores.sql.tables import Tables, postgres_tables, sqlite_tables

START = datetime(2026, 1, 1, tzinfo=UTC)
OPTIONS = StoreOptions()
_JSON = ("tags", "labels", "extras", "cost_lines", "billing")

# Not columns of their own name.
_NOT_COLUMNS = ("usage", "usage_raw", "billing", "cost")


def operation(number: int, **fields: Any) -> Operation:
    """Return operation ``number``, a second after the one before; payloads and extras are given as plain data."""
    for name in ("completion_args", "response", "extras"):
        if name in fields:
            fields[name] = msgspec.Raw(json.dumps(fields[name], ensure_ascii=False).encode())
    derived = {name: fields.pop(name) for name in Derived.__struct_fields__ if name in fields}
    usage = {name: fields.pop(name) for name in Usage.__struct_fields__ if name in fields}
    fields.setdefault("timestamp", START + timedelta(seconds=number))
    return Operation(id=record_id(number), v=1, derived=Derived(**derived, usage=Usage(**usage)), **fields)


def flag(number: int, *numbers: int, **fields: Any) -> Flag:
    """Return flag record ``number`` on the operations ``numbers``."""
    return Flag(
        id=record_id(number), timestamp=START, v=1, operation_ids=tuple(record_id(one) for one in numbers), **fields
    )


def revision(number: int, of: int, cost: Cost, **fields: Any) -> CostRevision:
    """Return revision record ``number`` of the cost of operation ``of``."""
    fields.setdefault("timestamp", START)
    return CostRevision(id=record_id(number), v=2, operation_id=record_id(of), cost=cost, **fields)


def score(number: int, of: int, name: str, value: bool | float | str | None, **fields: Any) -> Score:
    """Return score record ``number`` of operation ``of``."""
    return Score(
        id=record_id(number), timestamp=START, v=3, operation_id=record_id(of), name=name, value=value, **fields
    )


def record_id(number: int) -> str:
    """Return the id of record ``number``."""
    return f"01900000-0000-7000-8000-{number * 4:012x}"


def write_json(path: Path, records: Sequence[Record]) -> Address:
    """Write a JSON array, or lines where the path says so."""
    lines = [codec.encode(record) for record in records]
    array = path.suffix == ".json"
    path.write_bytes(b"[\n" + b",\n".join(lines) + b"\n]\n" if array else b"".join(line + b"\n" for line in lines))
    return Address(kind="json" if array else "jsonl", name=f"json:{path}", path=path, options=OPTIONS)


def write_sqlite(path: Path, records: Sequence[Record]) -> Address:
    """Make a SQLite store of these records; an existing one is emptied first."""
    tables = sqlite_tables()
    engine = create_engine(f"sqlite:///{path}")
    tables.metadata.create_all(engine)
    engine.dispose()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for table in tables.metadata.sorted_tables:
            connection.execute(f"DELETE FROM {table.name}")
        for table, rows in _rows(tables, records).items():
            for row in rows:
                marks = ",".join(f":{name}" for name in row)
                values = {name: to_quanta(one) if isinstance(one, Decimal) else one for name, one in row.items()}
                connection.execute(f"INSERT INTO {table} ({','.join(row)}) VALUES ({marks})", values)
    return Address(kind="sqlite", name=f"sqlite:{path}", path=path, options=OPTIONS)


def write_postgres(url: str, records: Sequence[Record], *, schema: str = "aicore_obs") -> Address:
    """Make a PostgreSQL store of these records; an existing one is replaced."""
    thread = threading.Thread(target=lambda: asyncio.run(_fill(url, schema, records)), name="tests-fill")
    thread.start()
    thread.join()
    return Address(kind="postgresql", name=f"postgresql:{schema}", url=url, options=StoreOptions(db_schema=schema))


async def _fill(url: str, schema: str, records: Sequence[Record]) -> None:
    tables = postgres_tables(schema)
    connection = await asyncpg.connect(url)
    try:
        if not await connection.fetchval("SELECT to_regnamespace($1)", schema):
            await connection.execute(f'CREATE SCHEMA "{schema}"')
            for table in tables.metadata.sorted_tables:
                await connection.execute(str(CreateTable(table).compile(dialect=postgresql.dialect())))
        names = ", ".join(f'"{schema}".{table.name}' for table in tables.metadata.sorted_tables)
        await connection.execute(f"TRUNCATE {names}")
        for table, rows in _rows(tables, records).items():
            for row in rows:
                await _insert(connection, f'"{schema}".{table}', _for_postgres(row))
    finally:
        await connection.close()


async def _insert(connection: Any, table: str, row: dict[str, Any]) -> None:
    marks = ", ".join(f"${place}" for place in range(1, len(row) + 1))
    await connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", *row.values())


def _for_postgres(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with what PostgreSQL cannot hold escaped, as its writer does."""
    escaped = dict(row)
    for name, value in row.items():
        if name == "timestamp":
            escaped[name] = START + timedelta(microseconds=value - to_microseconds(START))
        elif name == "body":
            escaped[name] = escape_json_nul(value, escaped=row["encoding"] == "json+escaped")
            changed = "\ue000" in escaped[name]
            escaped["encoding"] = "json+escaped" if changed else row["encoding"]
        elif name in _JSON and value is not None:
            escaped[name] = escape_json_nul(value, escaped=False)
        elif isinstance(value, str) and name != "encoding":
            escaped[name] = escape(value, nul=True)
    return escaped


def _rows(tables: Tables, records: Sequence[Record]) -> dict[str, list[dict[str, Any]]]:
    operations = [record for record in records if isinstance(record, Operation)]
    flags: dict[tuple[str, str], dict[str, Any]] = {}
    for record in records:
        if isinstance(record, Flag):
            _fold(flags, record)
    keys: list[tuple[str, str, str]] = []
    for one in operations:
        keys.extend(keys_of("labels", one.labels))
        keys.extend(keys_of("extras", msgspec.json.decode(one.extras) if one.extras is not msgspec.UNSET else None))
    return {
        tables.operations.name: [_operation_row(one) for one in operations],
        tables.payloads.name: [row for one in operations for row in _payload_rows(one)],
        tables.flags.name: list(flags.values()),
        tables.cost_revisions.name: [_revision_row(one) for one in records if isinstance(one, CostRevision)],
        tables.scores.name: [_score_row(one) for one in _newest_scores(records)],
        tables.keys.name: [
            {"field": field, "key": key, "type": kind}
            for field, types in catalogue_of(keys, cap=KEY_CAP).items()
            for key, kinds in types.items()
            for kind in kinds
        ],
    }


def _fold(flags: dict[tuple[str, str], dict[str, Any]], flag: Flag) -> None:
    for one in flag.operation_ids:
        row = {"operation_id": one, "reason": flag.reason or "", "active": flag.active, "record_id": flag.id}
        old = flags.get((one, row["reason"]))
        if old is None or old["record_id"] < flag.id:
            flags[one, row["reason"]] = {**row, "timestamp": to_microseconds(flag.timestamp), "note": flag.note}


def _operation_row(one: Operation) -> dict[str, Any]:
    derived = one.derived or Derived()
    error = one.error
    row = {name: getattr(derived, name) for name in Derived.__struct_fields__ if name not in _NOT_COLUMNS}
    row |= {name: getattr(derived.usage, name) for name in Usage.__struct_fields__}
    skipped = ("completion_args", "response", "derived", "error", "escaped", "replaces", "v", "odd", "kind",
               "stream_state", *_JSON)  # fmt: skip
    row |= {name: getattr(one, name) for name in Operation.__struct_fields__ if name not in skipped}
    row |= {f"error_{name}": error and getattr(error, name) for name in ("type", "message", "stack")}
    row |= {f"{payload['part']}_payload_id": payload["payload_id"] for payload in _payloads(one)}
    return {
        **row,
        "status": one.status,
        "timestamp": to_microseconds(one.timestamp),
        "tags": msgspec.json.encode(one.tags).decode() if one.tags else None,
        "labels": msgspec.json.encode(one.labels).decode() if one.labels else None,
        "extras": None if one.extras is msgspec.UNSET else bytes(one.extras).decode(),
        **_cost_columns(derived.cost),
    }


def _revision_row(one: CostRevision) -> dict[str, Any]:
    header = {"operation_id": one.operation_id, "record_id": one.id, "author": one.author}
    return {**header, "timestamp": to_microseconds(one.timestamp), **_cost_columns(one.cost)}


def _newest_scores(records: Sequence[Record]) -> list[Score]:
    scores = sorted((one for one in records if isinstance(one, Score)), key=lambda one: one.id)
    return list({(one.operation_id, one.name): one for one in scores}.values())


def _score_row(one: Score) -> dict[str, Any]:
    return {
        "operation_id": one.operation_id,
        "name": one.name,
        "record_id": one.id,
        "timestamp": to_microseconds(one.timestamp),
        "value": None if one.value is None else msgspec.json.encode(one.value).decode(),
        "number": None if isinstance(one.value, str | None) else float(one.value),
        "comment": one.comment,
    }


def _cost_columns(cost: Cost | None) -> dict[str, Any]:
    if cost is None:
        return {}
    return {
        "priced_model": cost.model,
        "cost_usd": cost.total,
        "input_cost_usd": cost.input,
        "output_cost_usd": cost.output,
        "cost_source": cost.source,
        "cost_reason": cost.reason,
        "price_id": cost.price_id,
        "price_book": cost.book,
        "cost_lines": msgspec.json.encode(cost.lines).decode() if cost.lines else None,
    }


def _payloads(one: Operation) -> list[dict[str, Any]]:
    given = [("request", 1, one.completion_args), ("response", 2, one.response)]
    return [
        {"part": part, "payload_id": part_id(one.id, number), "body": bytes(body).decode()}
        for part, number, body in given
        if body is not msgspec.UNSET
    ]


def _payload_rows(one: Operation) -> list[dict[str, Any]]:
    encoding = "json+escaped" if one.escaped else "json"
    return [
        {
            "payload_id": payload["payload_id"],
            "encoding": encoding,
            "size_bytes": len(payload["body"].encode()),
            "body": payload["body"],
        }
        for payload in _payloads(one)
    ]
