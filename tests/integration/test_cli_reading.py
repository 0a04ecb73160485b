"""This module is where the commands that show what is stored are tested: tail, stats, version, and errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from aicore_obs.cli.app import app
from tests.left_behind import keep_aside, leave
from tests.stored import operation, record_id, write_json, write_postgres, write_sqlite

FOLLOW_DEADLINE_S = 90


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(autouse=True)
def _no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AICORE_OBS_DB_URL", "AICORE_OBS_STORAGE_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def _some() -> list[object]:
    return [
        operation(1, provider="openai", model="gpt-4o", session_id="s1", latency_ms=12.0, total_tokens=7),
        operation(2, provider="anthropic", model="claude", session_id="s2", latency_ms=900.0),
        operation(3, provider="openai", model="gpt-4o-mini", labels={"team": "search"}),
    ]


@pytest.mark.parametrize("name", ["some.json", "some.jsonl"])
def test_tail_shows_a_json_file(tmp_path: Path, name: str) -> None:
    """The newest come last, each with its id whole."""
    write_json(tmp_path / name, _some())  # type: ignore[arg-type]
    done = _run("tail", tmp_path / name)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == [record_id(1), record_id(2), record_id(3)]
    assert lines[1].split()[:-1] == [
        *("2026-01-01", "00:00:01.000", "completion", "openai", "gpt-4o", "ok", "12", "7", "s1")
    ]


def test_tail_shows_the_newest_of_the_default_store(tmp_path: Path) -> None:
    """Without a store it is ``./aicore_obs.db``; ``-n`` says how many."""
    write_sqlite(tmp_path / "aicore_obs.db", _some())  # type: ignore[arg-type]
    lines = _run("tail", "-n", "2").stdout.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == [record_id(2), record_id(3)]


def test_tail_shows_postgres(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of a URL in the environment."""
    write_postgres(postgres_url, _some())  # type: ignore[arg-type]
    monkeypatch.setenv("AICORE_OBS_DB_URL", postgres_url)
    assert record_id(3) in _run("tail").stdout


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["provider=openai"], [1, 3]),
        (["provider=openai", "provider=anthropic", "min_latency=500"], [2]),
        (["labels.team=search"], [3]),
        (["min_tokens=7"], [1]),
        (["start_date=2026-01-01T00:00:03"], [3]),
    ],
)
def test_tail_filters_like_the_readers(tmp_path: Path, words: list[str], numbers: list[int]) -> None:
    """``--where`` takes the filters of the readers by their names."""
    write_sqlite(tmp_path / "some.db", _some())  # type: ignore[arg-type]
    flags = [part for word in words for part in ("-w", word)]
    lines = _run("tail", tmp_path / "some.db", *flags).stdout.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == [record_id(number) for number in numbers]


@pytest.mark.parametrize("word", ["provder=openai", "provider", "min_tokens=many", "limit=3"])
def test_a_wrong_filter_is_told(tmp_path: Path, word: str) -> None:
    """One line on stderr, exit code 2, no traceback."""
    write_sqlite(tmp_path / "some.db", _some())  # type: ignore[arg-type]
    done = _run("tail", tmp_path / "some.db", "-w", word)
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert word.partition("=")[0] in done.stderr


def test_text_of_records_cannot_move_the_cursor(tmp_path: Path) -> None:
    """Control characters of a record come out as a sign."""
    write_sqlite(tmp_path / "some.db", [operation(1, provider="\x1b[2Jevil\n[bold]")])
    shown = _run("tail", tmp_path / "some.db").stdout
    assert "\x1b" not in shown
    assert "[2Jevil\N{REPLACEMENT CHARACTER}[bold]" in shown


def test_follow_shows_what_comes(tmp_path: Path) -> None:
    """A new operation is shown once; those before the last ``-n`` are not."""
    write_json(tmp_path / "some.jsonl", _some())  # type: ignore[arg-type]
    command = [sys.executable, "-m", "aicore_obs.cli.app", "tail", "some.jsonl", "-n", "1", "--follow"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            first = [child.stdout.readline(), child.stdout.readline()]
            more = [operation(number) for number in (4, 5)]
            write_json(tmp_path / "some.jsonl", [*_some(), *more])  # type: ignore[list-item]
            then = [child.stdout.readline() for _ in range(3)]
        finally:
            child.kill()
    assert record_id(3) in first[1]
    assert [line.split()[-1] for line in then] == ["id", record_id(4), record_id(5)]


def test_a_missing_store_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    """Reading says that there is nothing, and makes nothing."""
    done = _run("tail", "missing.db")
    assert done.exit_code == 2
    assert done.stderr.startswith("aicore-obs: there is no database")
    assert not (tmp_path / "missing.db").exists()


@pytest.mark.parametrize("command", ["tail", "stats", "doctor", "migrate", "drain"])
def test_a_password_is_never_shown(command: str) -> None:
    """Neither a server that is not there nor a malformed URL brings the password to the screen."""
    for url in (
        "postgresql://me:s3cret@127.0.0.1:1/x",
        "postgresql://me:s3cret@127.0.0.1:port/x",
        "pg://me:s3cret@h/x",
    ):
        done = _run(command, url)
        assert "s3cret" not in done.output
        assert "Traceback" not in done.output


def test_stats_count_a_store(tmp_path: Path) -> None:
    """Operations, errors, tokens that are known, and how many have none."""
    write_sqlite(tmp_path / "some.db", _some())  # type: ignore[arg-type]
    done = _run("stats", "some.db", "--json")
    (numbers,) = json.loads(done.stdout)["stores"]
    assert numbers == {
        "store": f"sqlite:{tmp_path}/some.db",
        "operations": 3,
        "errors": 0,
        "tokens": 7,
        "without_tokens": 2,
        "first": "2026-01-01 00:00:01.000",
        "last": "2026-01-01 00:00:03.000",
        "problem": None,
    }
    assert "2026-01-01 00:00:03.000" in _run("stats", "some.db").stdout


def test_stats_show_what_waits_beside_a_store(tmp_path: Path) -> None:
    """Alive or dead, and how many records each sink does not have."""
    write_sqlite(tmp_path / "some.db", [])
    journal, sink = tmp_path / "some.db.journal", f"sqlite:{tmp_path}/some.db"
    living = leave(journal, [sink], range(5), alive=True)
    leave(journal, [sink, "json:/elsewhere.json"], range(5, 12), delivered={sink: 3})
    keep_aside(journal, sink, [99])
    try:
        told = json.loads(_run("stats", "some.db", "--json").stdout)["journals"]
        table = _run("stats", "some.db").stdout
    finally:
        living.release()
    (data,) = told
    assert data["dead_letters"] == 1
    assert [one["alive"] for one in data["owners"]] == [True, False]
    assert [one["pending"] for one in data["owners"]] == [{sink: 5}, {sink: 4, "json:/elsewhere.json": 7}]
    assert f"{sink}: 4, json:/elsewhere.json: 7" in table


def test_stats_all_show_every_journal_of_this_user(tmp_path: Path) -> None:
    """Journals of databases live in the state directory; ``--all`` shows them without knowing the URL."""
    sink = "postgresql://db:5432/x#aicore_obs"
    leave(tmp_path / "state" / "feed", [sink], range(3))
    write_sqlite(tmp_path / "some.db", [])
    assert json.loads(_run("stats", "some.db", "--json").stdout)["journals"] == []
    (journal,) = json.loads(_run("stats", "some.db", "--all", "--json").stdout)["journals"]
    assert journal["owners"][0]["pending"] == {sink: 3}


def test_a_store_that_cannot_be_read_is_told_and_the_others_are_shown(tmp_path: Path) -> None:
    """The exit code is 1: not everything could be counted."""
    write_sqlite(tmp_path / "some.db", _some())  # type: ignore[arg-type]
    done = _run("stats", "missing.json", "some.db")
    assert done.exit_code == 1
    assert f"sqlite:{tmp_path}/some.db" in done.stdout
    assert "missing.json" in done.stderr


def test_version() -> None:
    """The distribution's version is shown."""
    assert _run("version").stdout.startswith("aicore-obs 0.")
