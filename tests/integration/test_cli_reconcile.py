"""This module is where ``aicore-obs reconcile`` is tested: what it shows, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from aicore_obs.cli.app import app
from tests.statements import FIXTURES, at
from tests.stored import operation, write_json, write_sqlite


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["reconcile", *(str(one) for one in arguments)])


@pytest.fixture(autouse=True)
def _no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AICORE_OBS_DB_URL", "AICORE_OBS_STORAGE_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def _called(number: int, **fields: Any) -> Any:
    return operation(number, **{"provider": "openai", "model": "gpt-4o", "timestamp": at(1), **fields})


def test_what_differs_is_shown_with_its_cause(tmp_path: Path) -> None:
    """A table per part and the totals; 1, since something differs."""
    write_sqlite(tmp_path / "some.db", [_called(1), _called(2, model="o3"), _called(3, timestamp=at(20))])
    done = _run(FIXTURES / "openai_costs.json", tmp_path / "some.db")
    assert done.exit_code == 1
    words = done.stdout.split()
    assert {"2026-08-01", "gpt-4o", "0.1575", "unpriced", "o3", "gpt-5.6-sol", "not_recorded", "web"} <= set(words)
    assert "Statement: 5 lines, 2026-08-01 up to 2026-08-04 (UTC, not included), $0.5675" in done.stdout
    assert "Recorded: 2 operations, $0.00\nWithout a price, and not in that sum: 2 operations" in done.stdout
    assert "By day: 0 matched within $0.01, 4 not" in done.stdout


def test_the_default_store_and_filters(tmp_path: Path) -> None:
    """Filters are those of the readers; dates of one's own count."""
    write_sqlite(tmp_path / "aicore_obs.db", [_called(1), _called(2, timestamp=at(20)), _called(3, provider="x")])
    done = _run(FIXTURES / "openai_costs.csv", "-w", "start_date=2026-08-01", "-w", "provider=openai", "--json")
    assert json.loads(done.stdout)["totals"]["operations"] == 2
    assert _run(FIXTURES / "openai_costs.csv", "-w", "limit=3").exit_code == 2
    assert _run(FIXTURES / "openai_costs.csv", "-w", "nothing=3").exit_code == 2


def test_everything_matches(tmp_path: Path) -> None:
    """0; what matches is shown when it is asked for."""
    (tmp_path / "none.csv").write_text("request_id,cost,created_at,model\na,0,2026-08-01,gpt-4o\n", encoding="utf-8")
    write_json(tmp_path / "some.jsonl", [_called(1, timestamp=at(9))])
    done = _run("none.csv", "some.jsonl", "--matched")
    assert done.exit_code == 0
    assert "Matched: 1 row" in done.stdout
    assert "By day: 1 matched within $0.01, 0 not" in done.stdout


def test_programs_get_json(tmp_path: Path) -> None:
    """All four frames and the totals; amounts are text, so that no digit is lost."""
    write_sqlite(tmp_path / "some.db", [_called(1)])
    files = (FIXTURES / "openai_costs.csv", "some.db", "--also", FIXTURES / "openai_usage.csv")
    done = _run(*files, "--json", "--by", "period", "--tolerance", "0.5")
    data = json.loads(done.stdout)
    assert data["ok"] is False
    assert (data["by"], data["tolerance"]) == ("period", "0.5")
    assert data["totals"]["provider_usd"] == "0.145000000000"
    assert data["mismatch"][0]["provider_input_tokens"] == 60_000
    assert data["matched"] == data["ours_only"] == data["provider_only"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.csv",), "nowhere.csv"),
        (("bad.csv",), "bad.csv, row 2, column amount_value: 'x': an amount is needed"),
        (("unknown.csv",), "unknown.csv is no statement of a known format"),
        ((FIXTURES / "openai_costs.csv", "--by", "week"), "by='week': request, day or period is needed"),
        ((FIXTURES / "openai_costs.csv", "--tolerance", "x"), "tolerance='x': an amount in USD is needed"),
        ((FIXTURES / "focus.csv", "--cost-column", "Cost"), "cost_column='Cost'"),
        ((FIXTURES / "openai_costs.csv", "none.db"), "none.db"),
    ],
)
def test_a_question_that_cannot_be_answered(tmp_path: Path, arguments: tuple[str | Path, ...], said: str) -> None:
    """2, and one line that says why."""
    write_sqlite(tmp_path / "aicore_obs.db", [])
    (tmp_path / "bad.csv").write_text("start_time,amount_value,amount_currency\n1785542400,x,usd\n", encoding="utf-8")
    (tmp_path / "unknown.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    done = _run(*arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
