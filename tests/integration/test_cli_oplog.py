"""This module is where the commands of the oplog door are tested: flag, unflag, score, unscore, export-chat."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from aicore_obs.cli.app import app
from aicore_obs.oplog import Tracer
from tests.oplog_stores import backend

__all__ = ["backend"]
WIDE = {"COLUMNS": "200"}


def ask(*words: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(app, list(words), env=WIDE)


@pytest.fixture
def store(backend: str) -> str:
    """A store of each kind, with three operations of one project and one of another."""
    with Tracer("shop", backend) as tracer:
        for number in range(3):
            with tracer.run(f"r {number}'"):
                tracer.op("qa").input(text=f"q{number}").output(text="a").tags(f"t{number % 2}").save()
    with Tracer("other", backend) as tracer:
        tracer.op("qa").input(text="q3").save()
    return backend


def test_flag_and_unflag(store: str) -> None:
    """By filters, of every project; what was flagged is found, and counts are told."""
    done = ask("flag", store, "-w", "tags=t0", "-r", "training", "--note", "from the shell")
    assert (done.exit_code, done.output.strip()) == (0, "Flagged for training: 2 operations")
    assert ask("flag", store, "--all", "-r", "é x").output.strip() == "Flagged for é x: 4 operations"
    with Tracer("shop", store) as tracer:
        found = tracer.db.query(flagged_for="training")
        assert [one.run_id for one in found] == ["r 2'", "r 0'"]
        assert [(mark.reason, mark.note) for mark in found[0].flags] == [("training", "from the shell"), ("é x", None)]
    assert ask("unflag", store, "-w", "run_id=r 0'", "-r", "training").output.strip() == "Flags taken away: 1 operation"
    assert ask("unflag", store, "--all").output.strip() == "Flags taken away: 4 operations"
    assert ask("unflag", store, "--all").output.strip() == "Flags taken away: 0 operations"


def test_score_and_unscore(store: str) -> None:
    """A number, yes or no, a category; what was scored is found by its name and by a bound."""
    with Tracer("shop", store) as tracer:
        one, other, _ = (record.id for record in tracer.db.query())
    assert ask("score", one, "helpful", "true", store, "--comment", "so it is").output.strip() == "Scored: helpful true"
    for words in (("grade", "0.5", store), ("tone", "nan", store)):
        assert ask("score", one, *words).exit_code == 0
    assert ask("score", other, "grade", "--", "-1", store).exit_code == 0
    with Tracer("shop", store) as tracer:
        [found] = tracer.db.query(min_score={"grade": 0})
        values = {name: score.value for name, score in found.scores.items()}
        assert (found.id, values) == (one, {"grade": 0.5, "helpful": True, "tone": "nan"})
        assert found.scores["helpful"].comment == "so it is"
    flagged = ask("flag", store, "-w", "max_score.grade=0", "-w", "scored=grade", "-r", "bad")
    assert flagged.output.strip() == "Flagged for bad: 1 operation"
    assert ask("unscore", one, "grade", store).output.strip() == "Score taken away: grade"
    with Tracer("shop", store) as tracer:
        assert [record.id for record in tracer.db.query(scored="grade")] == [other]


def test_what_is_not_said_or_not_there(tmp_path: Path) -> None:
    """One line, exit code 2, and no store is made."""
    missing = str(tmp_path / "none.db")
    for words, says in (
        (("flag", missing, "-r", "x"), "which operations"),
        (("flag", missing, "-r", "x", "--all", "-w", "status=ok"), "which operations"),
        (("unflag", missing, "-w", "colour=red"), "unknown filter 'colour'"),
        (("flag", missing, "-r", "x", "--all"), "there is no database"),
        (("flag", missing, "-r", "x", "-w", "min_score.grade=much"), "min_score='much': a number is needed"),
        (("score", "abc", "helpful", "1", missing), "there is no database"),
        (("export-chat", str(tmp_path / "c.jsonl"), missing), "there is no database"),
        (("export-chat", str(tmp_path / "c.jsonl"), missing, "--split", "a"), "NAME=SHARE"),
        (("export-chat", str(tmp_path / "c.jsonl"), missing, "--secrets", "eat"), "--secrets='eat'"),
    ):
        done = ask(*words)
        assert (done.exit_code, says in done.output) == (2, True), (words, done.output)
    assert list(tmp_path.iterdir()) == []


def test_export_chat(store: str, tmp_path: Path) -> None:
    """The file, its splits and the manifest; what was left out is told; files are replaced when that is said."""
    file = tmp_path / "out" / "chat.jsonl"
    words = ("export-chat", str(file), store, "-w", "operation_type=qa", "--system", "be brief")
    done = ask(*words)
    assert (done.exit_code, done.stdout.splitlines()[1:]) == (0, ["  no answer: 1", f"Manifest: {file}.manifest.json"])
    assert done.stdout.startswith("chat.jsonl: 3 conversations, ")
    first = json.loads(file.read_text(encoding="utf-8").splitlines()[0])
    assert [one["content"] for one in first["messages"]] == ["be brief", "q2", "a"]
    assert "--overwrite replaces it" in ask(*words).output
    assert ask(*words, "--overwrite", "--split", "a=0.5,b=0.5").exit_code == 0
    manifest = json.loads(file.with_name("chat.jsonl.manifest.json").read_bytes())
    assert [one["name"] for one in manifest["files"]] == ["chat.a.jsonl", "chat.b.jsonl"]
    assert manifest["options"]["split"] == {"a": 0.5, "b": 0.5}
    assert manifest["filters"] == {"operation_type": "qa", "order": "desc"}
