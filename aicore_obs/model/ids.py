"""This module is where ids and times are made."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HEX = "0123456789abcdef"
# RFC 9562's variant bits (binary 10) over two random bits, and a random digit with its two low bits cleared.
_VARIANT = {digit: _HEX[8 + value % 4] for value, digit in enumerate(_HEX)}
_LOW_BITS_CLEAR = {digit: _HEX[value & 0b1100] for value, digit in enumerate(_HEX)}
# Last two groups of ids that are not used yet; list.pop is atomic.
_random: list[str] = []
_hooks: list[str] = []


def utc_now() -> datetime:
    """Return the aware current time in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """Return a time-ordered UUIDv7 as text (RFC 9562, method 3: sub-millisecond ticks in ``rand_a``).

    The last two bits are always zero: a record's parts (its payloads) get ids of their own by :func:`part_id`
    without another draw. 60 random bits remain.
    """
    ns = time.time_ns()
    ms = ns // 1_000_000
    ticks = (ns - ms * 1_000_000) * 4096 // 1_000_000
    try:
        random = _random.pop()
    except IndexError:
        random = _drawn()
    # On every caller's path, and half as dear as an f-string with the same formats.
    return "%08x-%04x-7%03x-%s" % (ms >> 16, ms & 0xFFFF, ticks, random)  # noqa: UP031


def _drawn() -> str:
    """Draw random text for 256 ids at once (a call of the operating system for each id would cost half of it)."""
    if hasattr(os, "register_at_fork") and not _hooks:
        # A forked child must not repeat its parent.
        _hooks.append("registered")
        os.register_at_fork(after_in_child=_random.clear)
    text = os.urandom(8 * 256).hex()
    tails = [_tail(text[start : start + 16]) for start in range(0, len(text), 16)]
    _random.extend(tails[1:])
    return tails[0]


def _tail(random: str) -> str:
    """Return the last two groups of an id from 16 hexadecimal digits."""
    return f"{_VARIANT[random[0]]}{random[1:4]}-{random[4:15]}{_LOW_BITS_CLEAR[random[15]]}"


def id_from(when: datetime, *source: str) -> str:
    """Return the one id of what another program kept: of its time and a hash of what it was called there.

    The same words give the same id at any time and on any machine, so that bringing it in twice stores it once.
    """
    us = max(0, to_microseconds(when))
    ms = us // 1000
    ticks = us % 1000 * 4096 // 1000
    digest = sha256("\0".join(source).encode("utf-8", "backslashreplace")).hexdigest()
    return f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{ticks:03x}-{_tail(digest[:16])}"


def part_id(record_id: str, part: int) -> str:
    """Return the id of part ``part`` (1 to 3) of a record: the record's id with its two low bits set."""
    return record_id[:-1] + _HEX[int(record_id[-1], 16) | part]


def to_microseconds(when: datetime) -> int:
    """Return whole microseconds since 1970 (UTC) of an aware time, exactly."""
    return (when - EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """Return the aware UTC time of whole microseconds since 1970."""
    return EPOCH + timedelta(microseconds=value)


def first_id_of(when: datetime) -> str:
    """Return the lowest id that can be made at an aware time, to the millisecond: everything older is below it."""
    ms = to_microseconds(when) // 1000
    return f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7000-8000-000000000000"


def time_of_id(record_id: str) -> datetime:
    """Return when an id was made, to the millisecond."""
    return from_microseconds(int(record_id[:8] + record_id[9:13], 16) * 1000)
