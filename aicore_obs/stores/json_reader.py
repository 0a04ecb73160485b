"""This module is where operations are read back from a JSON file: an array, or lines.

The file is read twice: once to note which operations match and where they lie, then, in order, batch by batch. So
memory holds a short note for each operation that matches, and never the texts of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any

import msgspec
import polars as pl

from aicore_obs.errors import StoreDamagedError
from aicore_obs.model import codec
from aicore_obs.model.events import Flag
from aicore_obs.model.filter import Filter
from aicore_obs.model.ids import to_microseconds
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.usage import Usage
from aicore_obs.protocols import Address
from aicore_obs.stores.catalogue import EMPTY, KEY_CAP, catalogue_of, keys_of
from aicore_obs.stores.frame import ESCAPED, ReadText, Shape, no_text, of_columns, raw_columns
from aicore_obs.stores.json_elements import JsonElements, Place, Snapshot
from aicore_obs.stores.matching import FoldedFlags, matcher

# (microseconds, id), where the element lies: what is kept of an operation until its batch is read
_Note = tuple[tuple[int, str], Place]
_decode_free = msgspec.json.decode


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
                self._note(snapshot, Filter(limit=0))
        return self._known_shape().schema

    def batches(self, query: Filter, columns: Sequence[str], *, batch_rows: int) -> Iterator[pl.DataFrame]:
        names = raw_columns(columns)
        read = [_GETTERS[name] for name in names]
        with self._elements.snapshot() as snapshot:
            notes = iter(self._note(snapshot, query))
            while batch := list(islice(notes, batch_rows)):
                operations = [_operation(snapshot, place) for _, place in batch]
                rows = [[get(operation) for operation in operations] for get in read]
                raw = of_columns(dict(zip(names, rows, strict=True)))
                yield self._known_shape().frame(raw, columns)

    def _known_shape(self) -> Shape:
        return self._shape or Shape(EMPTY, read_text=self.read_text)

    def _note(self, snapshot: Snapshot, query: Filter) -> list[_Note]:
        """Return what matches, in the order of the query; an id that comes again counts once."""
        matches, flags = matcher(query), FoldedFlags()
        keys: dict[tuple[str, str, str], None] = {}
        found: dict[str, _Note] = {}
        for place, record in self._elements.records(snapshot):
            if isinstance(record, Flag):
                flags.add(record)
            elif isinstance(record, Operation):
                if self._shape is None:
                    keys.update(dict.fromkeys(_keys(record)))
                if record.id not in found and matches(record):
                    found[record.id] = (to_microseconds(record.timestamp), record.id), place
        # Kept, so that all frames of one reader have one schema.
        self._shape = self._shape or Shape(catalogue_of(keys, cap=KEY_CAP), read_text=self.read_text)
        return _ordered(found, flags, query)


def _ordered(found: dict[str, _Note], flags: FoldedFlags, query: Filter) -> list[_Note]:
    reasons = query.flagged_for
    notes = [note for key, note in found.items() if reasons is None or flags.any_of(key, reasons)]
    notes.sort(reverse=query.order == "desc")
    return notes[: query.limit]


def _keys(record: Operation) -> Iterator[tuple[str, str, str]]:
    yield from keys_of("labels", record.labels)
    if record.extras is not msgspec.UNSET:
        yield from keys_of("extras", _decode_free(record.extras))


def _operation(snapshot: Snapshot, place: Place) -> Operation:
    record = codec.decode(snapshot.read(*place))
    if not isinstance(record, Operation):
        raise StoreDamagedError(f"the file changed under its reader at byte {place[0]}; read it again")
    return record


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


def _of_error(name: str) -> Callable[[Operation], Any]:
    return lambda operation: None if operation.error is None else getattr(operation.error, name)


_GETTERS: dict[str, Callable[[Operation], Any]] = {
    **{name: _of_derived(f"usage.{name}") for name in Usage.__struct_fields__},
    **{name: _of_derived(name) for name in Derived.__struct_fields__ if name not in ("usage", "usage_raw")},
    **{name: attrgetter(name) for name in Operation.__struct_fields__},
    "status": attrgetter("status"),
    "timestamp": lambda operation: to_microseconds(operation.timestamp),
    "tags": lambda operation: _json(operation.tags),
    "labels": lambda operation: _json(operation.labels),
    "extras": _raw("extras"),
    "request_body": _raw("completion_args"),
    "response_body": _raw("response"),
    "request_encoding": _encoding,
    "response_encoding": _encoding,
    **{f"error_{name}": _of_error(name) for name in ("type", "message", "stack")},
}
