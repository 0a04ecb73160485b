"""This module is where the money in reports is held to its figures: exact, bounded, beside what was before."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from aicore_obs import reports
from aicore_obs.errors import StoreError
from aicore_obs.model.cost import Cost
from tests.stored import operation, write_json, write_sqlite

NOW = datetime(2026, 7, 10, tzinfo=UTC)


def test_large_and_small_amounts_keep_every_place(tmp_path: Path) -> None:
    """The largest amounts that SQLite holds, and 1e-12 US dollars, are added without a rounding."""
    amounts = [Decimal("9223372.036854775807"), Decimal("1e-12"), Decimal("9223372.036854775807")]
    place = write_sqlite(tmp_path / "a.db", [operation(at, cost=Cost(total=one)) for at, one in enumerate(amounts)])
    row = reports.cost(place).row(0, named=True)
    assert (row["cost_usd"], row["is_lower_bound"]) == (sum(amounts), False)


def test_more_than_a_column_holds_is_an_error(tmp_path: Path) -> None:
    """Polars would add up past 38 digits without a word."""
    huge = Decimal("90000000000000000000000000")
    place = write_json(tmp_path / "a.json", [operation(at, cost=Cost(total=huge)) for at in range(2)])
    with pytest.raises(StoreError, match="more than a column of money holds"):
        reports.cost(place)


def test_unknown_is_not_zero(tmp_path: Path) -> None:
    """A group with no known cost has none, a free one costs nothing, and neither is the other."""
    made = [
        operation(0, model="unknown", cost=Cost(reason="no price"), total_tokens=7),
        operation(1, model="untold", cost=Cost(reason="no price")),
        operation(2, model="free", cost=Cost(total=Decimal(0))),
    ]
    found = reports.cost(write_sqlite(tmp_path / "a.db", made), by="model")
    columns = ("model", "cost_usd", "is_lower_bound", "unpriced", "unpriced_tokens", "share")
    assert found.select(columns).rows() == [
        ("free", Decimal(0), False, 0, None, None),
        ("unknown", None, True, 1, 7, None),
        ("untold", None, True, 1, None, None),
    ]


def dollars(day: int, amount: int | None, model: str = "m", month: int = 6) -> Any:
    """Return an operation of a day that cost so much."""
    cost = Cost(total=None if amount is None else Decimal(amount), reason=None if amount is not None else "no price")
    when = datetime(2026, month, day, 12, tzinfo=UTC)
    return operation(month * 1000 + day * 10 + (model != "m"), model=model, timestamp=when, cost=cost)


BEFORE = ("cost_usd", "cost_before_usd", "before_is_lower_bound", "change_usd", "change")


def test_a_period_is_compared_with_the_one_before(tmp_path: Path) -> None:
    """Groups of either are there; a cost out of nothing has no ratio, and an unknown one no change."""
    made = [
        *(dollars(1, 1, "more", 5), dollars(1, 4, "more")),
        *(dollars(2, 8, "less", 5), dollars(3, 9, "new"), dollars(4, None, "lost", 5), dollars(4, 2, "lost")),
    ]
    found = reports.cost(write_sqlite(tmp_path / "a.db", made), by="model", period="last_month", now=NOW)
    assert {row[0]: row[1:] for row in found.select("model", *BEFORE).rows()} == {
        "new": (Decimal(9), Decimal(0), False, Decimal(9), None),
        "more": (Decimal(4), Decimal(1), False, Decimal(3), 3.0),
        "lost": (Decimal(2), None, True, None, None),
        "less": (Decimal(0), Decimal(8), False, Decimal(-8), -1.0),
    }
    total = reports.cost(write_sqlite(tmp_path / "a.db", made), period="last_month", now=NOW)
    assert total.select(BEFORE).rows() == [(Decimal(15), Decimal(9), True, Decimal(6), pytest.approx(2 / 3))]


def test_a_day_is_compared_with_the_day_before(tmp_path: Path) -> None:
    """Also with one before the period; a day without operations cost nothing; before all of them nothing is known."""
    place = write_sqlite(tmp_path / "a.db", [dollars(1, 2), dollars(2, 3), dollars(4, 4)])
    expected = [(Decimal(3), Decimal(2)), (Decimal(4), Decimal(0))]
    found = reports.cost(place, by="day", period="2026-06-02..2026-06-05")
    assert found.select("cost_usd", "cost_before_usd").rows() == expected
    all_time = reports.cost(place, by=["day", "model"])
    assert all_time.select("cost_usd", "cost_before_usd").rows() == [(Decimal(2), None), *expected]
    assert reports.cost(place, by="month", period="this_month", now=NOW).height == 0
    twice = reports.cost(place, by=["month", "day"], period="2026-06-02..2026-06-05")
    assert twice["cost_usd"].to_list() == [Decimal(3), Decimal(4)]


def test_a_day_is_one_of_the_zone(tmp_path: Path) -> None:
    """What is late in UTC is tomorrow in Paris."""
    late = operation(0, timestamp=datetime(2026, 6, 30, 22, 30, tzinfo=UTC), cost=Cost(total=Decimal(1)))
    place = write_sqlite(tmp_path / "a.db", [late])
    assert reports.cost(place, by="day")["day"].to_list() == [datetime(2026, 6, 30).date()]  # noqa: DTZ001
    assert reports.cost(place, by="day", tz="Europe/Paris")["day"].to_list() == [datetime(2026, 7, 1).date()]  # noqa: DTZ001
    assert reports.cost(place, period="2026-07", tz="Europe/Paris").height == 1
    assert reports.latency(place, period="2026-07").height == 0
    hour = reports.cost(place, by="hour", tz="Asia/Kathmandu")["hour"]
    assert hour.dtype == pl.Datetime("us", "Asia/Kathmandu")
