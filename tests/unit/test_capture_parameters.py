"""This module is where it is checked what becomes of the parameters of a call: odd values are kept, and marked."""

from __future__ import annotations

import enum
import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aicore_obs.capture.fields import RecordOptions
from aicore_obs.errors import UnknownParameterError
from tests.captures import capture, extras_of

WHEN = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
ID = uuid.UUID("01900000-0000-7000-8000-000000000000")


class Colour(enum.Enum):
    RED = "red"


class Word(str, enum.Enum):  # noqa: UP042 - what users have
    YES = "yes"


def test_an_unknown_keyword_raises_and_lists_the_known_ones() -> None:
    """A misspelt parameter is the caller's mistake, said at once; it is a TypeError too."""
    with pytest.raises(UnknownParameterError, match=r"'latency'.*session_id") as raised:
        capture({}, latency=5)
    assert isinstance(raised.value, TypeError)
    assert all(name in str(raised.value) for name in RecordOptions.__annotations__)


LATENCIES: list[tuple[Any, float | None, bool]] = [
    (12, 12.0, False),
    (0, 0.0, False),
    (1.5, 1.5, False),
    (np.float64(2.5), 2.5, False),
    (Decimal("3.5"), 3.5, False),
    (-5, -5.0, True),
    (float("nan"), None, True),
    (float("inf"), None, True),
    (10**30, 1e30, False),
    (10**400, None, True),
    ("12", None, True),
    (True, None, True),
    (timedelta(seconds=1), None, True),
    ([1], None, True),
]


@pytest.mark.parametrize(("given", "kept", "odd"), LATENCIES, ids=repr)
def test_latencies_are_kept_as_given(given: Any, kept: float | None, odd: bool) -> None:
    """A number stays, a negative one marked; what is no number stays as text in ``odd``."""
    record = capture({}, latency_ms=given, time_to_first_token_ms=given)
    assert (record.latency_ms, record.time_to_first_token_ms) == (kept, kept)
    assert (set(record.odd) == {"latency_ms", "time_to_first_token_ms"}) == odd


@pytest.mark.parametrize("given", [-1, True, "3", 1.0, 2**63], ids=repr)
def test_a_place_in_a_run_is_a_whole_number(given: Any) -> None:
    """What is none stays as text in ``odd``."""
    assert (capture({}, seq=0).seq, capture({}, seq=2**63 - 1).seq) == (0, 2**63 - 1)
    record = capture({}, seq=given)
    assert (record.seq, record.odd) == (None, {"seq": str(given)})


TIMES: list[tuple[Any, datetime]] = [
    ("2026-01-31T12:30:00Z", WHEN),
    ("2026-01-31T12:30:00+00:00", WHEN),
    ("2026-01-31T14:30:00+02:00", WHEN),
    ("2026-01-31 12:30", WHEN),
    ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
    (WHEN, WHEN),
    (WHEN.replace(tzinfo=None), WHEN),
    (WHEN.astimezone(timezone(timedelta(hours=-5))), WHEN),
    (WHEN.timestamp(), WHEN),
    (int(WHEN.timestamp()), WHEN),
    (np.float64(WHEN.timestamp()), WHEN),
    (0, datetime(1970, 1, 1, tzinfo=UTC)),
    (-1.5, datetime(1969, 12, 31, 23, 59, 58, 500000, tzinfo=UTC)),
]


@pytest.mark.parametrize(("given", "when"), TIMES, ids=repr)
def test_timestamps_of_all_forms(given: Any, when: datetime) -> None:
    """Text, aware and naive times, and seconds mean a time in UTC."""
    record = capture({}, timestamp=given)
    assert record.timestamp == when
    assert record.odd == {}


NO_TIMES = ["yesterday", "", 1e300, float("nan"), [], "2026-13-01", pytest.param(object(), id="object()")]


@pytest.mark.parametrize("given", NO_TIMES, ids=repr)
def test_a_timestamp_that_is_none_is_marked(given: Any) -> None:
    """The record gets the time of now, and ``odd`` what was said."""
    before = datetime.now(UTC)
    record = capture({}, timestamp=given)
    assert before <= record.timestamp <= datetime.now(UTC)
    assert record.odd["timestamp"] == str(given)


def test_ids_are_text() -> None:
    """Whole numbers, UUIDs and enums become text; what is neither text nor number is marked."""
    record = capture({}, session_id=5, run_id=ID, agent_id=Word.YES, user_id=Colour.RED, action_id=[1])
    assert (record.session_id, record.run_id, record.agent_id) == ("5", str(ID), "yes")
    assert (record.user_id, record.action_id) == ("red", "[1]")
    assert "session_id" not in record.odd
    assert record.odd["action_id"] == "[1]"


def test_labels_and_tags_of_other_shapes_are_kept_as_text() -> None:
    """Wrong types become text and are marked; a single text is one tag."""
    record = capture({}, tags="one", labels={"a": 1, 2: None})
    assert (record.tags, record.labels) == (("one",), {"a": "1", "2": "None"})
    assert set(record.odd) == {"tags", "labels"}
    assert capture({}, tags=["b", "a", "b"]).tags == ("b", "a", "b")
    assert capture({}, labels=[1]).odd == {"labels": "[1]"}


def test_extras_that_are_no_mapping_are_kept() -> None:
    """They stand under the key ``value``."""
    record = capture({}, extras=[1, 2])
    assert extras_of(record) == {"value": [1, 2]}
    assert "extras" in record.odd
    assert extras_of(capture({}, extras=SimpleNamespace(a=1))) == {"a": 1}


def test_an_exception_keeps_type_message_and_stack() -> None:
    """So does its cause; the innermost frames of a deep stack are those that are kept."""

    def down(levels: int) -> None:
        if levels:
            down(levels - 1)
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    with pytest.raises(ValueError, match="outer") as raised:
        down(200)
    record = capture({}, error=raised.value)
    assert record.status == "error"
    assert record.error is not None
    assert (record.error.type, record.error.message) == ("ValueError", "outer")
    stack = record.error.stack or ""
    assert 'raise KeyError("inner")' in stack
    assert 'raise ValueError("outer") from error' in stack
    assert len(stack) < 20_000


def test_errors_of_other_forms() -> None:
    """A text is a message; a mapping gives type, message and stack."""
    text, mapping = capture({}, error="refused"), capture({}, error={"type": "Timeout", "message": 5, "more": 1})
    assert text.error is not None
    assert mapping.error is not None
    assert (text.error.type, text.error.message, text.status) == (None, "refused", "error")
    assert (mapping.error.type, mapping.error.message, mapping.status) == ("Timeout", "5", "error")


@pytest.mark.parametrize("nothing", [None, False, ""])
def test_no_error_is_ok(nothing: Any) -> None:
    """The status comes from the error alone: no text in the answer is no error."""
    assert capture({}, None, error=nothing).status == "ok"
