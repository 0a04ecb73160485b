"""This module is where what people said of operations, flags and scores, becomes columns of a frame: lists of Structs.

A frame has them only where they are asked for by name, since they are looked up for each operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import polars as pl

from aicore_obs.stores.matching import number_of

_TIME = pl.Datetime("us", "UTC")
# `value` is the score as JSON has it, but a category as it is; `number` what ranges compare.
TYPES: dict[str, pl.DataType] = {
    "flags": pl.List(pl.Struct({"reason": pl.String, "note": pl.String, "at": _TIME})),
    "scores": pl.List(
        pl.Struct({"name": pl.String, "number": pl.Float64, "value": pl.String, "comment": pl.String, "at": _TIME})
    ),
}
_decode = msgspec.json.Decoder(list[dict[str, Any]]).decode


def to_lists(texts: pl.Series) -> pl.Series:
    """Return JSON lists (text or null) as lists of Structs, oldest first, empty where there are none."""
    rows = [[] if text is None else list(_row(texts.name, text)) for text in texts]
    return pl.Series(texts.name, rows, dtype=TYPES[texts.name])


def _row(name: str, text: str) -> Iterator[dict[str, Any]]:
    for one in sorted(_decode(text), key=lambda one: (one["at"], one["id"])):
        if name == "scores":
            value = msgspec.json.decode(one["value"])
            shown = value if isinstance(value, str) else one["value"]
            yield {**one, "number": number_of(value), "value": shown}
        else:
            yield one
