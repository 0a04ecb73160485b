"""This module is where filters are checked: what they mean, and what they say of what they cannot mean."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from aicore_obs.errors import FilterError
from aicore_obs.model.filter import FILTER_NAMES, MATCH_FIELDS, Filter
from aicore_obs.model.frame_columns import FRAME_COLUMNS

DAY = datetime(2026, 1, 31, tzinfo=UTC)
WHEN = DAY + timedelta(hours=12)


def test_no_filter_is_everything() -> None:
    """None means that nothing was asked."""
    assert Filter.of() == Filter()
    assert Filter.of(**dict.fromkeys(FILTER_NAMES)) == Filter()


STARTS: list[tuple[Any, datetime]] = [
    ("2026-01-31", DAY),
    (date(2026, 1, 31), DAY),
    ("2026-01-31T12:00:00", WHEN),
    ("2026-01-31 12:00", WHEN),
    ("2026-01-31T12:00:00Z", WHEN),
    ("2026-01-31T14:00:00+02:00", WHEN),
    (WHEN, WHEN),
    (WHEN.replace(tzinfo=None), WHEN),
    (WHEN.astimezone(timezone(timedelta(hours=9))), WHEN),
    (DAY, DAY),
]


@pytest.mark.parametrize(("given", "start"), STARTS, ids=repr)
def test_starts_are_inclusive_and_naive_times_are_utc(given: Any, start: datetime) -> None:
    """Text, dates, aware and naive times."""
    assert Filter.of(start_date=given).start == start


@pytest.mark.parametrize("given", ["2026-01-31", date(2026, 1, 31)], ids=repr)
def test_a_bare_end_date_means_its_whole_day(given: Any) -> None:
    """Up to the next midnight, exclusive."""
    query = Filter.of(end_date=given)
    assert (query.end, query.end_exclusive) == (DAY + timedelta(days=1), True)


@pytest.mark.parametrize("given", ["2026-01-31T12:00:00Z", WHEN, WHEN.replace(tzinfo=None)], ids=repr)
def test_an_end_time_is_inclusive(given: Any) -> None:
    """A time is a moment, also midnight."""
    query = Filter.of(end_date=given)
    assert (query.end, query.end_exclusive) == (WHEN, False)
    midnight = Filter.of(end_date=DAY)
    assert (midnight.end, midnight.end_exclusive) == (DAY, False)


@pytest.mark.parametrize("name", [*MATCH_FIELDS, "flagged_for", "tags"])
def test_one_text_or_several(name: str) -> None:
    """A text is one value, a list, tuple or set several; no value at all matches nothing."""
    one, several = ("ok", ["ok", "error"]) if name == "status" else ("a", ["a", "b c%_"])
    assert getattr(Filter.of(**{name: one}), name) == (one,)
    assert getattr(Filter.of(**{name: several}), name) == tuple(several)
    assert getattr(Filter.of(**{name: {one}}), name) == (one,)
    assert getattr(Filter.of(**{name: []}), name) == ()


def test_numbers() -> None:
    """Tokens are whole, latencies may be fractions, costs are exact."""
    query = Filter.of(
        min_tokens=0, max_tokens=5, min_latency=1, max_latency=2.5, min_cost="0.1", max_cost=0.3, limit=0, order="desc"
    )
    assert (query.min_tokens, query.max_tokens, query.min_latency, query.max_latency) == (0, 5, 1.0, 2.5)
    assert (query.min_cost, query.max_cost) == (Decimal("0.1"), Decimal("0.3"))
    assert (query.limit, query.order) == (0, "desc")


def test_labels_and_columns() -> None:
    """Labels are all of them; columns keep the order that was asked for."""
    assert Filter.of(labels={"a": "1", "b": ""}).labels == {"a": "1", "b": ""}
    assert Filter.of(columns=["model", "timestamp"]).columns == ("model", "timestamp")
    assert Filter.of(columns="model").columns == ("model",)


def test_values_are_copied() -> None:
    """A later change of the caller's list changes nothing."""
    labels, models = {"a": "1"}, ["m"]
    query = Filter.of(labels=labels, model=models)
    labels["a"] = "2"
    models.append("n")
    assert (query.labels, query.model) == ({"a": "1"}, ("m",))


def test_an_unknown_filter_lists_the_right_ones() -> None:
    """The wrong name and every right one are in the message; it is a ValueError too."""
    with pytest.raises(FilterError) as raised:
        Filter.of(models="m", provider="p")
    assert "'models'" in str(raised.value)
    assert all(name in str(raised.value) for name in FILTER_NAMES)
    assert isinstance(raised.value, ValueError)


def test_an_unknown_column_lists_the_right_ones() -> None:
    """So it is with columns."""
    with pytest.raises(FilterError) as raised:
        Filter.of(columns=["model", "modell"])
    assert "'modell'" in str(raised.value)
    assert all(name in str(raised.value) for name in FRAME_COLUMNS)


NO_TIMES: list[Any] = ["yesterday", "", "2026-13-01", "2026-01", 5, []]
NO_TEXTS: list[Any] = [5, ["a", 5], {"a": "b"}, [None], b"a"]
NO_COUNTS: list[Any] = [-1, 1.5, "5", True, []]
NO_NUMBERS: list[Any] = ["many", "", float("nan"), Decimal("sNaN"), True, [], object()]
WRONG: list[tuple[str, Any]] = [
    *[(name, value) for name in ("start_date", "end_date", "cost_as_of") for value in NO_TIMES],
    *[(name, value) for name in ("provider", "flagged_for", "tags") for value in NO_TEXTS],
    *[(name, value) for name in ("min_tokens", "max_tokens", "limit") for value in NO_COUNTS],
    *[(name, value) for name in ("min_latency", "max_cost") for value in NO_NUMBERS],
    ("status", "failed"),
    ("status", ["ok", "OK"]),
    ("labels", "a=b"),
    ("labels", {"a": 1}),
    ("labels", {1: "a"}),
    ("labels", ["a"]),
    ("order", "newest"),
    ("order", 1),
    ("columns", [1]),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda one: repr(one).partition(" at 0x")[0][:30])
def test_a_wrong_value_is_named(name: str, value: Any) -> None:
    """The message has the filter, the value, and what is needed."""
    with pytest.raises(FilterError) as raised:
        Filter.of(**{name: value})
    if name != "columns":
        assert f"{name}=" in str(raised.value)
        assert repr(value)[:20] in str(raised.value)


@pytest.mark.parametrize(
    ("given", "when", "exclusive"),
    [
        ("2026-01-31", datetime(2026, 2, 1, tzinfo=UTC), True),
        (date(2026, 1, 31), datetime(2026, 2, 1, tzinfo=UTC), True),
        ("2026-01-31T12:00:00+01:00", datetime(2026, 1, 31, 11, tzinfo=UTC), False),
        (datetime(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC), False),  # noqa: DTZ001 - naive on purpose
        (date.max, datetime.max.replace(tzinfo=UTC), False),
    ],
)
def test_the_time_whose_costs_are_asked_for(given: Any, when: datetime, exclusive: bool) -> None:
    """A time is inclusive, a bare date means its whole day, as with end_date."""
    query = Filter.of(cost_as_of=given)
    assert (query.cost_as_of, query.cost_as_of_exclusive) == (when, exclusive)
    assert (Filter.of().cost_as_of, query.end) == (None, None)


def test_the_last_day_of_all_is_a_day_too() -> None:
    """There is no next midnight after year 9999; the day counts whole."""
    query = Filter.of(end_date=date.max)
    assert query.end == datetime.max.replace(tzinfo=UTC)
    assert not query.end_exclusive
