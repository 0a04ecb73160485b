"""This module is where an operation, a conversation and a trace are shown by the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aicore_obs.cli.app import app
from tests import records, talks


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with a session."""
    place = records.address("jsonl", tmp_path_factory.mktemp("store"))
    records.write(place, talks.session())
    return str(place.path)


def run(*words: str, code: int = 0) -> str:
    """Run a command and return what it says."""
    result = CliRunner().invoke(app, [*words], env={"COLUMNS": "80"})
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_show_takes_any_id(store: str) -> None:
    """An operation, a conversation or a trace, by what the id is of."""
    last = run("show", "last", store)
    assert "TimeoutError" in last
    assert "— (no usage reported)" in last
    assert run("show", "s-1", store) == run("conversation", "s-1", store)
    assert run("show", talks.TRACE[:8], store) == run("trace", talks.TRACE, store)
    assert "You plan days out." in run("show", "r-1", store)


def test_a_trace_in_eighty_columns(store: str) -> None:
    """Steps with bars, times, tokens and costs, on lines that fit."""
    lines = run("trace", "s-1", store).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("1 step · 3 operations · 1 failed · 20 tokens (1 unknown) · ≥ $1.00")
    head = next(place for place, line in enumerate(lines) if line.startswith("step "))
    assert lines[head + 1].split()[0] == "agent"
    assert lines[head + 1].split()[-2:] == ["≥", "1.00"]
    assert [line[:2] for line in lines[head + 2 :]] == ["├─", "├─", "└─"]


def test_programs_get_json_and_browsers_a_page(store: str) -> None:
    """Everything there is, and a page of its own; not both."""
    told = json.loads(run("conversation", "s-1", store, "--json"))
    assert [turn["repeated"] for turn in told["turns"]] == [0, 3, 5]
    assert json.loads(run("trace", talks.TRACE, store, "--json"))["roots"][0]["name"] == "agent"
    assert run("show", "last", store, "--html").startswith("<!doctype html>")
    assert "one of the two" in run("show", "last", store, "--html", "--json", code=2)


def test_an_unknown_id_says_what_to_do(store: str, tmp_path: Path) -> None:
    """In one line, with the id and the store; a store that is not there is not made."""
    said = run("show", "nobody", store, code=2)
    assert said.startswith("aicore-obs: no operation, session, run or trace in")
    assert "'nobody'" in said
    assert "aicore-obs tail" in said
    assert "there is no" in run("trace", "nobody", str(tmp_path / "none.db"), code=2)
    assert not (tmp_path / "none.db").exists()
