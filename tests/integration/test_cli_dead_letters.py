"""This module is where `aicore-obs dead-letters` is tested: each letter goes to the one sink that it names, once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from aicore_obs import LlmOperationCollector
from aicore_obs.cli.app import app
from aicore_obs.pipeline.dead_letters import DeadLetters, for_damage
from tests.left_behind import ids, keep_aside
from tests.postgres import PostgresServer
from tests.stored import record_id


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["dead-letters", *(str(one) for one in arguments)])


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def _count(path: Path) -> Counter[str]:
    return Counter(line.split('"id":"')[1][:36] for line in path.read_text().splitlines() if '"id":"' in line)


def test_letters_are_listed(tmp_path: Path) -> None:
    """When, for which sink, why, which; with the record for programs."""
    keep_aside(tmp_path / "some.db.journal", "sqlite:/x.db", [1])
    row = _run("list", "some.db").stdout.splitlines()[1]
    assert row.split()[1:] == ["sqlite:/x.db", "rejected", "it", "did", "not", "fit", record_id(1)]
    (letter,) = json.loads(_run("list", "some.db", "--json").stdout)
    assert letter["record"]["completion_args"] == {"model": "gpt-4o"}


def test_letters_of_a_given_journal(tmp_path: Path) -> None:
    """A journal's directory can be named; one that is not there is an error."""
    keep_aside(tmp_path / "j", "sqlite:/x.db", [1, 2])
    assert len(json.loads(_run("list", "--journal", tmp_path / "j", "--json").stdout)) == 2
    assert _run("list", "--journal", tmp_path / "missing").exit_code == 2


def test_letters_go_to_the_sinks_that_they_name(tmp_path: Path) -> None:
    """One directory, several sinks; what the road reads out of a record is there, and the file of letters is gone."""
    database, file = tmp_path / "some.db", tmp_path / "some.json"
    journal = tmp_path / "some.db.journal"
    keep_aside(journal, f"sqlite:{database}", range(600))
    keep_aside(journal, f"json:{file}", range(3))
    done = _run("retry", "some.db")
    assert done.exit_code == 0, done.output
    assert done.stdout == "603 records stored, 0 rejected again, 0 left\n"
    frame = LlmOperationCollector.polars_from_db(f"sqlite:///{database}")
    assert frame["operation_id"].to_list() == ids(range(600))
    assert set(frame["model"]) == {"gpt-4o"}
    assert LlmOperationCollector.polars_from_file(file)["operation_id"].to_list() == ids(range(3))
    assert not DeadLetters(journal).path.exists()
    assert _run("list", "some.db").stdout.splitlines()[1:] == []


def test_a_letter_that_is_stored_already_is_not_stored_twice(tmp_path: Path) -> None:
    """A retry that was killed after the commit is run again."""
    file = tmp_path / "some.json"
    for _ in range(2):
        keep_aside(tmp_path / "some.json.journal", f"json:{file}", range(5))
        assert _run("retry", "some.json").exit_code == 0
    assert _count(file) == Counter(ids(range(5)))


def test_letters_for_postgres(tmp_path: Path, postgres_url: str, postgres_server: PostgresServer) -> None:
    """The URL is given by the user, as the name holds no credentials."""
    sink = f"postgresql://127.0.0.1:{postgres_server.port}/{postgres_url.rsplit('/', 1)[1]}#aicore_obs"
    keep_aside(tmp_path / "j", sink, range(4))
    refused = _run("retry", "--journal", tmp_path / "j")
    assert refused.exit_code == 1
    assert "give its URL with --to" in refused.stderr
    assert _run("retry", "--journal", tmp_path / "j", "--to", postgres_url).exit_code == 0
    assert LlmOperationCollector.polars_from_db(postgres_url)["operation_id"].to_list() == ids(range(4))


def test_letters_go_elsewhere_only_after_a_yes(tmp_path: Path) -> None:
    """A database that has moved."""
    keep_aside(tmp_path / "j", "postgresql://old:5432/x#aicore_obs", range(4))
    arguments = ["dead-letters", "retry", "--journal", str(tmp_path / "j"), "--to", "new.db"]
    assert CliRunner().invoke(app, arguments, input="n\n").exit_code == 1
    assert not (tmp_path / "new.db").exists()
    assert _run(*arguments[1:], "--yes").exit_code == 0
    assert LlmOperationCollector.polars_from_db("sqlite:///new.db").height == 4


def test_a_letter_that_is_rejected_again_stays_with_its_new_reason(tmp_path: Path, postgres_url: str) -> None:
    """The others of its batch are stored."""
    bad = {"session_id": "x" * 100_000}
    keep_aside(tmp_path / "j", "postgresql://old:5432/x#aicore_obs", range(3))
    keep_aside(tmp_path / "j", "postgresql://old:5432/x#aicore_obs", [3], **_incompressible(bad))
    done = _run("retry", "--journal", tmp_path / "j", "--to", postgres_url, "-y")
    assert done.exit_code == 1
    assert done.stdout == "3 records stored, 1 rejected again, 0 left\n"
    (letter,) = DeadLetters(tmp_path / "j").all()
    assert letter.id == record_id(3)
    assert "index row" in letter.error


def _incompressible(fields: dict[str, str]) -> dict[str, str]:
    """Give each field a text that no index entry of PostgreSQL can hold."""
    text = "".join(f"{number * 2654435761 % 2**32:08x}" for number in range(12_500))
    return dict.fromkeys(fields, text)


def test_a_store_that_takes_nothing_keeps_its_letters(tmp_path: Path) -> None:
    """Nothing is lost, and the reason is told in one line."""
    sink = "postgresql://127.0.0.1:1/x#aicore_obs"
    keep_aside(tmp_path / "state" / "feed", sink, range(3))
    done = _run("retry", "postgresql://me:s3cret@127.0.0.1:1/x")
    assert done.exit_code == 1
    assert done.stdout == "0 records stored, 0 rejected again, 3 left\n"
    assert "s3cret" not in done.output
    assert len(DeadLetters(tmp_path / "state" / "feed").all()) == 3


def test_what_a_processor_failed_on_is_not_stored_without_it(tmp_path: Path) -> None:
    """The processor may have been there to take something out; only an explicit word goes past it."""
    journal = tmp_path / "some.db.journal"
    keep_aside(journal, f"sqlite:{tmp_path}/some.db", range(2), reason="processor")
    done = _run("retry", "some.db")
    assert done.exit_code == 1
    assert "--unprocessed" in done.stderr
    assert len(DeadLetters(journal).all()) == 2
    assert _run("retry", "some.db", "--unprocessed").exit_code == 0


def test_damaged_pieces_stay(tmp_path: Path) -> None:
    """They are no records; the rest is stored."""
    journal, sink = tmp_path / "some.db.journal", f"sqlite:{tmp_path}/some.db"
    keep_aside(journal, sink, range(2))
    DeadLetters(journal).add([for_damage(sink, "damaged", "no whole frame", b"\xff\xfe")])
    done = _run("retry", "some.db")
    assert (done.exit_code, done.stdout) == (1, "2 records stored, 0 rejected again, 1 left\n")
    (letter,) = DeadLetters(journal).all()
    assert letter.record is msgspec.UNSET
