"""This module is where tests make records and batches, put them into a sink, and see what is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from aicore_obs import plugins
from aicore_obs.capture.record import Capture
from aicore_obs.derivation import derive
from aicore_obs.model import codec
from aicore_obs.model.cost import Cost
from aicore_obs.model.events import CostRevision, Flag, Score, Span
from aicore_obs.model.filter import Filter
from aicore_obs.model.ids import new_id
from aicore_obs.model.operation import Operation
from aicore_obs.model.record import CODEC_VERSION, Record
from aicore_obs.model.scope import Scope
from aicore_obs.protocols import Address, Batch, Sink, StoreOptions
from tests.databases import Database

KINDS = ("json", "jsonl", "sqlite", "postgresql")
FILES = ("json", "jsonl")
DATABASES = ("sqlite", "postgresql")
WHEN = datetime(2026, 1, 31, 12, tzinfo=UTC)
T = TypeVar("T")


def header(**fields: Any) -> dict[str, Any]:
    """Return the fields that every record has, with these in place of the usual ones."""
    return {"id": new_id(), "timestamp": WHEN, "v": CODEC_VERSION, **fields}


def operation(**fields: Any) -> Operation:
    """Return an operation; payloads and extras are given as plain data."""
    raw = {
        name: msgspec.Raw(msgspec.json.encode(fields[name]))
        for name in ("completion_args", "response", "extras")
        if name in fields
    }
    return Operation(**header(**{**fields, **raw}))


def operations(count: int, **fields: Any) -> list[Operation]:
    """Return so many operations, in the order of their ids."""
    return [operation(latency_ms=float(number), **fields) for number in range(count)]


def flag(*flagged: Operation, **fields: Any) -> Flag:
    """Return a flag record on these operations."""
    return Flag(**header(operation_ids=tuple(one.id for one in flagged), **fields))


def revision(of: Operation, cost: Cost | None = None, **fields: Any) -> CostRevision:
    """Return a record that costs an operation again; unknown when no cost is given."""
    cost = Cost(reason="no price") if cost is None else cost
    return CostRevision(**header(operation_id=of.id, cost=cost, **fields))


def score(of: Operation, name: str, value: bool | float | str | None, **fields: Any) -> Score:
    """Return a record that scores an operation; no value takes the score away."""
    return Score(**header(operation_id=of.id, name=name, value=value, **fields))


def span(**fields: Any) -> Span:
    """Return a span."""
    return Span(**header(name="step", duration_ms=1.5, **fields))


def scope(**fields: Any) -> Scope:
    """Return the opening of a session."""
    return Scope(**header(scope="session", change="opened", scope_id="s-1", **fields))


def captured(completion_args: Any, response: Any = None, **options: Any) -> Operation:
    """Return an operation as the road gets it: through a capture, encoded and decoded."""
    capture = Capture(derive=derive)
    line = capture.operation(completion_args, "completion", "openai", response, None, options).line
    record = codec.decode(line)
    assert isinstance(record, Operation)
    return record


def address(kind: str, folder: Path, url: str | None = None, **options: Any) -> Address:
    """Return the address of a new store of this kind; ``url`` is that of PostgreSQL."""
    if kind == "postgresql":
        return Address(kind=kind, name="postgresql://tests", url=url, options=StoreOptions(**options))
    path = folder / f"store.{kind}"
    return Address(kind=kind, name=f"{kind}:{path}", path=path, options=StoreOptions(**options))


def batch(
    records: Sequence[Record], *, note: Callable[[int], None] = lambda _: None, noted: int | None = None
) -> Batch:
    """Return a batch of these records."""
    return Batch(records=records, lines=[codec.encode(one) for one in records], note=note, noted=noted)


def with_sink(place: Address, work: Callable[[Sink], Awaitable[T]]) -> T:
    """Open a sink on a loop of its own, do something with it, close it."""

    async def run() -> T:
        sink = plugins.sink(place)
        try:
            await sink.open()
            return await work(sink)
        finally:
            await sink.aclose()

    return asyncio.run(run())


def outside(work: Callable[..., T], *arguments: Any) -> T:
    """Call ``work`` in a thread of its own, where no loop runs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, *arguments).result()


def write(place: Address, *batches: Sequence[Record]) -> None:
    """Write batches through one sink."""

    async def work(sink: Sink) -> None:
        for records in batches:
            await sink.write(batch(records))

    with_sink(place, work)


def kept_ids(place: Address) -> list[str]:
    """Return the id of every record that a store has, of whatever kind, as often as it is there; in order."""
    if place.path is not None and not place.path.exists():
        return []
    if place.kind in DATABASES:
        database = Database(str(place.path or place.url))
        tables = [database.name("operations"), database.name("records")]
        rows = outside(database.execute, " UNION ALL ".join(f"SELECT CAST(id AS text) FROM {name}" for name in tables))
        return sorted(row[0] for row in rows)
    return sorted(element["id"] for element in elements(place))


def elements(place: Address) -> list[dict[str, Any]]:
    """Return what a JSON file holds; fails when it is no valid JSON, as a whole or line by line."""
    assert place.path is not None
    text = place.path.read_text(encoding="utf-8")
    found: list[dict[str, Any]] = (
        json.loads(text) if place.kind == "json" else [json.loads(line) for line in text.splitlines()]
    )
    return found


def read(place: Address, *columns: str, **filters: Any) -> list[tuple[Any, ...]]:
    """Return columns of the operations that match, through the store's reader, in the order of their ids."""
    frames = plugins.reader(place).batches(Filter.of(**filters), ("operation_id", *columns), batch_rows=1000)
    return [row[1:] if columns else row for row in sorted(row for frame in frames for row in frame.rows())]
