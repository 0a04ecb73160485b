"""This module is where ids and times are made."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_VARIANT = "89ab"


def utc_now() -> datetime:
    """Return the aware current time in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """Return a time-ordered UUIDv7 as text (RFC 9562, method 3: sub-millisecond ticks in ``rand_a``).

    The last two bits are always zero: a record's parts (its payloads) get ids of their own by :func:`part_id`
    without another draw. 60 random bits remain, drawn from the operating system each time, so that a forked
    child can never repeat its parent.
    """
    ns = time.time_ns()
    ms, rest = divmod(ns, 1_000_000)
    random = int.from_bytes(os.urandom(8), "big")
    tail = f"{random & 0x3FFFFFFFFFFFFFFC:016x}"
    head = f"{ms:012x}"
    return f"{head[:8]}-{head[8:]}-7{rest * 4096 // 1_000_000:03x}-{_VARIANT[random >> 62]}{tail[1:4]}-{tail[4:]}"


def part_id(record_id: str, part: int) -> str:
    """Return the id of part ``part`` (1 to 3) of a record: the record's id with its two low bits set."""
    return f"{record_id[:-1]}{int(record_id[-1], 16) | part:x}"


def to_microseconds(when: datetime) -> int:
    """Return whole microseconds since 1970 (UTC) of an aware time, exactly."""
    return (when - EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """Return the aware UTC time of whole microseconds since 1970."""
    return EPOCH + timedelta(microseconds=value)
