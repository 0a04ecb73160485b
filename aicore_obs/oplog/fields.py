"""This module is where a record becomes a row of an export: whole, or the fields that are named by dotted paths."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from aicore_obs.errors import ConfigurationError
from aicore_obs.guard import log_window
from aicore_obs.oplog.record import FIELDS, Mark, Record

_NAMES = frozenset(Record.__struct_fields__)


def fields_named(fields: Sequence[str] | None) -> tuple[str, ...]:
    """Return the fields of an export; of None, those of a whole record.

    Raises:
        ConfigurationError: no list of texts, or a field twice.
    """
    if fields is None:
        return FIELDS
    names = () if isinstance(fields, str) else tuple(fields)
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ConfigurationError(f"fields={fields!r}: a list of different fields is needed, such as ['inputs.query']")
    unknown = [name for name in names if name.partition(".")[0] not in _NAMES]
    if unknown:
        log_window.warn("fields", f"no record has {', '.join(unknown)}; records have: {', '.join(_NAMES)}")
    return names


def rows_of(records: Iterable[Record], fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a row for each record: field → value, null where a record has no such thing.

    Raises:
        ConfigurationError: something is no record.
    """
    for record in records:
        if not isinstance(record, Record):
            raise ConfigurationError(f"{record!r} is no record: give what db.query(…) or db.stream(…) returned")
        yield {name: value_at(record, name) for name in fields}


def value_at(record: Record, path: str) -> Any:
    """Return what stands at a dotted path, ``inputs.query`` or ``outputs.choices.0.text``, None where nothing does."""
    first, _, rest = path.partition(".")
    if first not in _NAMES:
        return None
    value = getattr(record, first)
    if first == "flags":
        value = [_mark(mark) for mark in value]
    if first == "scores":
        value = {name: score.value for name, score in value.items()}
    return _inside(value, rest) if rest else value


def _inside(value: Any, path: str) -> Any:
    if isinstance(value, Mapping):
        # A key may hold dots itself: the longest that is there counts.
        parts = path.split(".")
        for size in range(len(parts), 0, -1):
            key = ".".join(parts[:size])
            if key in value:
                return value[key] if size == len(parts) else _inside(value[key], ".".join(parts[size:]))
        return None
    first, _, rest = path.partition(".")
    if isinstance(value, list) and first.isdecimal() and int(first) < len(value):
        return _inside(value[int(first)], rest) if rest else value[int(first)]
    return None


def _mark(mark: Mark) -> dict[str, Any]:
    return {"reason": mark.reason, "note": mark.note, "flagged_at": mark.flagged_at}


def as_json(value: Any) -> bytes:
    """Return a value as JSON, on one line."""
    try:
        return msgspec.json.encode(value)
    except (UnicodeError, ValueError, OverflowError):
        # Lone surrogates and integers of more than 64 bits, which a payload may hold.
        return json.dumps(value, default=str, separators=(",", ":")).encode()


def canonical(value: Any) -> bytes:
    """Return a value as JSON that is the same from every store: one of them keeps no order of keys."""
    try:
        return msgspec.json.encode(value, order="sorted")
    except (UnicodeError, ValueError, OverflowError):
        return json.dumps(value, default=str, separators=(",", ":"), sort_keys=True).encode()


def as_cell(value: Any) -> str:
    """Return a value as a table of text has it: text as it is, nothing for null, else JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else as_json(value).decode()
    if not isinstance(value, str) and text.startswith('"'):
        text = text.strip('"')
    return text.encode("utf-8", "backslashreplace").decode()


def as_column(value: Any) -> Any:
    """Return a value as a typed column can hold it: objects and lists as JSON text."""
    if isinstance(value, dict | list):
        value = as_json(value).decode()
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
