"""This module is where the catalogue of keys is understood: what lies in ``extras`` and ``labels``, and of which type.

A store writes down every key of these two free objects with the JSON type of its values, so that every frame of the
store has the same Struct, whatever the filter. After :data:`KEY_CAP` keys of a field the only further entry is
:data:`REST`: the other keys come back together, as one JSON object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

FIELDS = ("labels", "extras")
TYPES = ("null", "bool", "int", "float", "str", "json")
KEY_CAP = 256
REST = "_rest"
# JSON has no word for these floats; records hold them as the texts that protobuf's JSON mapping uses.
NON_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})

# field → key → the types seen
Catalogue = Mapping[str, Mapping[str, frozenset[str]]]
EMPTY: Catalogue = {field: {} for field in FIELDS}
_INT64 = range(-(2**63), 2**63)
_BY_CLASS: dict[type, str] = {type(None): "null", bool: "bool", float: "float"}


def json_type(value: Any) -> str:
    """Return the catalogue's type of a decoded JSON value; an integer past 64 bits is ``json`` and stays whole."""
    if isinstance(value, str):
        return "float" if value in NON_FINITE else "str"
    if isinstance(value, int) and not isinstance(value, bool):
        return "int" if value in _INT64 else "json"
    return _BY_CLASS.get(type(value), "json")


def keys_of(field: str, value: Any) -> Iterable[tuple[str, str, str]]:
    """Yield the catalogue's rows (field, key, type) of one record's labels or extras; a label is always text."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield field, key, "str" if field == "labels" else json_type(one)


def catalogue_of(rows: Iterable[tuple[str, str, str]], *, cap: int | None = None) -> Catalogue:
    """Fold rows (field, key, type), which may repeat; past ``cap`` keys of a field there is only :data:`REST`."""
    seen: dict[str, dict[str, set[str]]] = {field: {} for field in FIELDS}
    for field, key, kind in rows:
        keys = seen.setdefault(field, {})
        if key in keys or cap is None or len(keys) < cap:
            keys.setdefault(key, set()).add(kind)
        else:
            keys.setdefault(REST, set()).add("json")
    return {field: {key: frozenset(types) for key, types in keys.items()} for field, keys in seen.items()}
