"""This module is where it is said which columns the files of an archive have, and how they come from and go to frames.

They are the columns of a frame, under the same names, so that other programs need no key to them: ``labels`` and
``extras`` as JSON text. Costs are those that were shown when the operation was archived. Beside them stands what a
frame does not show and a record has: ``records`` are the flags, costs and scores that speak of the operation (a JSON
list of them as they were written), ``recorded_cost`` is the cost as it was recorded, where a later one is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl

from aicore_obs.guard import attempt
from aicore_obs.model import codec
from aicore_obs.model.events import CostRevision
from aicore_obs.model.frame_columns import COST_COLUMNS as FRAME_COSTS
from aicore_obs.model.frame_columns import FRAME_COLUMNS
from aicore_obs.model.record import Record
from aicore_obs.stores.frame import MONEY, empty_schema
from aicore_obs.stores.json_found import columns_of
from aicore_obs.stores.said import said_lines

# What is computed from the response each time, by the program that reads.
_COMPUTED = frozenset({"response_text"})
# Name in a file → name in a reader's frame.
_ASKED_AS = {
    "labels": "labels_json",
    "extras": "extras_json",
    "completion_args": "request_body",
    "response": "response_body",
}
_BESIDE = ("experiment_id", "request_encoding", "response_encoding", "usage_raw", "odd", "billing", "price_book",
           "cost_lines")  # fmt: skip
_FROM_READER = (*(name for name in FRAME_COLUMNS if name not in _COMPUTED), *_BESIDE)
# A cost, in the order of :func:`~aicore_obs.stores.json_found.columns_of`.
COSTS = ("priced_model", *(name for name in FRAME_COSTS if name.endswith("_usd")), "cost_source", "cost_reason",
         "price_id", "price_book", "cost_lines")  # fmt: skip
# What is asked of the store's reader for a file.
ASKED = (*(_ASKED_AS.get(name, name) for name in _FROM_READER), "said")
# Column of a raw frame → column of a file, where their names differ.
_RAW = {"id": "operation_id", "request_body": "completion_args", "response_body": "response"}
_decode = msgspec.json.Decoder(list[msgspec.Raw]).decode
_texts = msgspec.json.Decoder(dict[str, str | None])


def file_schema() -> dict[str, pl.DataType]:
    """Return the columns of a file with their types."""
    frame = empty_schema()
    texts = dict.fromkeys((*_ASKED_AS, *_BESIDE), pl.String())
    return {
        **{name: texts.get(name, frame.get(name, pl.String())) for name in _FROM_READER},
        "recorded_cost": pl.String(),
        "records": pl.String(),
    }


def to_file(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of a file of a reader's frame of :data:`ASKED`, read with costs as they were recorded."""
    said = [said_lines(text) for text in frame["said"]]
    renamed = frame.drop("said").rename({asked: name for name, asked in _ASKED_AS.items()})
    with_records = renamed.with_columns(
        pl.Series("recorded_cost", [None] * frame.height, dtype=pl.String),
        pl.Series("records", [_list(lines) for lines in said], dtype=pl.String),
    )
    newest = {index: cost for index, lines in enumerate(said) if (cost := _newest(lines)) is not None}
    return _with_costs(with_records, newest).select(list(file_schema()))


def _with_costs(frame: pl.DataFrame, newest: dict[int, CostRevision]) -> pl.DataFrame:
    """Return a frame that shows these costs, and keeps beside them what it showed."""
    if not newest:
        return frame
    recorded: list[str | None] = [None] * frame.height
    for index in newest:
        own = {name: _plain(frame[name][index]) for name in COSTS}
        recorded[index] = msgspec.json.encode(own).decode()
    shown = {index: columns_of(revision.cost) for index, revision in newest.items()}
    return replaced(frame, shown).with_columns(pl.Series("recorded_cost", recorded, dtype=pl.String))


def replaced(frame: pl.DataFrame, costs: dict[int, tuple[Any, ...]]) -> pl.DataFrame:
    """Return a frame with other costs in these rows; columns of costs that it does not have are passed over."""
    columns = []
    for place, name in enumerate(COSTS):
        if name in frame.columns:
            values = frame[name].to_list()
            for index, cost in costs.items():
                values[index] = cost[place]
            columns.append(pl.Series(name, values, dtype=MONEY if name.endswith("_usd") else pl.String()))
    return frame.with_columns(columns)


def recorded_cost(text: str) -> tuple[Any, ...]:
    """Return a cost as it was recorded, in the order of :data:`COSTS`, of the column of that name."""
    own = _texts.decode(text)
    return tuple(_amount(own.get(name)) if name.endswith("_usd") else own.get(name) for name in COSTS)


def records_in(text: str | None) -> list[Record]:
    """Return the records of the column of that name; what a newer program wrote is passed over."""
    found = [attempt(codec.decode, bytes(line)).value for line in _decode(text)] if text else []
    return [record for record in found if record is not None]


def raw_of(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame of a file's columns as a raw frame; see :mod:`aicore_obs.stores.frame`."""
    return frame.rename({name: raw for raw, name in _RAW.items() if name in frame.columns})


def columns_for(raw_names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a file that a raw frame with these columns is made of."""
    return tuple(dict.fromkeys(_RAW.get(name, name) for name in raw_names))


def _newest(lines: Sequence[bytes]) -> CostRevision | None:
    records = (attempt(codec.decode, line).value for line in lines)
    return max((one for one in records if isinstance(one, CostRevision)), key=lambda one: one.id, default=None)


def _list(lines: Sequence[bytes]) -> str | None:
    return msgspec.json.encode([msgspec.Raw(line) for line in lines]).decode() if lines else None


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _plain(value: Any) -> str | None:
    return None if value is None else str(value)
