"""This module is where amounts of money are tested as whole numbers of the smallest one that is kept."""

from __future__ import annotations

import decimal
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore_obs.model.cost import from_quanta, money, to_quanta

amounts = st.decimals(min_value=-(10**25), max_value=10**25, allow_nan=False, allow_infinity=False, places=12)


@given(amounts)
def test_an_amount_of_twelve_places_is_kept_exactly(amount: Decimal) -> None:
    """There and back again, with twelve places."""
    back = from_quanta(to_quanta(amount))
    assert back == amount
    assert back.as_tuple().exponent == -12


@given(st.lists(amounts, max_size=20), st.integers(1, 40))
def test_sums_are_exact_in_any_context(given_amounts: list[Decimal], digits: int) -> None:
    """Whatever the caller's own precision is."""
    with decimal.localcontext(prec=200):
        exact = sum(given_amounts, Decimal(0))
    with decimal.localcontext(prec=digits):
        assert from_quanta(sum(map(to_quanta, given_amounts))) == exact


@given(st.decimals(min_value=-100, max_value=100, allow_nan=False, allow_infinity=False))
def test_more_places_are_rounded_half_to_even(amount: Decimal) -> None:
    """As money() does it."""
    assert from_quanta(to_quanta(amount)) == money(amount)


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "1e26", "-1e26", "1e999999", "-1e1000000"])
def test_what_no_store_holds_is_refused(text: str) -> None:
    """An error that stores take for a verdict on the row; nothing large is written out."""
    with pytest.raises(OverflowError, match="no amount"):
        to_quanta(Decimal(text))
