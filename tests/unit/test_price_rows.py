"""This module is where it is tested that a row that cannot be used says which, what and what to write instead."""

from __future__ import annotations

import decimal
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from aicore_obs.errors import ConfigurationError, PriceError
from aicore_obs.pricing.book import PriceBook
from aicore_obs.pricing.corrections import _read, corrections
from aicore_obs.pricing.price import NoPrice
from aicore_obs.pricing.rows import PriceRow, row_of
from aicore_obs.pricing.table import _read_entry, load, shared_table

GOOD: dict[str, Any] = {"provider": "acme", "model": "acme-1", "input_mtok": 1, "output_mtok": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "there is no key 'colour'"),
        ({"model": None}, "a row needs a model"),
        ({"model": ""}, "a row needs a model"),
        ({"model": 7}, "model=7 is no text"),
        ({"match": "glob"}, "match='glob'; there are exact, prefix, regex"),
        ({"match": "regex", "model": "("}, "is no regular expression"),
        ({"input_mtok": -1}, "input_mtok=-1: a price in US dollars of 0 or more"),
        ({"input_mtok": "cheap"}, "input_mtok='cheap'"),
        ({"input_mtok": True}, "input_mtok=True"),
        ({"input_mtok": float("nan")}, "input_mtok=nan"),
        ({"input_mtok": "1e30"}, "input_mtok='1e30'"),
        ({"input_mtok": "1e-30"}, "decimal places"),
        ({"input_mtok": None, "output_mtok": None}, "a row has either prices"),
        ({"as_model": "other"}, "a row has either prices"),
        ({"currency": "EUR"}, "currency='EUR'; prices are in USD"),
        ({"effective_from": "soon"}, "effective_from='soon': a date such as 2026-07-01"),
        ({"effective_from": 20260101}, "effective_from=20260101"),
        ({"effective_from": "2026-02-01", "effective_to": "2026-02-01"}, "is not after"),
        ({"conditions": "flex"}, "conditions='flex' is no table"),
        ({"conditions": {"tire": "flex"}}, "there is no condition 'tire'; there are tier"),
        ({"conditions": {"tier": ["flex"]}}, "condition tier=['flex'] is no text"),
        ({"conditions": {"min_input_tokens": "many"}}, "min_input_tokens='many' is no count"),
        ({"conditions": {"min_input_tokens": 9, "max_input_tokens": 8}}, "max_input_tokens=8 is below"),
        ({"conditions": {"time_of_day": "night"}}, 'such as "16:30-00:30"'),
        ({"conditions": {"time_of_day": "25:00-26:00"}}, 'such as "16:30-00:30"'),
        ({"conditions": {"time_of_day": "10:00-10:00"}}, 'such as "16:30-00:30"'),
        ({"conditions": {"days": "someday"}}, '"mon-fri"'),
        ({"input_mtok": None, "output_mtok": None, "multiply": "0.5"}, "multiply needs conditions"),
        ({"unchanged": "cache"}, "is no list of units"),
    ],
)
def test_a_bad_row_says_what_is_wrong(change: dict[str, Any], message: str) -> None:
    """With its place and its model."""
    with pytest.raises(PriceError) as caught:
        PriceBook([GOOD, {**GOOD, **change}])
    assert message in str(caught.value)
    assert str(caught.value).startswith("price row 2 (")


@pytest.mark.parametrize("rows", [GOOD, "rows", 7, [7], None])
def test_rows_are_a_list(rows: Any) -> None:
    """Of tables."""
    with pytest.raises(ConfigurationError):
        PriceBook(rows)


@pytest.mark.parametrize("price", ["0.1", 0.1, Decimal("0.1"), " 0.10 "])
def test_a_price_is_what_is_written(price: Any) -> None:
    """Text, Decimal and float say the same amount."""
    assert row_of({**GOOD, "input_mtok": price}).prices["input_mtok"] == Decimal("0.1")


@pytest.mark.parametrize(
    "day",
    [
        "2026-07-01",
        date(2026, 7, 1),
        datetime(2026, 7, 1, tzinfo=UTC),
        "2026-07-01T02:00:00+02:00",
        "2026-07-01T00:00Z",
    ],
)
def test_a_date_is_its_midnight_in_utc(day: Any) -> None:
    """However it is written."""
    assert row_of({**GOOD, "effective_from": day}).effective_from == datetime(2026, 7, 1, tzinfo=UTC)


def test_a_row_keeps_its_name() -> None:
    """The given one, else one of its content: other order, same name; other content, other name."""
    made = row_of(GOOD).id
    assert made == row_of(dict(reversed(GOOD.items()))).id
    assert made.startswith("acme/acme-1#")
    assert row_of({**GOOD, "output_mtok": 3}).id != made
    assert row_of({**GOOD, "conditions": {"days": "mon"}}).id != made
    assert row_of({**GOOD, "id": "contract-7"}).id == "contract-7"
    assert row_of(row_of(GOOD)) == row_of(GOOD)


def test_every_correction_says_where_it_is_from() -> None:
    """A source, a day, a name of its own; and what is ordinary is not corrected twice."""
    rows = _read().rows
    assert len(rows) > 150
    assert all("http" in (row.source or "") and "(2026-" in (row.source or "") for row in rows)
    assert len({row.id for row in rows}) == len(rows)
    assert corrections().rows == rows


def test_corrections_name_providers_that_the_table_knows() -> None:
    """A misspelled provider would never be found."""
    known = {provider for provider, _ in shared_table().every()} | {"vertex"}
    assert {row.provider for row in corrections().rows} <= known


def test_every_entry_of_the_table_can_be_read() -> None:
    """Nearly all give a price, and the rest say why not."""
    at = datetime(2026, 11, 1, tzinfo=UTC)
    entries = [_read_entry(provider, model) for provider in load()._all for model in provider.models]
    prices = [entry.price(at, 1000, {}) for entry in entries]
    lost = [price for price in prices if isinstance(price, NoPrice)]
    assert len(prices) > 2000
    assert len(lost) < len(prices) / 50


def test_a_price_row_is_a_value() -> None:
    """It can be compared and is frozen."""
    row = row_of(GOOD)
    assert isinstance(row, PriceRow)
    with pytest.raises(AttributeError):
        row.model = "x"  # type: ignore[misc]


def test_the_applications_own_arithmetic_changes_no_price() -> None:
    """A price is what was written, also where an application calculates with two digits or forbids rounding."""
    with decimal.localcontext(prec=2) as context:
        context.traps[decimal.Inexact] = context.traps[decimal.Rounded] = True
        row = row_of({**GOOD, "input_mtok": "1.2345678901", "output_mtok": Decimal("1E+2")})
    assert (str(row.prices["input_mtok"]), str(row.prices["output_mtok"])) == ("1.2345678901", "100")
