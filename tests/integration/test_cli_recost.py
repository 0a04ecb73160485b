"""This module is where the command that costs stored operations again is tested."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from aicore_obs.cli.app import app
from aicore_obs.model.cost import BILL, Cost
from aicore_obs.protocols import Address
from aicore_obs.query.costs import read_costs
from aicore_obs.query.recost import default_author
from tests import records
from tests.integration.test_recost import used, with_cost

PRICES = """
[[rows]]
provider = "acme"
model = "small"
effective_from = "2025-01-01"
input_mtok = "2"
output_mtok = "4"
source = "a contract"
"""


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["recost", *map(str, arguments)])


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AICORE_OBS_DB_URL", "AICORE_OBS_STORAGE_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    Path("prices.toml").write_text(PRICES, encoding="utf-8")


@pytest.fixture(params=records.KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """A store with three operations: one at an old price, one without a price, one that the provider billed."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    place = records.address(request.param, tmp_path, url)
    billed = with_cost(used("small"), Cost(total=Decimal("0.9"), source=BILL))
    records.write(place, [used("small"), used("unheard-of", session_id="s-1"), billed])
    return place


def target(place: Address) -> str:
    """What a user types."""
    return place.url or str(place.path)


def test_differences_are_shown_and_nothing_is_changed(place: Address) -> None:
    """A row for each model, the largest differences, the book, counts and a total."""
    done = _run(target(place), "--prices", "prices.toml")
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["acme", "small", "changed", "1", "0.001", "0.002", "0.001"] in lines
    assert "Changed: 1; newly priced: 0; became unknown: 0; unchanged: 2" in done.stdout
    assert "left alone: 1 operation" in done.stdout
    assert "no sum: 1 operation" in done.stdout
    assert "$0.901 before, $0.902 by these prices" in done.stdout
    assert "Difference: $0.001" in done.stdout
    assert "Prices: user:" in done.stdout
    assert "--apply" in done.stdout
    assert read_costs(place, {})["revision"].max() == 0


def test_apply_keeps_the_new_costs_once(place: Address) -> None:
    """As a revision with an author; the second run has nothing to do."""
    done = _run(target(place), "--prices", "prices.toml", "--apply", "--author", "anna")
    assert done.exit_code == 0, done.output
    assert "Kept: 1 revision" in done.stdout
    ledger = read_costs(place, {}).filter(revision=1)
    assert ledger.select("cost_usd", "author", "cost_source").rows() == [(Decimal("0.002"), "anna", "user")]
    assert str(ledger["price_book"][0]).startswith("user:")
    again = _run(target(place), "--prices", "prices.toml", "--apply")
    assert "unchanged: 3" in again.stdout
    assert "Kept" not in again.stdout
    assert read_costs(place, {})["revision"].max() == 1


def test_only_what_matches_and_for_programs(place: Address) -> None:
    """Filters as in `tail`; JSON has every difference, with amounts as text; the author is this process's user."""
    none = json.loads(_run(target(place), "-w", "session_id=s-1", "--prices", "prices.toml", "--json").stdout)
    assert (none["unchanged"], none["still_unknown"], none["differences"]) == (1, 1, [])
    data = json.loads(_run(target(place), "--prices", "prices.toml", "--json", "--apply").stdout)
    assert (data["written"], data["difference_usd"]) == (1, "0.001000000000")
    assert data["differences"][0]["new_source"] == "user"
    assert read_costs(place, {}).filter(revision=1)["author"].to_list() == [default_author()]


def test_bundled_prices_cost_what_an_older_program_left(tmp_path: Path) -> None:
    """Without --prices the bundled ones count; an operation without any cost gets one."""
    place = records.address("sqlite", tmp_path)
    one = used("gpt-4o", book=None)
    records.write(place, [msgspec.structs.replace(one, provider="openai")])
    done = _run(target(place), "--apply")
    assert "newly priced: 1" in done.stdout
    assert records.read(place, "cost_usd") == [(Decimal("0.0025"),)]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("none.db",), "none.db"),
        (("store.sqlite", "-w", "cost_as_of=2026-01-01"), "cost_as_of"),
        (("store.sqlite", "-w", "modell=x"), "modell"),
        (("store.sqlite", "--prices", "no.toml"), "no.toml"),
    ],
)
def test_a_question_that_cannot_be_answered(tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    """One line, exit code 2, and nothing is made."""
    records.write(records.address("sqlite", tmp_path), [used("small")])
    done = _run(*arguments)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert complaint in done.stderr
    assert not Path("none.db").exists()


def test_nothing_is_made_when_there_is_nothing_to_read() -> None:
    """--apply on a store that is not there makes none."""
    done = _run("none.jsonl", "--apply")
    assert done.exit_code == 2
    assert not Path("none.jsonl").exists()
