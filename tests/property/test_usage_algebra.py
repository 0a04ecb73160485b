"""This module is where the laws of usage are checked for any numbers that a provider may report."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from aicore_obs.model.usage import COUNT_FIELDS, FRACTION_FIELDS, TOKEN_FIELDS, Usage, added, count_of, settled
from tests.usages import check_laws

COUNTS = st.none() | st.integers(0, 50) | st.integers(0, 2**62 - 1)
SUMS = COUNTS | st.integers(2**62, 2**64)
USAGES = st.builds(
    Usage,
    **dict.fromkeys(TOKEN_FIELDS, SUMS),
    **{name: st.none() | st.floats(0, 1e6) if name in FRACTION_FIELDS else COUNTS for name in COUNT_FIELDS},
)


@given(USAGES)
def test_settled_usage_keeps_the_laws(usage: Usage) -> None:
    """No part is larger than its whole, parts that exclude each other fit into it, the total is the sum."""
    check_laws(settled(usage))


@given(USAGES)
def test_settling_twice_is_settling_once(usage: Usage) -> None:
    """The normal form of a normal form is itself."""
    once = settled(usage)
    assert settled(once) == once


@given(USAGES)
def test_what_was_not_reported_stays_unreported(usage: Usage) -> None:
    """Settling makes two sums and nothing else: what is written to the cache, and the total."""
    before, after = msgspec.structs.asdict(usage), msgspec.structs.asdict(settled(usage))
    made = {name for name in after if before[name] is None and after[name] is not None}
    assert made <= {"cache_write_tokens", "total_tokens"}


@given(USAGES)
def test_a_zero_that_was_reported_stays(usage: Usage) -> None:
    """0 is not unknown."""
    before, after = msgspec.structs.asdict(usage), msgspec.structs.asdict(settled(usage))
    assert all(after[name] is not None for name, value in before.items() if value == 0 and name != "total_tokens")


@given(st.lists(USAGES, max_size=4))
def test_adding_is_field_by_field(usages: list[Usage]) -> None:
    """A sum is unknown only where no part of it is known."""
    total = msgspec.structs.asdict(added(usages))
    for name, value in total.items():
        known = [one for usage in usages if (one := getattr(usage, name)) is not None]
        assert value == (sum(known) if known else None)


@given(st.integers() | st.floats() | st.booleans() | st.text() | st.none())
def test_counts_are_whole_and_not_negative(value: object) -> None:
    """Anything else is unknown."""
    count = count_of(value)
    assert count is None or (type(count) is int and count == value and 0 <= count < 2**62)
