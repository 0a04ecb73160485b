"""This module is where reports are drawn, and a machine without Altair is told what to type."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from aicore_obs import reports
from aicore_obs.errors import ConfigurationError
from aicore_obs.model.cost import Cost
from tests.stored import operation, write_sqlite


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Operations of three days, two models and a label with a dot; one has no price."""
    made = [
        operation(
            number,
            timestamp=datetime(2026, 6, 1 + number % 3, 12, tzinfo=UTC),
            model="a.b[c]" if number % 2 else "plain",
            labels={"te.am": "x"} if number % 2 else {},
            latency_ms=float(number),
            cost=Cost(total=None if number == 4 else Decimal(number)),
        )
        for number in range(1, 8)
    ]
    write_sqlite(tmp_path / "a.db", made)
    return tmp_path / "a.db"


def drawn(report: pl.DataFrame, **options: Any) -> dict[str, Any]:
    """Return a plot as Vega-Lite has it; Altair checks it against the schema."""
    found: dict[str, Any] = reports.plot(report, **options).to_dict()
    return found


def rows(chart: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is drawn."""
    (found,) = chart["datasets"].values()
    return list(found)


def test_bars_for_groups(store: Path) -> None:
    """A bar for each row, the largest first; a lower bound is paler, and the title says so."""
    report = reports.cost(store, by=["model", "labels.te.am"])
    chart = drawn(report)
    assert chart["mark"]["type"] == "bar"
    assert (chart["encoding"]["x"]["field"], chart["encoding"]["y"]["sort"]) == ("cost_usd", "-x")
    assert "at least" in chart["encoding"]["x"]["title"]
    assert chart["encoding"]["opacity"]["field"] == "is_lower_bound"
    assert [row["name"] for row in rows(chart)] == ["a.b[c], x", "plain, (none)"]
    assert [row["cost_usd"] for row in rows(chart)] == [16.0, 8.0]


def test_lines_over_time(store: Path) -> None:
    """A line for each group, a point for each day."""
    chart = drawn(reports.cost(store, by=["day", "model"]))
    assert chart["mark"]["type"] == "line"
    assert [chart["encoding"][axis]["field"] for axis in ("x", "y", "color")] == ["day", "cost_usd", "name"]
    # One day of one model has no known cost: it is left out, and is no zero.
    assert len(rows(chart)) == 6 - reports.cost(store, by=["day", "model"])["cost_usd"].null_count()
    assert "color" not in drawn(reports.cost(store, by="day"))["encoding"]


def test_the_measure(store: Path) -> None:
    """Each report has one that is drawn by itself, and others that may be asked for."""
    for name, measure in (("latency", "p95_ms"), ("usage", "operations"), ("unpriced", "operations")):
        chart = drawn(getattr(reports, name)(store, by="model"))
        assert chart["encoding"]["x"]["field"] == measure
    chart = drawn(reports.latency(store, by="hour", tz="Europe/Paris"), measure="p50_ms")
    assert chart["encoding"]["y"]["field"] == "p50_ms"
    with pytest.raises(ConfigurationError, match=r"measure='p51': it is one of .*p50_ms"):
        reports.plot(reports.latency(store), measure="p51")
    with pytest.raises(ConfigurationError, match="str is no report"):
        reports.plot("a.db")  # type: ignore[arg-type]


def test_a_report_of_nothing_is_an_empty_picture(store: Path) -> None:
    """It is no error; nor is one with a single row and no group."""
    assert drawn(reports.cost(store, by="model", period="1999"))["mark"]["type"] == "bar"
    assert [row["name"] for row in rows(drawn(reports.cost(store)))] == ["all"]


def test_many_bars_are_cut(tmp_path: Path) -> None:
    """The largest are drawn."""
    made = [operation(number, model=f"m{number}", cost=Cost(total=Decimal(number))) for number in range(60)]
    write_sqlite(tmp_path / "many.db", made)
    values = [row["cost_usd"] for row in rows(drawn(reports.cost(tmp_path / "many.db", by="model")))]
    assert sorted(values) == [float(number) for number in range(20, 60)]


def test_without_altair_the_command_is_named() -> None:
    """The error is what to type."""
    program = """
import sys
sys.modules["altair"] = None
import polars as pl
from aicore_obs import reports
try:
    reports.plot(pl.DataFrame())
except ImportError as error:
    print(type(error).__name__, error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=200, check=True)
    assert said.stdout.strip() == "MissingExtraError plots need Altair: pip install 'aicore-obs[plot]'"


def test_what_is_not_drawn_is_counted(tmp_path: Path) -> None:
    """A model without a price has no bar, and a line above the chart says so; where all are drawn there is no line."""
    priced = operation(1, model="priced", cost=Cost(total=Decimal(1)))
    write_sqlite(tmp_path / "a.db", [priced, operation(2, model="odd", cost=Cost(reason="no price is known"))])
    chart = drawn(reports.cost(tmp_path / "a.db", by="model"))
    assert [row["name"] for row in rows(chart)] == ["priced"]
    assert chart["title"]["text"] == "1 row is not drawn: cost_usd is unknown"
    assert "title" not in drawn(reports.cost(tmp_path / "a.db", by="model", filters={"model": "priced"}))
