"""This module is where deleting is tested as users do it: collector, command, journals, dead letters, space, a kill."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from aicore_obs import LlmOperationCollector, prune
from aicore_obs.cli.app import app
from aicore_obs.errors import ConfigurationError
from aicore_obs.pipeline.dead_letters import DeadLetters
from tests import left_behind, records
from tests.databases import ROOT

TEXT = {"messages": [{"role": "user", "content": "x" * 2_000}]}
# Deletes until it is killed: in a database in the middle of the work, in a file while the new one is written.
DELETE = """
import os, signal, sys
from aicore_obs import prune
def tell(count):
    if count >= 1000:
        os.kill(os.getpid(), signal.SIGKILL)
print("ready", flush=True)
prune(store=sys.argv[1], user_id="me", tell=tell)
"""


def _run(*arguments: str | Path, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["prune", *map(str, arguments)], input=answer)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AICORE_OBS_DB_URL", "AICORE_OBS_STORAGE_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


def filled(collector: LlmOperationCollector, count: int = 6) -> list[str | None]:
    """Record operations of two users in turn, one a day."""
    return [
        collector.record_completion(TEXT, user_id="me" if number % 2 else "you", timestamp=f"2026-01-{1 + number:02}")
        for number in range(count)
    ]


def test_a_collector_deletes_from_every_store_of_its_own() -> None:
    """What was recorded just now too; the receipt is of both; the twin does the same."""
    with LlmOperationCollector("calls.json", "sqlite:///calls.db") as collector:
        filled(collector)
        assert collector.prune(user_id="me", dry_run=True).operations == 6
        found = collector.prune(user_id="me", author="tester")
        assert (found.operations, found.payloads, len(found.stores)) == (6, 6, 2)
        assert asyncio.run(collector.aprune(end_date="2026-01-01")).operations == 2
        assert collector.polars_from_db()["user_id"].to_list() == ["you"] * 2
        assert LlmOperationCollector.polars_from_file("calls.json").height == 2
        filled(collector, 2)
        assert collector.polars_from_db(user_id="me").height == 1
        assert collector.flush()
    with contextlib.closing(sqlite3.connect("calls.db")) as connection:
        kept = connection.execute("SELECT author, filter FROM aicore_obs_deletions ORDER BY id").fetchall()
    assert (kept[0], len(kept)) == (("tester", '{"user_id":["me"]}'), 2)


def test_a_daily_deletion_is_kept_once() -> None:
    """A later end takes the place of an earlier one with the same filter; another filter stands beside it."""
    with LlmOperationCollector(db_url="sqlite:///calls.db") as collector:
        filled(collector)
        for day in ("2026-01-01", "2026-01-02", "2026-01-03"):
            collector.prune(end_date=day)
        collector.prune(end_date="2026-01-02", content_only=True)
        collector.prune(end_date="2026-01-02")
    with contextlib.closing(sqlite3.connect("calls.db")) as connection:
        assert connection.execute("SELECT count(*) FROM aicore_obs_deletions").fetchone() == (3,)


@pytest.mark.parametrize("kind", ["json", "sqlite", "postgresql"])
def test_a_journal_that_is_adopted_later_brings_nothing_back(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A process died with records that no store has seen; the receipt names the journal, and its next reader obeys."""
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else f"sqlite:///{tmp_path}/calls.db"
    where: dict[str, Any] = {"storage_path": "calls.json"} if kind == "json" else {"db_url": url}
    with LlmOperationCollector(**where) as collector:
        filled(collector, 2)
        place = collector.addresses[0]
    with LlmOperationCollector(**where, writer="external") as collector:
        filled(collector, 4)
    found = prune(store=place, user_id="me")
    assert found.operations == 1
    assert any("4 records wait in" in note for note in found.notes)
    with LlmOperationCollector(**where) as collector:
        assert collector.flush()
        assert collector.stats().sinks[place.name].adopted == 4
    assert [row[0] for row in records.read(place, "user_id")] == ["you"] * 3


@pytest.mark.parametrize("content_only", [False, True])
def test_dead_letters_go_too(tmp_path: Path, content_only: bool) -> None:
    """Those of this store that match, by what the road would have read too; others stay."""
    place = records.address("sqlite", tmp_path)
    records.write(place, [records.operation()])
    journal = tmp_path / "store.sqlite.journal"
    left_behind.keep_aside(journal, place.name, [1, 2], user_id="me")
    left_behind.keep_aside(journal, place.name, [3], user_id="you")
    left_behind.keep_aside(journal, "sqlite:/elsewhere", [4], user_id="me")
    assert prune(store=place, user_id="me", dry_run=True).dead_letters == 2
    assert len(DeadLetters(journal).all()) == 4
    assert prune(store=place, user_id="me", model="gpt-4o", content_only=content_only).dead_letters == 2
    texts = {letter.id: b"completion_args" in bytes(letter.record) for letter in DeadLetters(journal).all()}  # type: ignore[arg-type]
    mine = dict.fromkeys(left_behind.ids([1, 2]), False) if content_only else {}
    assert texts == {**mine, **dict.fromkeys(left_behind.ids([3, 4]), True)}


def test_a_new_file_grows_smaller(tmp_path: Path) -> None:
    """Space goes back to the disk while the writer's connection is open."""
    with LlmOperationCollector(db_url="sqlite:///calls.db") as collector:
        for _ in range(40):
            filled(collector, 28)
        found = collector.prune(user_id=["me", "you"], end_date="2026-01-27")
    assert found.bytes_before is not None
    assert found.bytes_after is not None
    assert found.bytes_after < found.bytes_before / 4
    assert found.bytes_after >= (tmp_path / "calls.db").stat().st_size
    assert found.notes == ()


def test_an_old_file_says_what_it_needs(tmp_path: Path) -> None:
    """A file without auto_vacuum keeps its size until it is vacuumed as a whole, once; then it is like a new one."""
    with contextlib.closing(sqlite3.connect("calls.db")) as connection:
        connection.execute("CREATE TABLE somebody_elses (n)")
    with LlmOperationCollector(db_url="sqlite:///calls.db") as collector:
        for _ in range(40):
            filled(collector, 28)
        collector.flush()
    before = (tmp_path / "calls.db").stat().st_size
    assert "--vacuum" in prune(end_date="2026-01-14", store="calls.db").notes[0]
    assert (tmp_path / "calls.db").stat().st_size >= before
    assert prune(end_date="2026-01-14", store="calls.db", vacuum=True).notes == ()
    vacuumed = (tmp_path / "calls.db").stat().st_size
    assert vacuumed < before * 0.7
    assert prune(end_date="2026-01-27", store="calls.db").notes == ()
    assert (tmp_path / "calls.db").stat().st_size < vacuumed / 4


def test_a_store_is_brought_down_to_a_size(tmp_path: Path) -> None:
    """The oldest go first, by days; what may not go is left, and said; only SQLite can."""
    with LlmOperationCollector("calls.json", "sqlite:///calls.db") as collector:
        for _ in range(120):
            filled(collector, 28)
        collector.flush()
        with pytest.raises(ConfigurationError, match="only a SQLite store"):
            collector.prune(max_bytes="1MB")
    found = prune(store="calls.db", max_bytes="5MB")
    assert 0 < found.operations < 120 * 28
    # One day of both users is about half a megabyte, and a day goes as a whole.
    assert 4_000_000 < (tmp_path / "calls.db").stat().st_size < 5_200_000
    frame = LlmOperationCollector.polars_from_db(f"sqlite:///{tmp_path}/calls.db")
    assert frame.height + found.operations == 120 * 28
    days = frame["timestamp"].dt.day().unique().to_list()
    assert days == list(range(days[0], 29))
    left = prune(store="calls.db", max_bytes="1MB", user_id="nobody")
    assert "nothing more of what may go" in left.notes[0]
    with pytest.raises(ConfigurationError, match="no dry run"):
        prune(store="calls.db", max_bytes="1MB", dry_run=True)
    with pytest.raises(ConfigurationError, match="everything would go"):
        prune(store="calls.db", max_bytes=100_000)


@pytest.mark.parametrize("kind", ["json", "sqlite", "postgresql"])
def test_a_kill_in_the_middle_is_finished_by_the_next_run(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """SIGKILL: nothing of anybody else is lost, nothing comes back, and the second run deletes the rest."""
    url: str = request.getfixturevalue("postgres_url") if kind == "postgresql" else ""
    place = records.address(kind, tmp_path, url)
    count = 3_000 if kind == "json" else 1_600
    mine = records.operations(count, user_id="me", completion_args=TEXT)
    theirs = records.operations(50, user_id="you", completion_args=TEXT)
    records.write(place, [*mine, *theirs])
    child = subprocess.Popen([sys.executable, "-c", DELETE, url or str(place.path)], cwd=ROOT, stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        draft = tmp_path / "store.json.new"
        while kind == "json" and child.poll() is None:
            if draft.exists():
                child.kill()
        child.wait(timeout=200)
    assert child.returncode == -signal.SIGKILL
    left = len(records.read(place, user_id="me"))
    assert left == count if kind == "json" else 0 < left < count
    records.with_sink(place, lambda sink: sink.write(records.batch(mine[:200], noted=0)))
    assert len(records.read(place, user_id="me")) <= left
    assert prune(store=place if kind != "postgresql" else url, user_id="me").operations == left
    assert records.kept_ids(place) == sorted(one.id for one in theirs)
    if kind in records.DATABASES:
        table = "aicore_obs_payloads" if kind == "sqlite" else "aicore_obs.payloads"
        from_payloads = records.Database(url or str(place.path)).execute(f"SELECT count(*) FROM {table}")
        assert from_payloads[0][0] == 50


def test_a_writer_in_the_middle_of_its_batch_is_waited_for(postgres_url: str, tmp_path: Path) -> None:
    """What it had not committed when the deletion was said goes too, since nobody asks it again."""
    place = records.address("postgresql", tmp_path, postgres_url)
    one = records.operation(user_id="me")
    records.write(place, [records.operation(user_id="me")])

    async def write_slowly() -> int:
        connection = await asyncpg.connect(postgres_url)
        transaction = connection.transaction()
        await transaction.start()
        await connection.fetch("SELECT id FROM aicore_obs.deletions")
        await connection.execute(
            "INSERT INTO aicore_obs.operations (id, timestamp, user_id) VALUES ($1, now(), 'me')", one.id
        )
        deleting = asyncio.ensure_future(asyncio.to_thread(lambda: prune(store=place, user_id="me")))
        async with asyncio.timeout(30):
            while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                pass
        await transaction.commit()
        await connection.close()
        return (await deleting).operations

    assert asyncio.run(write_slowly()) == 2
    assert records.kept_ids(place) == []


def test_writers_go_on_meanwhile(tmp_path: Path) -> None:
    """A program records while thousands of operations go; it loses nothing and is not locked out."""
    place = records.address("sqlite", tmp_path)
    records.write(place, records.operations(4_000, user_id="me", completion_args=TEXT))
    with LlmOperationCollector(db_url=f"sqlite:///{place.path}") as collector:
        ids: list[str | None] = []
        found = collector.prune(
            user_id="me", tell=lambda _: ids.append(collector.record_completion(TEXT, user_id="me"))
        )
        assert (found.operations, len(ids)) == (4_000, 8)
        assert collector.flush()
        assert collector.stats().sinks[place.name].last_error is None
        assert records.kept_ids(place) == sorted(filter(None, ids))


def test_a_strangers_database_is_left_alone(tmp_path: Path) -> None:
    """No tables of ours are made only to delete from them; the command says so in one line."""
    with contextlib.closing(sqlite3.connect("theirs.db")) as connection:
        connection.execute("CREATE TABLE somebody_elses (n)")
    for more in ("--dry-run", "--yes"):
        done = _run("theirs.db", "--user-id", "me", more)
        assert (done.exit_code, done.stderr.count("theirs.db"), done.stderr.count("\n")) == (2, 1, 1)
    with contextlib.closing(sqlite3.connect("theirs.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("somebody_elses",)]
    with LlmOperationCollector(db_url=f"sqlite:///{tmp_path}/calls.db") as collector:
        assert collector.prune(user_id="me").operations == 0


def test_the_command_asks_and_prints_a_receipt(tmp_path: Path) -> None:
    """Counts first, a question, then what went; without an answer nothing does."""
    with LlmOperationCollector(db_url="sqlite:///calls.db") as collector:
        filled(collector)
    counted = _run("calls.db", "--user-id", "me", "--dry-run")
    assert "Would delete from sqlite:" in counted.stdout
    assert ["operations", "3"] in [line.split() for line in counted.stdout.splitlines()]
    refused = _run("calls.db", "--user-id", "me", answer="n\n")
    assert (refused.exit_code, "Delete 3 operations for good?" in refused.stderr) == (1, True)
    done = _run("calls.db", "--user-id", "me", "--content-only", answer="y\n")
    assert (done.exit_code, ", the content only:" in done.stdout) == (0, True)
    done = _run("calls.db", "--older-than", "1d", "-w", "user_id=me", "--yes")
    assert ["operations", "3"] in [line.split() for line in done.stdout.splitlines()]
    assert "Not touched: copies, exports, archives and backups" in done.stdout
    found = json.loads(_run("calls.db", "--everything", "--yes", "--json").stdout)
    assert (found["operations"], found["payloads"]) == (3, 3)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("calls.db", "--yes"), "nothing says what is to go"),
        (("missing.db", "--user-id", "me"), "there is no database"),
        (("calls.db", "--older-than", "soon"), "an age is needed, such as 90d"),
        (("calls.db", "-w", "user=me"), "unknown filter 'user'"),
        (("calls.db", "--max-bytes", "much", "--yes"), "max_bytes='much'"),
        (("calls.db", "--max-bytes", "1MB", "--dry-run"), "no dry run"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: tuple[str, ...], complaint: str) -> None:
    """One line, exit code 2, and nothing went."""
    with LlmOperationCollector(db_url="sqlite:///calls.db") as collector:
        filled(collector)
    done = _run(*arguments, answer="y\n")
    assert (done.exit_code, complaint in done.stderr) == (2, True), done.output
    assert LlmOperationCollector.polars_from_db("sqlite:///calls.db").height == 6
