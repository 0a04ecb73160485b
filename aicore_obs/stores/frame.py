"""This module is where stored columns become the columns of a frame, with the same types from every store.

A *raw* frame is what a store hands over: numbers and text, times as microseconds, JSON as text, each payload with its
encoding. :class:`Shape` turns it into the frame that a user sees.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing

import polars as pl

from aicore_obs.model.cost import QUANTUM
from aicore_obs.model.escape import unescape, unescape_json
from aicore_obs.model.frame_columns import COST_COLUMNS, FRAME_COLUMNS, LEDGER_COLUMNS, NOT_PRICED, OPINION_COLUMNS
from aicore_obs.model.usage import COUNT_FIELDS, FRACTION_FIELDS, TOKEN_FIELDS
from aicore_obs.stores.catalogue import EMPTY, FIELDS, Catalogue
from aicore_obs.stores.opinions import TYPES as OPINIONS
from aicore_obs.stores.opinions import to_lists
from aicore_obs.stores.structs import struct_type, to_struct

# provider, response as stored → the text that the model wrote
ReadText = Callable[[str | None, bytes], str | None]
Raws = Generator[pl.DataFrame, None, None]
ESCAPED = "json+escaped"
PAYLOADS = {"completion_args": "request", "response": "response", "response_text": "response"}
# Asked for inside this package only: objects and lists as the JSON text that was stored, keys that are null included.
JSON_TEXTS = {f"{field}_json": field for field in (*FIELDS, *OPINION_COLUMNS)}
# Asked for by mirrors only: the id of the revision that the columns of cost show, null for the operation's own.
REVISION = "cost_revision"
MONEY = pl.Decimal(38, 12)
_AMOUNTS = tuple(name for name in COST_COLUMNS if name.endswith("_usd"))
# What SQLite counts money in.
_QUANTUM = pl.Series([QUANTUM], dtype=MONEY)
_TIMES = ("timestamp", "recorded_at")
_COUNTS = (
    "max_tokens",
    "seq",
    "revision",
    *TOKEN_FIELDS,
    *(name for name in COUNT_FIELDS if name not in FRACTION_FIELDS),
)
_NUMBERS = ("latency_ms", "time_to_first_token_ms", "temperature", *FRACTION_FIELDS)
_TYPES: dict[str, pl.DataType] = {
    **dict.fromkeys(_TIMES, pl.Datetime("us", "UTC")),
    "tags": pl.List(pl.String()),
    **dict.fromkeys(_COUNTS, pl.Int64()),
    **dict.fromkeys(_NUMBERS, pl.Float64()),
    **dict.fromkeys(_AMOUNTS, MONEY),
}
_SURROGATE = re.compile("[\ud800-\udfff]")


def frame_schema(catalogue: Catalogue) -> dict[str, pl.DataType]:
    """Return all columns that a frame can have, with their types, for a store with these keys."""
    schema = {name: _TYPES.get(name, pl.String()) for name in FRAME_COLUMNS}
    return {**schema, **OPINIONS, **{field: struct_type(catalogue[field]) for field in FIELDS}}


def empty_schema() -> dict[str, pl.DataType]:
    """Return the columns of a frame of a store that does not exist yet."""
    return frame_schema(EMPTY)


def raw_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the stored columns that these columns of a frame are made of."""
    needed: dict[str, None] = {}
    for name in columns:
        needed.update(dict.fromkeys(_sources(name)))
    # At least one, since without a column rows cannot be counted.
    return tuple(needed) or ("id",)


def _sources(name: str) -> tuple[str, ...]:
    if name in PAYLOADS:
        body = (f"{PAYLOADS[name]}_body", f"{PAYLOADS[name]}_encoding")
        return (*body, "provider") if name == "response_text" else body
    if name == "cost_reason":
        return name, "cost_usd"
    return ("id",) if name == "operation_id" else (JSON_TEXTS.get(name, name),)


def raw_type(name: str) -> pl.DataType:
    """Return the type of a stored column as a driver hands it over."""
    if name in _TIMES:
        return pl.Int64()
    dtype = _TYPES.get(name, pl.String())
    return pl.String() if isinstance(dtype, pl.List) else dtype


def no_text(_provider: str | None, _response: bytes) -> None:
    """Read no text out of any response."""


class Shape:
    """The way from raw frames to frames of one store: its catalogue and the reader of texts."""

    def __init__(self, catalogue: Catalogue, *, read_text: ReadText = no_text) -> None:
        self.schema = frame_schema(catalogue)
        self.catalogue = catalogue
        self._read_text = read_text

    def empty(self, columns: Sequence[str]) -> pl.DataFrame:
        """Return the frame of no rows."""
        return pl.DataFrame(schema={name: self.schema[name] for name in columns})

    def frame(self, raw: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
        """Return ``columns``, in this order, of a raw frame that has their :func:`raw_columns`."""
        return pl.DataFrame([self._column(name, raw) for name in columns])

    def frames(self, raws: Raws, columns: Sequence[str], *, batch_rows: int) -> Iterator[pl.DataFrame]:
        """Yield the frames of raw frames, none longer than ``batch_rows``; close ``raws`` when nobody asks for more."""
        with closing(raws):
            for raw in raws:
                for part in raw.iter_slices(batch_rows):
                    yield self.frame(part, columns)

    def _column(self, name: str, raw: pl.DataFrame) -> pl.Series:
        # Beside the columns of a frame there are some that only this package asks for; they are text.
        dtype = self.schema.get(name, pl.String())
        if name == "cost_reason":
            return _reasons(raw)
        if name in FIELDS:
            return to_struct(raw[name], self.catalogue[name])
        if name in OPINIONS:
            return to_lists(raw[name])
        if name in PAYLOADS:
            return self._texts(raw) if name == "response_text" else _payload(raw, PAYLOADS[name]).alias(name)
        if name == "tags" and raw[name].dtype != dtype:
            return raw[name].fill_null("[]").str.json_decode(dtype)
        return raw["id" if name == "operation_id" else JSON_TEXTS.get(name, name)].alias(name).cast(dtype)

    def _texts(self, raw: pl.DataFrame) -> pl.Series:
        rows = zip(raw["provider"], raw["response_body"], raw["response_encoding"], strict=True)
        return pl.Series("response_text", [self._text(*row) for row in rows], dtype=pl.String)

    def _text(self, provider: str | None, body: str | None, encoding: str | None) -> str | None:
        text = None if body is None else self._read_text(provider, body.encode())
        if text is None or encoding != ESCAPED:
            return text
        return utf8(unescape(text))


def ledger_frame(raw: pl.DataFrame) -> pl.DataFrame:
    """Return the frame of a ledger of a raw frame with the columns of one."""
    types = ledger_schema()
    raw = raw.with_columns(_reasons(raw))
    return pl.DataFrame([raw[name].cast(dtype) for name, dtype in types.items()])


def ledger_schema() -> dict[str, pl.DataType]:
    """Return the columns of a ledger of costs with their types."""
    return {name: _TYPES.get(name, pl.String()) for name in LEDGER_COLUMNS}


def _reasons(raw: pl.DataFrame) -> pl.Series:
    """Return why costs are unknown or incomplete; there is always a reason where there is no cost."""
    unknown = raw["cost_usd"].is_null() & raw["cost_reason"].is_null()
    return raw["cost_reason"].set(unknown, NOT_PRICED)


def _payload(raw: pl.DataFrame, part: str) -> pl.Series:
    bodies = raw[f"{part}_body"]
    escaped = raw[f"{part}_encoding"] == ESCAPED
    if not escaped.any():
        return bodies
    pairs = zip(bodies, escaped, strict=True)
    return pl.Series([unescape_json(body) if body and code else body for body, code in pairs], dtype=pl.String)


def utf8(text: str) -> str:
    """Return text that Polars can hold: a lone surrogate has no UTF-8, so U+FFFD stands for it."""
    return _SURROGATE.sub("\ufffd", text)


def of_columns(values: Mapping[str, Sequence[object]], *, in_quanta: bool = False) -> pl.DataFrame:
    """Return a raw frame of columns as Python has them; ``in_quanta``: amounts are whole numbers of 1e-12 USD."""
    return pl.DataFrame(
        [
            _of_quanta(name, column) if in_quanta and name in _AMOUNTS else _series(name, column, raw_type(name))
            for name, column in values.items()
        ]
    )


def _of_quanta(name: str, values: Sequence[object]) -> pl.Series:
    quanta = _series(name, values, pl.Int64())
    return (quanta.cast(pl.Decimal(38, 0)) * _QUANTUM).cast(MONEY)


def _series(name: str, values: Sequence[object], dtype: pl.DataType) -> pl.Series:
    try:
        return pl.Series(name, values, dtype=dtype)
    except TypeError:
        # SQLite lets any type into any column; a value that does not fit is null and costs nothing else.
        return pl.Series(name, values, dtype=dtype, strict=False)
