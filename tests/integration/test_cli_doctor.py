"""This module is where `aicore-obs doctor` is tested: each ailment by its code, and a way out for each."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from aicore_obs import LlmOperationCollector
from aicore_obs.cli import store_checks
from aicore_obs.cli.app import app
from aicore_obs.pipeline import survey
from tests.databases import MAJOR, MINOR, Database
from tests.left_behind import keep_aside, leave, leave_newer
from tests.postgres import PASSWORD, PostgresServer


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["doctor", *(str(one) for one in arguments)])


def _codes(*arguments: str | Path) -> dict[str, str]:
    """Return what was found for each code, after a check that each finding has all its parts."""
    done = _run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert all(one["what"] and one["way_out"] and one["place"] for one in found)
    assert PASSWORD not in done.output
    return {one["code"]: one["what"] for one in found}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AICORE_OBS_DB_URL", raising=False)
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    # What the machine of the test has free is not what is tested.
    monkeypatch.setattr(store_checks, "LOW_SPACE_BYTES", 0)
    monkeypatch.setattr(store_checks, "LOW_SPACE_SHARE", 2**62)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A SQLite file with one record."""
    with LlmOperationCollector(db_url=f"sqlite:///{tmp_path}/some.db") as collector:
        collector.record_completion({"model": "m"})
    return tmp_path / "some.db"


def test_a_store_that_is_well(store: Path) -> None:
    """Nothing is found, and a probe passes."""
    done = _run("some.db", "--check")
    assert done.exit_code == 0
    assert done.stdout == f"sqlite:{store}: nothing needs attention\n"


def test_a_missing_store(tmp_path: Path) -> None:
    """A probe fails; nothing is made."""
    assert _run("some.db", "--check").exit_code == 1
    assert _codes("some.db") == {"missing": "there is no such file"}
    leave(tmp_path / "some.db.journal", [f"sqlite:{tmp_path}/some.db"], range(3))
    assert _codes("some.db").keys() == {"missing", "orphans"}
    assert not (tmp_path / "some.db").exists()


def _no_database(path: Path) -> None:
    path.write_bytes(b"not a database at all")


def _damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100:4096] = b"\xff" * 3996
    path.write_bytes(data)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _too_open(path: Path) -> None:
    path.chmod(0o644)


@pytest.mark.parametrize(
    ("harm", "code"),
    [(_no_database, "damaged"), (_damaged, "damaged"), (_folder, "not-writable"), (_too_open, "open-files")],
)
def test_a_store_that_is_not_well(store: Path, harm: Callable[[Path], None], code: str) -> None:
    """The ailment is named, and a probe fails."""
    harm(store)
    assert _codes("some.db").keys() == {code}
    done = _run("some.db", "--check")
    assert done.exit_code == 1
    assert done.stdout.startswith("! ")
    assert f"[{code}]" in done.stdout


def test_a_store_that_is_locked(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody keeps a transaction open."""
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "is locked by another process" in _codes("some.db")["unreachable"]


def test_a_stranger_s_database_is_not_changed(tmp_path: Path) -> None:
    """A SQLite file without our tables keeps its bytes."""
    with contextlib.closing(sqlite3.connect(tmp_path / "some.db")) as other, other:
        other.execute("CREATE TABLE theirs (a)")
    (tmp_path / "some.db").chmod(0o600)
    before = (tmp_path / "some.db").read_bytes()
    assert _codes("some.db") == {"no-schema": "no schema yet"}
    assert (tmp_path / "some.db").read_bytes() == before
    assert _run("some.db", "--check").exit_code == 0


def test_a_large_wal(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that stays keeps the log from being emptied."""
    monkeypatch.setattr(store_checks, "LARGE_WAL_BYTES", 1)
    store.with_name("some.db-wal").write_bytes(b"\0" * 1_000_000)
    store.with_name("some.db-wal").chmod(0o600)
    assert "large-wal" in _codes("some.db")


def test_a_full_disk(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Little space is told before there is none."""
    monkeypatch.setattr(store_checks, "LOW_SPACE_BYTES", 2**62)
    assert _codes("some.db").keys() == {"disk-low"}


@pytest.mark.parametrize(("name", "torn"), [("some.json", b'[\n{"a":1},\n{"b":'), ("some.jsonl", b'{"a":1}\n{"b":')])
def test_a_torn_file(tmp_path: Path, name: str, torn: bytes) -> None:
    """A torn tail, and what an earlier repair kept."""
    (tmp_path / name).write_bytes(torn)
    (tmp_path / f"{name}.torn").write_bytes(b"{")
    for path in tmp_path.glob("some*"):
        path.chmod(0o600)
    assert {"torn", "torn-kept"} <= _codes(name).keys()


def test_a_json_file_that_is_none(tmp_path: Path) -> None:
    """An object is no array."""
    (tmp_path / "some.json").write_bytes(b'{"a": 1}')
    assert "damaged" in _codes("some.json")


def test_what_lies_in_a_journal(store: Path, tmp_path: Path) -> None:
    """Orphans, newer versions, strangers, dead letters, unreadable segments, files that are open to others."""
    journal, sink = tmp_path / "some.db.journal", f"sqlite:{store}"
    living = leave(journal, [sink], range(2), alive=True)
    leave(journal, [sink], range(10, 13))
    leave_newer(journal, [sink])
    broken = leave(journal, [sink], range(20, 22))
    broken.segment(1).write_bytes(b"\0" * 200)
    (journal / "notes.txt").write_text("mine")
    keep_aside(journal, sink, [30])
    living.segment(1).chmod(0o640)
    try:
        found = _codes("some.db")
    finally:
        living.release()
    assert found["orphans"] == f"3 records of 1 dead owner wait for {sink}"
    assert found["foreign"] == "not ours: notes.txt"
    assert "it did not fit" in found["dead-letters"]
    assert found.keys() == {"orphans", "newer", "unreadable-segment", "foreign", "dead-letters", "open-files"}
    assert _codes("--journal", journal).keys() >= {"newer", "foreign"}


def test_a_journal_near_its_cap(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told before records are refused."""
    monkeypatch.setattr(survey, "CAP_BYTES", 1000)
    leave(tmp_path / "some.db.journal", [f"sqlite:{store}"], range(9))
    assert "journal-full" in _codes("some.db")


def test_a_schema_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer schema that takes no writer of this version; and one that is not there, where nothing makes it."""
    Database(str(tmp_path / "some.db")).ensure()
    Database(str(tmp_path / "some.db")).on_schema(lambda schema: schema.migrate(allow_major=True), extra=[MINOR, MAJOR])
    assert _codes("some.db").keys() == {"program-too-old"}
    monkeypatch.setenv("AICORE_OBS_MIGRATE", "never")
    (tmp_path / "none.db").touch(mode=0o600)
    assert "run" not in _codes("none.db")["schema-behind"]
    assert "aicore-obs migrate" in _run("none.db").stdout


def test_postgres_that_is_well(postgres_url: str) -> None:
    """Empty is no ailment, and neither is a schema of this version."""
    assert _codes(postgres_url) == {"no-schema": "no schema yet"}
    Database(postgres_url).ensure()
    assert _codes(postgres_url) == {}
    assert _run(postgres_url, "--check").exit_code == 0


def test_postgres_that_cannot_be_reached() -> None:
    """The server is named, the password is not."""
    done = _run("postgresql://me:s3cret@127.0.0.1:1/x", "--check")
    assert done.exit_code == 1
    assert "[unreachable]" in done.stdout
    assert "s3cret" not in done.output


def test_postgres_that_refuses_a_password(postgres_server: PostgresServer) -> None:
    """The server's words are shown, the password is not."""
    done = _run(postgres_server.url_of("postgres", password="wr0ng"), "--check")
    assert done.exit_code == 1
    assert "wr0ng" not in done.output


def test_postgres_without_rights(postgres_url: str, postgres_server: PostgresServer) -> None:
    """Each missing right is named with the GRANT: to make the schema, to read it, to write into it."""
    database = postgres_url.rsplit("/", 1)[1]
    postgres_server.execute("DROP ROLE IF EXISTS cli_doctor")
    postgres_server.execute("CREATE ROLE cli_doctor LOGIN PASSWORD 's3cret'")
    guest = postgres_server.url_of(database, user="cli_doctor", password="s3cret")
    grants = [
        f'GRANT CREATE ON DATABASE "{database}"',
        'GRANT USAGE ON SCHEMA "aicore_obs"',
        'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "aicore_obs"',
    ]
    try:
        assert grants[0] in _codes(guest)["rights"]
        Database(postgres_url).ensure()
        assert grants[1] in _codes(guest)["rights"]
        postgres_server.execute(f"{grants[1]} TO cli_doctor", database=database)
        assert grants[2] in _codes(guest)["rights"]
        select = 'GRANT SELECT ON ALL TABLES IN SCHEMA "aicore_obs" TO cli_doctor'
        postgres_server.execute(select, database=database)
        assert "may not write" in _codes(guest)["rights"]
        postgres_server.execute(f"{grants[2]} TO cli_doctor", database=database)
        assert _codes(guest) == {}
        postgres_server.execute("REVOKE INSERT ON aicore_obs.cost_revisions FROM cli_doctor", database=database)
        assert "may not write" in _codes(guest)["rights"]
    finally:
        postgres_server.execute("DROP OWNED BY cli_doctor", database=database)
        postgres_server.execute("DROP ROLE cli_doctor")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_may_not_be_written(store: Path) -> None:
    """The right that is missing is named."""
    store.chmod(0o400)
    assert "not-writable" in _codes("some.db")
