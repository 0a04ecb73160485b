"""This module is where it is tested that ids are UUIDs of RFC 9562, in order of time, and never the same twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore_obs.model import ids

# More than are drawn at once.
MANY = 1000
THREADS = 4
# In a program of its own: a fork of the test run would carry its threads.
FORKING = """
import json, os, sys
from aicore_obs.model.ids import new_id
before = [new_id()]
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    os.write(writing, json.dumps([new_id() for _ in range(300)]).encode())
    os._exit(0)
mine = before + [new_id() for _ in range(300)]
os.close(writing)
os.waitpid(child, 0)
print(json.dumps([mine, json.loads(os.fdopen(reading).read())]))
"""


def parts(record_id: str) -> tuple[str, str]:
    """Return the half of an id that is its time and the half that is random."""
    return record_id[:18], record_id[19:]


def milliseconds(record_id: str) -> int:
    """Return the time of an id."""
    return uuid.UUID(record_id).int >> 80


def test_an_id_is_a_uuid_of_version_7() -> None:
    """Version and variant are where RFC 9562 has them; the text is the canonical one."""
    for _ in range(MANY):
        text = ids.new_id()
        read = uuid.UUID(text)
        assert str(read) == text
        assert (read.int >> 76 & 0xF, read.variant) == (7, uuid.RFC_4122)


def test_an_id_holds_its_time() -> None:
    """The first 48 bits are milliseconds since 1970."""
    before = time.time_ns() // 1_000_000
    found = milliseconds(ids.new_id())
    assert before <= found <= time.time_ns() // 1_000_000


def test_ids_are_in_order_of_time() -> None:
    """One after the other they never go back, also within a millisecond."""
    made = [parts(ids.new_id())[0] for _ in range(MANY)]
    assert made == sorted(made)
    assert len({(one[:13], one[15:]) for one in made}) > len({one[:13] for one in made})


def test_the_random_half_uses_every_bit_it_may() -> None:
    """Of 64 bits two are the variant and the last two are zero; all others are seen as 0 and as 1."""
    tails = [uuid.UUID(ids.new_id()).int & (2**64 - 1) for _ in range(MANY)]
    ever, always = 0, 2**64 - 1
    for tail in tails:
        ever, always = ever | tail, always & tail
    assert ever == 0xBFFF_FFFF_FFFF_FFFC
    assert always == 0x8000_0000_0000_0000


@pytest.mark.parametrize("part", [1, 2, 3])
def test_parts_have_ids_of_their_own(part: int) -> None:
    """A part's id is a UUID too, differs in the last two bits only, and leads back to its record."""
    record_id = ids.new_id()
    found = uuid.UUID(ids.part_id(record_id, part))
    assert found.int == uuid.UUID(record_id).int + part
    assert (found.int >> 76 & 0xF, found.variant) == (7, uuid.RFC_4122)


def test_no_part_is_another_record() -> None:
    """Ids of records and of all their parts are all different."""
    made = [ids.new_id() for _ in range(MANY)]
    every = [*made, *(ids.part_id(one, part) for one in made for part in (1, 2, 3))]
    assert len(set(every)) == 4 * MANY


def test_threads_never_make_the_same_id() -> None:
    """Nor even the same random half, while they draw from one supply."""
    with ThreadPoolExecutor(THREADS) as pool:
        batches = list(pool.map(lambda _: [ids.new_id() for _ in range(MANY)], range(THREADS * 2)))
    tails = [parts(one)[1] for batch in batches for one in batch]
    assert len(set(tails)) == len(tails) == THREADS * 2 * MANY


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_does_not_repeat_its_parent() -> None:
    """What was drawn before the fork is used by one of the two only."""
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=True, timeout=200)
    mine, theirs = json.loads(done.stdout)
    tails = [parts(one)[1] for one in mine + theirs]
    assert len(set(tails)) == len(tails) == 601


def test_now_is_aware_and_utc() -> None:
    """A time without zone never enters a record."""
    now = ids.utc_now()
    assert now.tzinfo is UTC
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)


@given(st.datetimes(timezones=st.timezones()).filter(lambda when: 1 < when.year < 9999))
def test_microseconds_are_exact(when: datetime) -> None:
    """A time goes to whole microseconds and comes back the same, before 1970 as well."""
    found = ids.from_microseconds(ids.to_microseconds(when))
    # Compared in UTC: a local time that a clock change skipped equals none of another zone.
    assert (found, found.tzinfo) == (when.astimezone(UTC), UTC)
