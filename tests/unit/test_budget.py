"""This module is where the windows of budgets are tested, and what a budget refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore_obs.errors import ConfigurationError
from aicore_obs.model.budget import PERIODS, Budget
from aicore_obs.model.ids import first_id_of, new_id, time_of_id, utc_now

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia")
times = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(st.sampled_from(PERIODS), st.sampled_from(ZONES), times)
def test_windows_follow_each_other_without_a_gap(per: str, tz: str, when: datetime) -> None:
    """A time lies in its window, and the end of one is the start of the next."""
    budget = Budget(1, per, tz=tz)
    window = budget.window(when)
    assert window.start <= when < window.end
    assert budget.window(window.end - timedelta(microseconds=1)) == window
    if per != "total":
        assert budget.window(window.end).start == window.end


@pytest.mark.parametrize(
    ("per", "tz", "start", "end"),
    [
        ("hour", "UTC", "2026-03-29T00:00Z", "2026-03-29T01:00Z"),
        ("hour", "Asia/Kolkata", "2026-03-29T00:30Z", "2026-03-29T01:30Z"),
        ("day", "UTC", "2026-03-29T00:00Z", "2026-03-30T00:00Z"),
        # The day on which the clocks go forward has 23 hours.
        ("day", "Europe/Berlin", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),
        ("week", "UTC", "2026-03-23T00:00Z", "2026-03-30T00:00Z"),
        ("month", "America/New_York", "2026-03-01T05:00Z", "2026-04-01T04:00Z"),
    ],
)
def test_a_window_is_one_of_the_calendar(per: str, tz: str, start: str, end: str) -> None:
    """By the clocks of the budget's time zone."""
    window = Budget(1, per, tz=tz).window(datetime(2026, 3, 29, 0, 45, tzinfo=UTC))
    assert window.start == datetime.fromisoformat(start)
    assert window.end == datetime.fromisoformat(end)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"limit_usd": "much"}, "limit_usd='much'"),
        ({"limit_usd": -1}, "limit_usd=-1"),
        ({"limit_usd": True}, "limit_usd=True"),
        ({"limit_usd": float("nan")}, "limit_usd=nan"),
        ({"per": "fortnight"}, "hour, day, week, month, total"),
        ({"scope": {"limit": 3}}, "'limit' is none of"),
        ({"scope": {"user_id": 3}}, "user_id=3"),
        ({"tz": "Mars/Olympus"}, "Mars/Olympus"),
        ({"thresholds": ["half"]}, "thresholds='half'"),
    ],
)
def test_a_budget_that_cannot_work_says_why(arguments: dict[str, Any], said: str) -> None:
    """With the value that is wrong."""
    with pytest.raises(ValueError, match=said):
        Budget(**{"limit_usd": 1, **arguments})


def test_limits_are_exact() -> None:
    """Text and numbers are taken as they are written."""
    assert Budget("0.10").limit_usd == Decimal("0.10")
    assert Budget(0.1).limit_usd == Decimal("0.1")
    with pytest.raises(ConfigurationError):
        Budget("1e400000")


@given(times)
def test_ids_are_bounded_by_time(when: datetime) -> None:
    """The lowest id of a moment has that moment's time, to the millisecond."""
    assert timedelta() <= when - time_of_id(first_id_of(when)) < timedelta(milliseconds=1)


def test_an_id_made_now_is_above_the_bound_of_now() -> None:
    """So that what is older than a bound is below its id."""
    before = first_id_of(utc_now())
    made = new_id()
    assert before <= made < first_id_of(utc_now() + timedelta(milliseconds=2))
