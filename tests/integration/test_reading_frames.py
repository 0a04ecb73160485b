"""This module is where the frame that a reader gives is held: columns, types, what is in extras and labels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from aicore_obs.model.escape import escape
from aicore_obs.model.frame_columns import FRAME_COLUMNS, NOT_PRICED
from aicore_obs.model.record import ErrorInfo, Record
from aicore_obs.protocols import Address
from aicore_obs.query.reader import read_frame
from aicore_obs.stores.catalogue import KEY_CAP
from tests.stored import START, operation, record_id, write_json, write_postgres, write_sqlite

Write = Callable[[Sequence[Record]], Address]


@pytest.fixture(params=["json", "jsonl", "sqlite", "postgresql"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    """Make a store of each kind hold records."""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
        return lambda records: write_postgres(url, records)
    if request.param == "sqlite":
        return lambda records: write_sqlite(tmp_path / "a.db", records)
    return lambda records: write_json(tmp_path / f"a.{request.param}", records)


def extras_of(write: Write, *extras: dict[str, Any] | None) -> pl.DataFrame:
    """The extras of operations that have these, without the Struct around."""
    records = [operation(number, **({} if one is None else {"extras": one})) for number, one in enumerate(extras)]
    return read_frame(write(records), {"columns": ["extras"]})["extras"].struct.unnest()


def test_a_full_frame(write: Write) -> None:
    """Every column comes back, in its order, with its type and its value."""
    error = ErrorInfo(type="Boom", message="it broke", stack="line 1\nline 2")
    record = operation(
        1,
        **{name: f"the {name}" for name in ("project", "provider", "model", "api", "session_id", "run_id", "trace_id")},
        latency_ms=12,
        temperature=0.1 + 0.2,
        input_tokens=2**53 + 1,
        output_tokens=0,
        audio_seconds=1.5,
        tags=("a", 'b"c'),
        labels={"team": "search"},
        extras={"step": 3},
        error=error,
        completion_args={"messages": ["é 😀"]},
        response={"choices": [{"message": {"content": "Hello"}}]},
    )
    frame = read_frame(write([record]), {})
    assert frame.columns == list(FRAME_COLUMNS)
    row = frame.row(0, named=True)
    assert row["operation_id"] == record_id(1)
    assert row["timestamp"] == datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert frame.schema["timestamp"] == pl.Datetime("us", "UTC")
    assert (row["project"], row["trace_id"], row["status"]) == ("the project", "the trace_id", "error")
    assert (row["latency_ms"], row["temperature"], row["audio_seconds"]) == (12.0, 0.1 + 0.2, 1.5)
    assert (row["input_tokens"], row["output_tokens"], row["total_tokens"]) == (2**53 + 1, 0, None)
    assert (row["tags"], row["labels"], row["extras"]) == (["a", 'b"c'], {"team": "search"}, {"step": 3})
    assert (row["error_type"], row["error_message"], row["error_stack"]) == (error.type, error.message, error.stack)
    assert pl.Series([row["completion_args"]]).str.json_path_match("$.messages[0]").item() == "é 😀"
    assert row["response_text"] == "Hello"
    assert (row["cost_usd"], row["cost_source"], row["cost_reason"]) == (None, None, NOT_PRICED)
    assert frame.schema["cost_usd"] == pl.Decimal(38, 12)


def test_no_rows_full_schema(write: Write) -> None:
    """An empty result has the columns and types of a full one."""
    address = write([operation(1, extras={"step": 1}, labels={"team": "a"})])
    full, empty = read_frame(address, {}), read_frame(address, {"session_id": "nobody's"})
    assert empty.height == 0
    assert empty.schema == full.schema


def test_no_records_full_schema(write: Write) -> None:
    """A store without operations has every column; extras and labels have the one field ``_``."""
    frame = read_frame(write([]), {})
    assert frame.columns == list(FRAME_COLUMNS)
    assert frame.schema["extras"] == frame.schema["labels"] == pl.Struct({"_": pl.String()})


def test_absent_values(write: Write) -> None:
    """No tags are an empty list; an operation without a key has null there."""
    frame = read_frame(write([operation(1), operation(2, extras={"project": "x"}, tags=("a",))]), {})
    assert frame["tags"].to_list() == [[], ["a"]]
    assert frame.select(pl.col("extras").struct.field("project"))["project"].to_list() == [None, "x"]


def test_one_type_is_kept(write: Write) -> None:
    """A key whose values have one type has that type; int and float together are float; the keys are sorted."""
    frame = extras_of(write, {"b": True, "i": 1, "f": 0.5, "s": "x", "if": 1}, {"if": 2.5, "i": None}, None)
    types = {"b": pl.Boolean(), "f": pl.Float64(), "i": pl.Int64(), "if": pl.Float64(), "s": pl.String()}
    assert frame.schema == types
    assert frame.rows() == [(True, 0.5, 1, 1.0, "x"), (None, None, None, 2.5, None), (None,) * 5]


def test_a_mixture_is_json(write: Write) -> None:
    """A key whose values differ in type, or are objects, is JSON text; a key with nulls only is text."""
    frame = extras_of(write, {"m": 1, "o": {"a": [1]}, "n": None}, {"m": "x"}, {"m": None, "o": 2**70})
    assert frame.schema == {"m": pl.String(), "n": pl.String(), "o": pl.String()}
    assert frame["m"].to_list() == ["1", '"x"', None]
    assert [text and text.replace(" ", "") for text in frame["o"]] == ['{"a":[1]}', None, str(2**70)]
    assert frame["n"].to_list() == [None] * 3


def test_floats_that_json_has_no_word_for(write: Write) -> None:
    """NaN and the infinities come back as floats."""
    values = extras_of(write, {"loss": "NaN"}, {"loss": "-Infinity"}, {"loss": 1}, {"loss": 1e300})["loss"]
    assert values.dtype == pl.Float64
    assert str(values.to_list()) == "[nan, -inf, 1.0, 1e+300]"


def test_too_many_keys_are_one_text(write: Write) -> None:
    """Past the cap the other keys come back as one JSON object."""
    known = {f"k{number:03}": number for number in range(KEY_CAP)}
    frame = extras_of(write, known, {"z1": 1, "k000": 5}, {"k001": 6})
    assert len(frame.columns) == KEY_CAP + 1
    assert frame["k000"].to_list() == [0, 5, None]
    assert frame["_rest"].to_list() == [None, '{"z1":1}', None]


def test_escaped_payloads(write: Write) -> None:
    """What JSON or PostgreSQL cannot hold is back in its place: NUL, U+E000; a lone surrogate by its JSON escape."""
    hard = "a\x00b\ue000c\ud83d"
    record = operation(1, escaped=True, response={"choices": [{"message": {"content": escape(hard)}}]})
    plain = operation(2, response={"choices": [{"message": {"content": "a\x00b\ue000"}}]}, project="p\x00\ue000")
    frame = read_frame(write([record, plain]), {})
    assert "\\ud83d" in frame["response"][0]
    assert frame["response_text"].to_list() == ["a\x00b\ue000c\ufffd", "a\x00b\ue000"]
    assert frame["project"].to_list() == [None, "p\x00\ue000"]


def test_columns_are_those_asked_for(write: Write) -> None:
    """Only the asked columns come back, in the asked order, also those that no store keeps."""
    address = write([operation(1), operation(2)])
    frame = read_frame(address, {"columns": ["response", "cost_reason", "timestamp"], "order": "desc"})
    assert frame.columns == ["response", "cost_reason", "timestamp"]
    assert read_frame(address, {"columns": ["cost_reason"]})["cost_reason"].to_list() == [NOT_PRICED] * 2
    assert frame["timestamp"][0] > frame["timestamp"][1]


def test_costs_match_nothing_yet(write: Write) -> None:
    """No operation has a cost yet, so a filter on it finds none."""
    address = write([operation(1)])
    assert read_frame(address, {"min_cost": 0}).height == read_frame(address, {"max_cost": Decimal(9)}).height == 0


def test_many_values_in_one_filter(write: Write) -> None:
    """A list of thousands of values works."""
    address = write([operation(number, session_id=f"s{number}") for number in range(3)])
    wanted = [f"s{number}" for number in range(1, 5000)]
    assert read_frame(address, {"session_id": wanted, "columns": ["session_id"]})["session_id"].to_list() == [
        "s1",
        "s2",
    ]


def test_a_column_that_begins_late(write: Write) -> None:
    """A column with nothing in its first thousands of rows, and a batch border in it, is read with its type."""
    records = [operation(number, workspace="late" if number == 5500 else None) for number in range(5600)]
    frame = read_frame(write(records), {"columns": ["workspace", "timestamp"]})
    assert frame["workspace"].drop_nulls().to_list() == ["late"]
    assert frame["timestamp"].is_sorted()


def test_inside_a_running_loop(write: Write) -> None:
    """Reading works where an event loop runs."""
    address = write([operation(1)])

    async def read() -> pl.DataFrame:
        return read_frame(address, {})

    assert_frame_equal(asyncio.run(read()), read_frame(address, {}))


def test_waiting_records_are_flushed_first(write: Write) -> None:
    """What ``before`` writes is in the frame."""
    address = write([])
    frame = read_frame(address, {}, before=lambda: write([operation(7, timestamp=START)]))
    assert frame["operation_id"].to_list() == [record_id(7)]
