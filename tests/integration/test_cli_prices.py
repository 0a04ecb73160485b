"""This module is where ``aicore-obs prices`` is tested: what it shows, and its exit codes."""

from __future__ import annotations

import json
import socket
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from aicore_obs.cli.app import app
from aicore_obs.model.cost import Cost
from tests.stored import operation, write_json, write_sqlite

ROWS = """
[[rows]]
provider = "openai"
model = "gpt-4o"
effective_from = 2026-01-01
input_mtok = "2.00"
output_mtok = "10"

[[rows]]
model = "acme-1"
id = "acme"
input_mtok = "1"
"""


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["prices", *(str(one) for one in arguments)])


@pytest.fixture(autouse=True)
def _no_settings_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AICORE_OBS_DB_URL", "AICORE_OBS_STORAGE_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def refuse(*_: Any) -> None:
        raise AssertionError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_a_price_is_shown_with_its_row_and_source() -> None:
    """Each unit, each band of input tokens, and the version of the book."""
    done = _run("show", "gpt-5.5", "--at", "2026-07-01", "-p", "openai")
    assert done.exit_code == 0
    assert "gpt-5.5 of openai at 2026-07-01 00:00 UTC: genai-prices:openai/gpt-5.5" in done.stdout
    assert "gpt-5.5 of openai from 272,001 input tokens on" in done.stdout
    assert "Source: https://" in done.stdout
    assert "Book: corrections:" in done.stdout
    assert ["input_mtok", "5", "1,000,000", "input", "tokens"] in [line.split() for line in done.stdout.splitlines()]


def test_dates_tiers_and_conditions_are_asked_for() -> None:
    """As a call has them."""
    assert "0.625" in _run("show", "gpt-5", "--tier", "flex", "--at", "2025-10-09").stdout
    assert "Holds up to 2024-10-02 00:00 UTC" in _run("show", "gpt-4o", "--at", "2024-06-01").stdout
    assert "0.5" in _run("show", "claude-haiku-4-5", "--batch").stdout
    done = _run("show", "dall-e-3", "-p", "openai", "-c", "size=1024x1792", "-c", "quality=hd", "--json")
    assert json.loads(done.stdout)["prices"][0]["rates"] == {"per_image": "0.12"}


def test_a_book_of_ones_own_comes_first(tmp_path: Path) -> None:
    """And is in the version."""
    (tmp_path / "prices.toml").write_text(ROWS)
    done = _run("show", "gpt-4o", "--prices", "prices.toml", "--at", "2026-02-01", "--json")
    shown = json.loads(done.stdout)
    assert shown["book"].startswith("user:")
    assert shown["prices"][0]["rates"]["input_mtok"] == "2.00"
    assert shown["prices"][0]["layer"] == "user"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["show", "nothing-1"], 1, "no price is known for model 'nothing-1'"),
        (["show", "gpt-5-nano", "--tier", "priority"], 1, "tier 'priority'"),
        (["show", "gpt-4o", "--at", "soon"], 2, "--at 'soon'"),
        (["show", "gpt-4o", "-c", "colour=red"], 2, "--condition 'colour=red'"),
        (["show", "gpt-4o", "--prices", "none.toml"], 2, "cannot be read"),
        (["check", "none.db"], 2, "none.db"),
        (["diff", "none.toml"], 2, "cannot be read"),
    ],
)
def test_what_cannot_be_shown_says_why(arguments: list[str], code: int, said: str) -> None:
    """1: there is no price; 2: the question could not be answered."""
    done = _run(*arguments)
    assert done.exit_code == code
    assert said in done.output.replace("\n", " ")


@pytest.mark.parametrize("name", ["some.db", "some.jsonl"])
def test_a_store_is_checked(tmp_path: Path, name: str) -> None:
    """Models without a price, how often, why; and whether there is one now."""
    priced = Cost(total=Decimal(1), input=Decimal(1), output=Decimal(0), source="user")
    records = [
        operation(1, provider="openai", model="gpt-4o", cost=priced, total_tokens=7),
        operation(2, provider="acme", model="acme-1", cost=Cost(reason="no price is known"), total_tokens=7),
        operation(3, provider="acme", model="acme-1", cost=Cost(reason="no price is known"), total_tokens=5),
        operation(4, provider="openai", model="gpt-4o", total_tokens=5),
        operation(5, provider="openai", model="o3", cost=Cost(total=Decimal(1), reason="a lower bound")),
    ]
    (write_sqlite if name == "some.db" else write_json)(tmp_path / name, records)
    done = _run("check", name, "--json")
    assert done.exit_code == 1
    shown = json.loads(done.stdout)
    assert shown["genai_prices"].startswith("0.2.")
    assert shown["unpriced"][0] == {
        "provider": "acme",
        "model": "acme-1",
        "reason": "no price is known",
        "operations": 2,
        "tokens": 12,
        "priced_now": False,
    }
    assert [(one["model"], one["priced_now"]) for one in shown["unpriced"][1:]] == [("gpt-4o", True), ("o3", True)]
    (tmp_path / "prices.toml").write_text(ROWS)
    table = _run("check", name, "--prices", "prices.toml").stdout
    assert "4 operations without a price, or with a part of it" in table
    assert "days ago" in table
    assert [line.split()[-1] for line in table.splitlines() if line.startswith("acme")] == ["yes"]


def test_a_store_in_which_everything_has_a_price(tmp_path: Path) -> None:
    """Needs nothing done, unless the table is old; and without a store the prices alone are checked."""
    cost = Cost(total=Decimal(1), input=Decimal(1), output=Decimal(0), source="user")
    write_sqlite(tmp_path / "aicore_obs.db", [operation(1, provider="openai", model="gpt-4o", cost=cost)])
    assert "Every operation has a price" in _run("check").stdout
    (tmp_path / "aicore_obs.db").unlink()
    done = _run("check")
    assert "only the prices were checked" in done.output
    assert "Every operation" not in done.output


def test_books_are_compared(tmp_path: Path) -> None:
    """Rows, deployments, and what follows from them at a time."""
    (tmp_path / "a.toml").write_text(ROWS)
    (tmp_path / "b.json").write_text(
        '{"deployments": {"prod": "gpt-4o"}, "rows": [{"model": "acme-1", "id": "acme", "input_mtok": 3}]}'
    )
    data = json.loads(_run("diff", "a.toml", "--at", "2026-02-01", "--json").stdout)
    rates = {(one["model"], one["item"]): (one["first"], one["second"]) for one in data if one["what"] == "rate"}
    assert rates["gpt-4o", "input_mtok"] == ("2", "2.5")
    assert rates["gpt-4o", "cache_read_mtok"] == (None, "1.25")
    assert rates["acme-1", "input_mtok"] == ("1", None)
    early = json.loads(_run("diff", "a.toml", "--at", "2025-02-01", "--json").stdout)
    assert [one["model"] for one in early if one["what"] == "rate"] == ["acme-1"]
    done = _run("diff", "a.toml", "b.json", "--at", "2025-02-01")
    assert done.exit_code == 1
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["deployment", "prod", "gpt-4o"] in lines
    assert ["rate", "acme-1", "input_mtok", "1", "3"] in lines
    assert ["row", "acme-1", "acme", "input_mtok=1", "input_mtok=3"] in lines
    assert _run("diff", "a.toml", "a.toml").exit_code == 0
    assert "No difference" in _run("diff", "bundled").stdout


def test_the_environments_rows_are_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown is what a collector without prices of its own would charge."""
    monkeypatch.setenv("AICORE_OBS_PRICES", str(tmp_path / "prices.toml"))
    (tmp_path / "prices.toml").write_text(ROWS)
    done = _run("show", "gpt-4o", "--at", "2026-02-01", "--json")
    assert json.loads(done.stdout)["prices"][0]["layer"] == "user"
