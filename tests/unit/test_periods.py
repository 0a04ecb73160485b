"""This module is where the words for time in reports are held to the calendar of a time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from aicore_obs.errors import ConfigurationError
from aicore_obs.query.reports.periods import NAMES, period_of, zone_of

NOW = datetime(2026, 3, 31, 22, 30, tzinfo=UTC)  # a Tuesday; in Paris it is April already, 00:30

# Of the zone that is asked about.
SIX = datetime(2026, 1, 1, 6, tzinfo=UTC).replace(tzinfo=None)


def spans(period: Any, tz: str = "UTC", now: datetime = NOW) -> list[str]:
    """Return start and end of the period and of the one before, in UTC, as short as they can be told."""
    found = period_of(period, zone=zone_of(tz), now=now)
    assert found is not None
    assert found.before.end <= found.window.start
    times = (found.window.start, found.window.end, found.before.start, found.before.end)
    return [f"{time:%m-%d %H:%M}" if time.minute or time.hour else f"{time:%m-%d}" for time in times]


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ("today", ["03-31", "04-01", "03-30", "03-30 22:30"]),
        ("yesterday", ["03-30", "03-31", "03-29", "03-30"]),
        ("this_week", ["03-30", "04-06", "03-23", "03-24 22:30"]),
        ("last_week", ["03-23", "03-30", "03-16", "03-23"]),
        ("this_month", ["03-01", "04-01", "02-01", "03-01"]),
        ("last_month", ["02-01", "03-01", "01-01", "02-01"]),
        ("this_year", ["01-01", "01-01", "01-01", "03-31 22:30"]),
        ("last_year", ["01-01", "01-01", "01-01", "01-01"]),
        ("last_7_days", ["03-24 22:30", "03-31 22:30", "03-17 22:30", "03-24 22:30"]),
        ("last_1_hour", ["03-31 21:30", "03-31 22:30", "03-31 20:30", "03-31 21:30"]),
        ("2026-02", ["02-01", "03-01", "01-01", "02-01"]),
        ("2024-02-29", ["02-29", "03-01", "02-28", "02-29"]),
        (date(2026, 1, 31), ["01-31", "02-01", "01-30", "01-31"]),
        ("2026-01-01..2026-01-10", ["01-01", "01-11", "12-22", "01-01"]),
        (("2026-01-01", "2026-01-10"), ["01-01", "01-11", "12-22", "01-01"]),
        ((date(2026, 1, 1), date(2026, 1, 1)), ["01-01", "01-02", "12-31", "01-01"]),
        (
            (SIX, SIX + timedelta(hours=3)),
            ["01-01 06:00", "01-01 09:00", "01-01 03:00", "01-01 06:00"],
        ),
    ],
    ids=str,
)
def test_a_period_and_the_one_before(period: Any, expected: list[str]) -> None:
    """What runs is compared with as much of the one before; what is over, with the whole one before."""
    assert spans(period) == expected


def test_the_calendar_is_that_of_the_zone() -> None:
    """In Paris it is April, and the night in which summer time began was an hour shorter."""
    assert spans("last_month", "Europe/Paris") == ["02-28 23:00", "03-31 22:00", "01-31 23:00", "02-28 23:00"]
    assert spans("2026-03-29", "Europe/Paris") == ["03-28 23:00", "03-29 22:00", "03-27 23:00", "03-28 23:00"]
    assert spans((SIX, SIX + timedelta(hours=3)), "Asia/Tokyo")[0] == "12-31 21:00"


def test_all_time_is_no_period() -> None:
    """None asks for everything."""
    assert period_of(None, zone=zone_of("UTC"), now=NOW) is None


@pytest.mark.parametrize(
    "now", [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=5 * step) for step in range(0, 2000, 97)]
)
def test_every_word_holds_all_year(now: datetime) -> None:
    """A period is whole, and what was before ends where it begins at the latest."""
    for name in NAMES:
        for tz in ("UTC", "Europe/Paris", "Asia/Kathmandu", "America/St_Johns"):
            found = period_of(name, zone=zone_of(tz), now=now)
            assert found is not None
            assert found.before.start <= found.before.end <= found.window.start < found.window.end
            assert (found.window.start <= now < found.window.end) == (NAMES[name][1] == 0)


@pytest.mark.parametrize(
    "period",
    [
        "",
        "lastmonth",
        "last_0_days",
        "last_x_days",
        "2026-13",
        "2026-02-30",
        "0000",
        "2026-01-02..2026-01-01",
        "..",
        "a..b",
    ],
)
def test_other_words_name_the_right_ones(period: str) -> None:
    """The message has what was given and what can be."""
    with pytest.raises(ConfigurationError, match=r"last_month.*2026-01-31") as raised:
        period_of(period, zone=zone_of("UTC"), now=NOW)
    assert repr(period) in str(raised.value)


@pytest.mark.parametrize(
    "period", [5, (), (1, 2), (date(2026, 1, 1),), (NOW, date(2026, 1, 1)), NOW, "last_999999_days"]
)
def test_other_things_are_no_periods(period: Any) -> None:
    """Numbers, one time, and a time beside a date are none; nor is what no calendar reaches."""
    try:
        found = period_of(period, zone=zone_of("UTC"), now=NOW)
    except ConfigurationError:
        return
    assert found is not None
    assert found.window.start < NOW


@pytest.mark.parametrize("tz", ["Mars", "", "../../etc/passwd", None, "\x00"])
def test_a_zone_that_nobody_knows(tz: Any) -> None:
    """It is an error that says what was given."""
    with pytest.raises(ConfigurationError, match="Europe/Berlin"):
        zone_of(tz)
