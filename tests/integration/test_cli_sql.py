"""This module is where `aicore-obs sql` is tested on both databases."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from aicore_obs import LlmOperationCollector
from aicore_obs.cli.app import app
from tests.stored import write_json

ANSWER = {"model": "gpt-4o-2024-08-06", "usage": {"prompt_tokens": 1_000, "completion_tokens": 100}}
DAYS = "SELECT day, model, cost_usd, unpriced FROM v_daily_cost ORDER BY day, model"


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["sql", *(str(one) for one in arguments)])


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AICORE_OBS_DB_URL", raising=False)
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with two operations, one of them without a price."""
    url = f"sqlite:///{tmp_path}/some.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with LlmOperationCollector(db_url=url) as collector:
        when = "2026-02-01T12:00:00Z"
        collector.record_completion({"model": "gpt-4o"}, provider="openai", response=ANSWER, timestamp=when)
        collector.record_completion({"model": "mine"}, provider="house", error=OSError("gone"), timestamp=when)
    return str(url)


def test_one_question_has_one_answer_on_both(store: str) -> None:
    """The views need no prefix; a table for people, CSV and JSON for programs, amounts exact."""
    shown = _run(DAYS, store).stdout.splitlines()
    assert [line.split() for line in shown] == [
        ["day", "model", "cost_usd", "unpriced"],
        ["2026-02-01", "gpt-4o", "0.003500000000", "0"],
        ["2026-02-01", "mine", "1"],
    ]
    text = _run("--csv", DAYS, store).stdout
    assert list(csv.DictReader(io.StringIO(text)))[1] == {
        "day": "2026-02-01",
        "model": "mine",
        "cost_usd": "",
        "unpriced": "1",
    }
    first, second = json.loads(_run("--json", DAYS, store).stdout)
    assert first == {"day": "2026-02-01", "model": "gpt-4o", "cost_usd": "0.003500000000", "unpriced": 0}
    assert second["cost_usd"] is None
    assert json.loads(_run("--json", "SELECT 1 AS one WHERE 1 = 0", store).stdout) == []


def test_a_table_is_cut_and_says_so(store: str) -> None:
    """``-n`` is for people only."""
    done = _run("-n", "1", DAYS, store)
    assert (len(done.stdout.splitlines()), "more than these 1 row" in done.stderr) == (2, True)
    assert len(json.loads(_run("-n", "1", "--json", DAYS, store).stdout)) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM {0}operations",
        "DELETE FROM {0}operations RETURNING id",
        "DROP VIEW {0}v_errors",
        "CREATE TABLE mine (n integer)",
        "COMMIT; DELETE FROM {0}operations",
        "SELECT 1; DELETE FROM {0}operations",
        "VACUUM INTO 'copy.db'",
        "ATTACH 'other.db' AS other",
        "COPY (SELECT 1) TO STDOUT",
        "SET default_transaction_read_only = off",
        "",
        "SELECT nothing FROM nowhere",
    ],
)
def test_nothing_but_a_question_is_answered(store: str, statement: str, tmp_path: Path) -> None:
    """One line says why, exit code 2, and everything is as it was; no other file is made."""
    before = _run("--json", "SELECT * FROM v_operations", store).stdout
    done = _run(statement.format("aicore_obs_" if store.startswith("sqlite") else ""), store)
    assert (done.exit_code, len(done.stderr.splitlines()), done.stdout) == (2, 1, "")
    assert _run("--json", "SELECT * FROM v_operations", store).stdout == before
    assert not {"copy.db", "other.db"} & {path.name for path in tmp_path.iterdir()}


def test_a_question_that_takes_too_long_is_given_up(store: str) -> None:
    """The database itself stops; the message names the option."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    done = _run("--timeout", "0.2", endless, store)
    assert (done.exit_code, "within 0.2 s; --timeout" in done.stderr) == (2, True)


def test_what_cannot_be_asked_says_so(tmp_path: Path) -> None:
    """No database, no file, a file that is none, two forms at once."""
    write_json(tmp_path / "some.json", [])
    (tmp_path / "text.db").write_text("no database at all, but long enough to be looked at " * 20)
    for arguments, complaint in (
        (("SELECT 1", "some.json"), "only databases answer SQL"),
        (("SELECT 1", "missing.db"), "there is no database"),
        (("SELECT 1", "text.db"), "no SQLite database"),
        (("--csv", "--json", "SELECT 1", "missing.db"), "one of the two"),
    ):
        done = _run(*arguments)
        assert (done.exit_code, complaint in done.stderr) == (2, True), done.output
    assert not (tmp_path / "missing.db").exists()
