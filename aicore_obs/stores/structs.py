"""This module is where JSON objects become Polars Structs: ``labels`` and ``extras``, by the store's catalogue.

A key whose values have one type gets it (int and float together are float); any other mixture is JSON text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
import polars as pl

from aicore_obs.stores.catalogue import NON_FINITE, REST

# A Struct needs a field, and so does Parquet.
NO_KEYS = "_"
_DTYPES: dict[str, pl.DataType] = {
    "bool": pl.Boolean(),
    "int": pl.Int64(),
    "float": pl.Float64(),
    "str": pl.String(),
    "json": pl.String(),
}
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode
_Keys = Mapping[str, frozenset[str]]
_Object = Mapping[str, msgspec.Raw]


def struct_type(keys: _Keys) -> pl.Struct:
    """Return the Struct of one field of the catalogue; its fields are sorted by name."""
    return pl.Struct({key: _DTYPES[_kind(key, keys[key])] for key in sorted(keys)} or {NO_KEYS: pl.String()})


def to_struct(texts: pl.Series, keys: _Keys) -> pl.Series:
    """Return JSON objects (text or null) as the Struct of ``keys``; what does not fit its type is null."""
    dtype = struct_type(keys)
    if not keys or texts.null_count() == len(texts):
        return pl.Series(texts.name, [None], dtype=dtype).new_from_index(0, len(texts))
    if all(_kind(key, types) != "json" for key, types in keys.items()):
        try:
            return texts.str.json_decode(dtype)
        except pl.exceptions.ComputeError:
            # A float that JSON has no word for, or a value newer than the catalogue that we read.
            pass
    return _one_by_one(texts, keys)


def _kind(key: str, types: frozenset[str]) -> str:
    known = types - {"null"}
    if key == REST:
        return "json"
    if known == {"int", "float"}:
        return "float"
    # Only nulls: text, and no value to read.
    return next(iter(known), "str") if len(known) < 2 else "json"


def _one_by_one(texts: pl.Series, keys: _Keys) -> pl.Series:
    rows = [None if text is None else _object(text) for text in texts]
    # By name, since a frame of a list gives a column without one a name of its own.
    structs = pl.DataFrame({key: _column(key, keys, rows) for key in sorted(keys)}).to_struct(texts.name)
    return pl.select(pl.when(texts.is_not_null()).then(structs).alias(texts.name)).to_series()


def _object(text: str) -> _Object:
    try:
        return _decode_object(text)
    except msgspec.DecodeError:
        return {}


def _column(key: str, keys: _Keys, rows: list[_Object | None]) -> pl.Series:
    kind = _kind(key, keys[key])
    if key == REST:
        values = [row and _rest(row, keys) for row in rows]
    else:
        read = _READ[kind]
        values = [read(bytes(row[key])) if row and key in row else None for row in rows]
    return pl.Series(key, values, dtype=_DTYPES[kind])


def _rest(row: _Object, keys: _Keys) -> str | None:
    others = {key: value for key, value in row.items() if key not in keys or key == REST}
    return _encode(others).decode() if others else None


def _typed(expected: Any) -> Callable[[bytes], Any]:
    decode = msgspec.json.Decoder(expected).decode

    def read(raw: bytes) -> Any:
        try:
            return decode(raw)
        except msgspec.DecodeError:
            return None

    return read


def _float(raw: bytes) -> float | None:
    value = _float_or_word(raw)
    return float(value) if isinstance(value, float | int) or value in NON_FINITE else None


def _json(raw: bytes) -> str | None:
    return None if raw == b"null" else raw.decode()


_float_or_word = _typed(float | str)
_READ: dict[str, Callable[[bytes], Any]] = {
    "bool": _typed(bool),
    # Within 64 bits: what is larger is catalogued as JSON.
    "int": _typed(Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]),
    "float": _float,
    "str": _typed(str),
    "json": _json,
}
