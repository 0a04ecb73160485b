"""This module is where the reports are run as commands, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from aicore_obs import reports
from aicore_obs.cli.app import app
from aicore_obs.cli.report_tables import usd
from aicore_obs.model.cost import Cost
from aicore_obs.model.record import ErrorInfo
from tests.stored import operation, write_sqlite

ERROR = ErrorInfo(type="TimeoutError", message="no\x1b[2J answer", stack="…")
NAMES = ("cost", "latency", "errors", "usage", "sessions", "top", "unpriced")


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store in which one operation of two models has no price, and one an error."""
    made = [
        *(
            operation(at, model="large", cost=Cost(total=Decimal("1.239")), session_id="s", latency_ms=9.0)
            for at in (1, 2)
        ),
        operation(3, model="small", cost=Cost(total=Decimal("0.5")), total_tokens=9, error=ERROR),
        operation(4, model="large", cost=Cost(reason="no price is known"), total_tokens=1234),
        operation(5, model="odd", cost=Cost(reason="no price is known")),
    ]
    path = tmp_path / "a.db"
    write_sqlite(path, made)
    return str(path)


def run(*words: str, code: int = 0) -> str:
    """Run a command and return what it says."""
    result = CliRunner().invoke(app, [*words], env={"COLUMNS": "250"})
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_a_cost_with_unpriced_parts_is_a_bound(store: str) -> None:
    """It is never rounded up; a group with no known cost says so; the total counts what is missing."""
    said = [" ".join(line.split()) for line in run("cost", store, "--by", "model").splitlines()]
    assert said[1:] == [
        "large 3 ≥ 2.47 83.2 % 1",
        "small 1 0.5000 16.8 % 0",
        "odd 1 unknown 1",
        "Total: ≥ 2.97 USD, 5 operations",
        "Without a price, and not in that sum: 2 operations, 1,234 tokens (`aicore-obs unpriced` says why)",
    ]
    assert "Total: 0.5000 USD, 1 operation" in run("cost", store, "-w", "model=small")
    odd = run("cost", store, "-w", "model=odd")
    assert "Total: unknown USD, 1 operation" in odd
    assert "1 operation, tokens unknown" in odd


@pytest.mark.parametrize(
    ("amount", "shown", "bound"),
    [
        (None, "unknown", "unknown"),
        ("0", "0.00", "≥ 0.00"),
        ("1234.567", "1,234.57", "≥ 1,234.56"),
        ("0.00009999", "0.00009999", "≥ 0.00009999"),
        ("0.000099999", "0.00010000", "≥ 0.00009999"),
        ("0.000000000001", "0.000000000001", "≥ 0.000000000001"),
        ("-0.25", "-0.2500", "≥ -0.2500"),
    ],
)
def test_amounts_for_people(amount: str | None, shown: str, bound: str) -> None:
    """Cents above a dollar, four digits below; a bound is rounded down."""
    value = None if amount is None else Decimal(amount)
    assert (usd(value), usd(value, at_least=True)) == (shown, bound)


@pytest.mark.parametrize("name", NAMES)
def test_programs_get_what_the_function_returns(name: str, store: str) -> None:
    """JSON and CSV have all columns and every digit."""
    frame = getattr(reports, name)(store)
    assert frame.height > 0
    rows: list[dict[str, Any]] = json.loads(run(name, store, "--json"))
    assert [list(row) for row in rows] == [frame.columns] * frame.height
    table = list(csv.reader(io.StringIO(run(name, store, "--csv"))))
    assert (table[0], len(table)) == (frame.columns, frame.height + 1)
    if "cost_usd" in frame.columns:
        given = [None if row["cost_usd"] is None else Decimal(row["cost_usd"]) for row in rows]
        assert given == frame["cost_usd"].to_list()


@pytest.mark.parametrize("name", NAMES)
def test_people_get_a_table(name: str, store: str, tmp_path: Path) -> None:
    """One line for each row, whatever a record holds; of nothing, a word."""
    said = run(name, store)
    assert "\x1b" not in said
    assert len(said.splitlines()) >= getattr(reports, name)(store).height + 1
    write_sqlite(tmp_path / "none.db", [])
    assert run(name, str(tmp_path / "none.db")) == "Nothing to show.\n"
    assert run(name, str(tmp_path / "none.db"), "--json") == "[]\n"
    assert run(name, str(tmp_path / "none.db"), "--csv").count("\n") == 1


def test_compare(store: str) -> None:
    """Both sides and the difference beside each other; the bound stays one."""
    said = run("compare", "model=large", "model=small,status=error", store)
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in said.splitlines()}
    assert lines["operations"] == "3 1 -2"
    assert lines["cost_usd"] == "≥ 2.47 0.5000 -1.98"
    sides = json.loads(run("compare", "model=large", "model=small", store, "--json"))
    assert [row["side"] for row in sides] == ["a", "b", "difference", "low", "high"]
    assert run("compare", "model=x", "model=y", store) == "Nothing to show.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("cost", "--by", "modell"), "by='modell': it is one of"),
        (("cost", "--period", "lastmonth"), "last_month"),
        (("cost", "--tz", "Mars"), "tz='Mars'"),
        (("top", "--measure", "price"), "measure='price'"),
        (("usage", "--where", "modl=x"), "unknown filter 'modl'"),
        (("errors", "--json", "--csv"), "only one of them"),
        (("compare", "model", "model=x"), "NAME=VALUE"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else "",
)
def test_bad_input_is_one_line(words: tuple[str, ...], said: str, store: str) -> None:
    """It names the value and what can be, and the code says that there is no answer."""
    complaint = run(*words, store, code=2)
    assert said in complaint
    assert complaint.count("\n") == 1
