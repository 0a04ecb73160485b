"""This module is where it is said in a word which time a report is about, and which time came before it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from aicore_obs.errors import ConfigurationError
from aicore_obs.model.budget import Window

NAMES = {
    "today": ("day", 0),
    "yesterday": ("day", -1),
    "this_week": ("week", 0),
    "last_week": ("week", -1),
    "this_month": ("month", 0),
    "last_month": ("month", -1),
    "this_year": ("year", 0),
    "last_year": ("year", -1),
}
CHOICES = (
    f"{', '.join(NAMES)}, last_N_hours, last_N_days, a year (2026), month (2026-01) or day (2026-01-31), "
    "or a first and a last day (2026-01-01..2026-01-31)"
)
_ROLLING = re.compile(r"last_([1-9][0-9]{0,5})_(hour|day)s?")
_WRITTEN = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
When = str | date | Sequence[date | str] | None


class Period(msgspec.Struct, frozen=True):
    """The time that a report is about, and the time before it that it is compared with."""

    window: Window
    before: Window


def zone_of(tz: str) -> ZoneInfo:
    """Return a time zone by its name.

    Raises:
        ConfigurationError: there is none of that name.
    """
    try:
        return ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError) as error:
        raise ConfigurationError(f"tz={tz!r}: no such time zone is known here, such as 'Europe/Berlin'") from error


def period_of(period: When, *, zone: ZoneInfo, now: datetime) -> Period | None:
    """Return the period that is meant, None for all time.

    A period that still runs (``this_month``) is compared with as much of the one before as has passed of it; one of a
    length (``last_7_days``, a first and a last day) with the same length before it.

    Args:
        period: a word, a date (its whole day), or a start and an end: dates (both included) or times (half-open).
        zone: whose calendar it is; a time without a zone is one of it, too.
        now: an aware time.

    Raises:
        ConfigurationError: it is none of these.
    """
    if period is None:
        return None
    try:
        found = _named(period, zone, now) if isinstance(period, str) else _given(period, zone)
    except (ValueError, OverflowError, TypeError):
        found = None
    if found is None:
        raise ConfigurationError(f"period={period!r}: it is one of {CHOICES}")
    return found


def _named(word: str, zone: ZoneInfo, now: datetime) -> Period | None:
    if word in NAMES:
        unit, offset = NAMES[word]
        start = _stepped(unit, _first(unit, now.astimezone(zone).date()), offset)
        return _running(unit, start, zone, now) if offset == 0 else _whole(unit, start, zone)
    if rolling := _ROLLING.fullmatch(word):
        length = timedelta(**{f"{rolling[2]}s": int(rolling[1])})
        return _of_length(now - length, now)
    if ".." in word:
        return _given(word.split(".."), zone)
    written = _WRITTEN.fullmatch(word)
    if written is None:
        return None
    year, month, day = (int(part) if part else None for part in written.groups())
    unit = "day" if day else "month" if month else "year"
    return _whole(unit, date(year or 1, month or 1, day or 1), zone)


def _given(period: date | Sequence[date | str], zone: ZoneInfo) -> Period | None:
    if isinstance(period, date):
        return None if isinstance(period, datetime) else _whole("day", period, zone)
    start, end = (_read(one) for one in period)
    if isinstance(start, datetime) and isinstance(end, datetime):
        return _of_length(_aware(start, zone), _aware(end, zone))
    if isinstance(start, datetime) or isinstance(end, datetime):
        return None
    return _of_length(_midnight(start, zone), _midnight(end + timedelta(days=1), zone))


def _read(when: date | str) -> date:
    """Return a date or a time, given as one or as ISO text."""
    if isinstance(when, str):
        return date.fromisoformat(when) if len(when) <= 10 else datetime.fromisoformat(when)
    return when


def _of_length(start: datetime, end: datetime) -> Period | None:
    return Period(Window(start, end), Window(start - (end - start), start)) if start < end else None


def _whole(unit: str, start: date, zone: ZoneInfo) -> Period:
    first, middle, end = (_midnight(_stepped(unit, start, step), zone) for step in (-1, 0, 1))
    return Period(Window(middle, end), Window(first, middle))


def _running(unit: str, start: date, zone: ZoneInfo, now: datetime) -> Period:
    whole = _whole(unit, start, zone)
    passed = whole.before.start + (now - whole.window.start)
    return Period(whole.window, Window(whole.before.start, min(passed, whole.before.end)))


def _first(unit: str, day: date) -> date:
    if unit == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=day.day if unit == "day" else 1, month=1 if unit == "year" else day.month)


def _stepped(unit: str, first: date, steps: int) -> date:
    if unit in ("day", "week"):
        return first + timedelta(days=steps * (7 if unit == "week" else 1))
    months = first.year * 12 + first.month - 1 + steps * (12 if unit == "year" else 1)
    return date(months // 12, months % 12 + 1, 1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def _aware(when: datetime, zone: ZoneInfo) -> datetime:
    return (when if when.tzinfo else when.replace(tzinfo=zone)).astimezone(UTC)
