"""This module is where operations are read back from a JSON file: an array, or lines.

The file is read twice: once to note which operations match and where they lie, then, in order, batch by batch. So
memory holds a short note for each operation that matches, and never the texts of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Any

import msgspec
import polars as pl

from aicore_obs.model.cost import NO_BILLING, CostSum
from aicore_obs.model.events import Span
from aicore_obs.model.filter import Filter
from aicore_obs.model.frame_columns import LEDGER_COLUMNS
from aicore_obs.model.ids import to_microseconds
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.record import Record
from aicore_obs.model.usage import Usage
from aicore_obs.protocols import Address
from aicore_obs.stores.catalogue import EMPTY, KEY_CAP, Catalogue, catalogue_of, keys_of
from aicore_obs.stores.frame import ESCAPED, ReadText, Shape, ledger_frame, no_text, of_columns, raw_columns
from aicore_obs.stores.json_elements import JsonElements, Place, Snapshot
from aicore_obs.stores.json_found import Found, Note, amount
from aicore_obs.stores.matching import storable
from aicore_obs.stores.said import spoken_of

_decode_free = msgspec.json.decode
# The mark of a newer version, as our own files have it.
_NEWER = b'"replaces":true'


class JsonReader:
    """Reads one JSON array or JSON lines file."""

    def __init__(self, address: Address, *, read_text: ReadText = no_text) -> None:
        if address.path is None:
            raise ValueError(f"{address.name}: a JSON store has a path")
        self._elements = JsonElements(address.path, lines_only=address.kind == "jsonl")
        self.read_text = read_text
        self._shape: Shape | None = None

    def schema(self) -> dict[str, pl.DataType]:
        if self._shape is None:
            with self._elements.snapshot() as snapshot:
                self._found(snapshot, Filter(limit=0))
        return self._known_shape().schema

    def batches(self, query: Filter, columns: Sequence[str], *, batch_rows: int) -> Iterator[pl.DataFrame]:
        names = raw_columns(columns)
        with self._elements.snapshot() as snapshot:
            found = self._found(snapshot, query)
            said_later: dict[str, Callable[[Note], Any]] = {
                "flags": found.flags,
                "scores": found.scores,
                "said": partial(found.said, snapshot),
            }
            notes = iter(found.notes)
            while batch := list(islice(notes, batch_rows)):
                operations = [found.operation(snapshot, note) for note in batch]
                raw = of_columns(
                    {
                        name: list(map(said_later[name], batch))
                        if name in said_later
                        else list(map(_GETTERS[name], operations))
                        for name in names
                    }
                )
                yield self._known_shape().frame(raw, columns)

    def costs(self, query: Filter, *, batch_rows: int) -> Iterator[pl.DataFrame]:
        with self._elements.snapshot() as snapshot:
            rows = self._found(snapshot, query).ledger(snapshot)
            while batch := list(islice(rows, batch_rows)):
                yield ledger_frame(of_columns(dict(zip(LEDGER_COLUMNS, zip(*batch, strict=True), strict=True))))

    def cost_sum(self, query: Filter) -> CostSum:
        with self._elements.snapshot() as snapshot:
            return self._found(snapshot, query).cost_sum()

    def records(self, *, left: Callable[[str], object]) -> Iterator[tuple[Record, bytes]]:
        # A file may hold a record twice: a writer that died after its commit and before it was known.
        seen: set[str] = set()
        with self._elements.snapshot() as snapshot:
            newest = self._newest(snapshot)
            for place, record in self._elements.elements(snapshot):
                if not isinstance(record, Record):
                    left("damaged" if record is None else "newer")
                elif record.id not in seen and newest.get(record.id, place) == place:
                    seen.add(record.id)
                    yield record, one_line(snapshot.read(*place))

    def spans(self, scope: str, value: str, *, limit: int) -> Iterator[Span]:
        wanted = storable(value)
        with self._elements.snapshot() as snapshot:
            records = (record for _, record in self._elements.records(snapshot) if isinstance(record, Span))
            # A file may hold a record twice.
            found = {one.id: one for one in records if getattr(one, scope) == wanted}
        yield from sorted(found.values(), key=attrgetter("timestamp", "id"))[:limit]

    def _newest(self, snapshot: Snapshot) -> dict[str, Place]:
        """Return where the newest versions lie of the operations that have several."""
        if not snapshot.holds(_NEWER):
            return {}
        found = self._elements.records(snapshot)
        return {one.id: place for place, one in found if isinstance(one, Operation) and one.replaces}

    def catalogue(self) -> Catalogue:
        self.schema()
        return self._known_shape().catalogue

    def said(self, until: datetime) -> Iterator[Record]:
        later: set[str] = set()
        said: list[Record] = []
        with self._elements.snapshot() as snapshot:
            for _, record in self._elements.records(snapshot):
                if isinstance(record, Operation) and record.timestamp > until:
                    later.add(record.id)
                elif spoken_of(record):
                    said.append(record)
        return (record for record in said if not later.issuperset(spoken_of(record)))

    def _known_shape(self) -> Shape:
        return self._shape or Shape(EMPTY, read_text=self.read_text)

    def _found(self, snapshot: Snapshot, query: Filter) -> Found:
        """Return what matches, in the order of the query."""
        found = Found(query)
        keys: dict[tuple[str, str, str], None] = {}
        for place, record in self._elements.records(snapshot):
            if isinstance(record, Operation) and self._shape is None:
                keys.update(dict.fromkeys(_keys(record)))
            found.add(place, record)
        # Kept, so that all frames of one reader have one schema.
        self._shape = self._shape or Shape(catalogue_of(keys, cap=KEY_CAP), read_text=self.read_text)
        found.settle()
        return found


def one_line(element: bytes) -> bytes:
    """Return an element as one line, however many another program has spread it over."""
    return msgspec.json.format(element, indent=-1) if b"\n" in element else element


def _keys(record: Operation) -> Iterator[tuple[str, str, str]]:
    yield from keys_of("labels", record.labels)
    if record.extras is not msgspec.UNSET:
        yield from keys_of("extras", _decode_free(record.extras))


def _json(value: Any) -> str | None:
    return msgspec.json.encode(value).decode() if value else None


def _raw(name: str) -> Callable[[Operation], str | None]:
    def get(operation: Operation) -> str | None:
        payload = getattr(operation, name)
        return None if payload is msgspec.UNSET else bytes(payload).decode()

    return get


def _encoding(operation: Operation) -> str:
    return ESCAPED if operation.escaped else "json"


def _of_derived(path: str) -> Callable[[Operation], Any]:
    get = attrgetter(path)
    return lambda operation: None if operation.derived is None else get(operation.derived)


def _of_cost(name: str) -> Callable[[Operation], Any]:
    get = attrgetter(name)
    is_amount = name in ("total", "input", "output")

    def read(operation: Operation) -> Any:
        cost = None if operation.derived is None else operation.derived.cost
        if cost is None:
            return None
        return amount(get(cost)) if is_amount else get(cost)

    return read


def _lines(operation: Operation) -> str | None:
    cost = None if operation.derived is None else operation.derived.cost
    return None if cost is None else _json(cost.lines)


def _billing(operation: Operation) -> str | None:
    billing = NO_BILLING if operation.derived is None else operation.derived.billing
    return None if billing == NO_BILLING else _json(billing)


def _usage_raw(operation: Operation) -> str | None:
    payload = msgspec.UNSET if operation.derived is None else operation.derived.usage_raw
    return None if payload is msgspec.UNSET else bytes(payload).decode()


def _of_error(name: str) -> Callable[[Operation], Any]:
    return lambda operation: None if operation.error is None else getattr(operation.error, name)


_NOT_COLUMNS = ("usage", "usage_raw", "billing", "cost")
# Column → part of the cost.
_COST_PARTS = {
    "priced_model": "model",
    "cost_usd": "total",
    "input_cost_usd": "input",
    "output_cost_usd": "output",
    "cost_source": "source",
    "cost_reason": "reason",
    "price_id": "price_id",
    "price_book": "book",
}
_GETTERS: dict[str, Callable[[Operation], Any]] = {
    **{name: _of_derived(f"usage.{name}") for name in Usage.__struct_fields__},
    **{name: attrgetter(name) for name in Operation.__struct_fields__},
    # Later, since of what both have (how a stream ended) databases keep what was derived.
    **{name: _of_derived(name) for name in Derived.__struct_fields__ if name not in _NOT_COLUMNS},
    **{column: _of_cost(part) for column, part in _COST_PARTS.items()},
    "cost_lines": _lines,
    "billing": _billing,
    "status": attrgetter("status"),
    "timestamp": lambda operation: to_microseconds(operation.timestamp),
    "tags": lambda operation: _json(operation.tags),
    "labels": lambda operation: _json(operation.labels),
    "extras": _raw("extras"),
    "odd": lambda operation: _json(operation.odd),
    "usage_raw": _usage_raw,
    "request_body": _raw("completion_args"),
    "response_body": _raw("response"),
    "request_encoding": _encoding,
    "response_encoding": _encoding,
    **{f"error_{name}": _of_error(name) for name in ("type", "message", "stack")},
}
