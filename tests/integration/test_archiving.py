"""This module is where archiving is tested as users do it: collector, command, journals, reports, a file's replay."""

from __future__ import annotations

import json
import os
import shutil
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from aicore_obs import LlmOperationCollector, archive, reports, scan
from aicore_obs.cli.app import app
from aicore_obs.errors import ConfigurationError
from aicore_obs.stores.archive import files
from aicore_obs.stores.archive.manifest import read
from tests import records

OLD = records.WHEN - timedelta(days=100)


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))


def filled() -> None:
    """Three months of one operation, which this process has accepted and perhaps not yet delivered."""
    with LlmOperationCollector(db_url="sqlite:///calls.db") as collector:
        for month in (1, 2, 3):
            usage = {"prompt_tokens": 1_000 * month, "completion_tokens": 100}
            response = {"model": "gpt-4o-mini", "usage": usage}
            when = f"2026-0{month}-15T12:00:00Z"
            collector.record_completion({"model": "gpt-4o-mini"}, provider="openai", response=response, timestamp=when)


def test_the_command_prints_a_receipt_and_reports_read_both(tmp_path: Path) -> None:
    """Counts, the archive's place, the size; and `cost` says the same as before."""
    filled()
    before = _run("cost", "calls.db", "--by", "month", "--json").stdout
    done = _run("archive", "calls.db", "--before", "2026-03-01", "--to", "old")
    assert done.exit_code == 0, done.stderr
    assert (
        f"2 operations in 2 files, {size_of(tmp_path / 'old')}, read back and the same: {tmp_path}/old" in done.stdout
    )
    assert "2 operations left the store." in done.stdout
    assert _run("cost", "calls.db", "--by", "month", "--archive", "old", "--json").stdout == before
    assert len(json.loads(_run("cost", "calls.db", "--by", "month", "--json").stdout)) == 1
    again = json.loads(_run("archive", "calls.db", "--before", "2026-03-01", "--to", "old", "--json").stdout)
    assert (again["operations"], again["deleted"], again["before"]) == (0, 0, "2026-03-01T00:00:00Z")
    pruned = _run("prune", "calls.db", "--everything", "--yes")
    assert f"Not touched: the archive {tmp_path}/old\n" in pruned.stdout


def size_of(folder: Path) -> str:
    """The size of the files of an archive, as the command says it."""
    from aicore_obs.cli import screen

    return screen.size(sum(path.stat().st_size for path in folder.glob("month=*/*.parquet")))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("calls.db", "--before", "soon", "--to", "old"), "before='soon'"),
        (("nowhere.db", "--before", "1d", "--to", "old"), "there is no database"),
        (("nowhere.jsonl", "--before", "1d", "--to", "old"), "there is no file"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: tuple[str, ...], complaint: str) -> None:
    """In one line, with 2; and nothing is made where there was no store."""
    filled()
    answer = _run("archive", *arguments)
    assert (answer.exit_code, complaint in answer.stderr) == (2, True)
    assert not list(Path("old").glob("*.json"))
    assert arguments[0] == "calls.db" or not Path("old").exists()


def test_every_report_reads_both() -> None:
    """As of the store before; a frame has no archive of its own."""
    filled()
    names = ("cost", "unpriced", "latency", "errors", "usage", "sessions", "top")
    before = [getattr(reports, name)("calls.db") for name in names]
    archive("calls.db", before="2026-03-01", to="old")
    for name, frame in zip(names, before, strict=True):
        assert getattr(reports, name)("calls.db", archive="old").equals(frame), name
    assert reports.compare("calls.db", {"model": "gpt-4o-mini"}, {}, archive="old")["operations"].to_list()[:2] == [
        3,
        3,
    ]
    with pytest.raises(ConfigurationError, match=r"scan\(\) makes a frame of both"):
        reports.cost(pl.DataFrame({"cost_usd": []}), archive="old")


def test_a_journal_that_is_adopted_later_doubles_nothing(tmp_path: Path) -> None:
    """What a dead process has left comes into the store, is seen once, and leaves with the next run."""
    with LlmOperationCollector(db_url="sqlite:///calls.db", writer="external") as collector:
        for number in range(3):
            collector.record_completion({"model": "gpt-4o-mini"}, timestamp=f"2026-01-0{number + 1}")
    shutil.copytree("calls.db.journal", "kept")

    def adopted() -> pl.DataFrame:
        shutil.copytree("kept", "calls.db.journal", dirs_exist_ok=True)
        with LlmOperationCollector(db_url="sqlite:///calls.db") as collector:
            assert collector.flush()
            assert collector.stats().sinks[f"sqlite:{tmp_path}/calls.db"].adopted == 3
            return collector.polars_from_db()

    whole = adopted()
    assert archive("calls.db", before="2026-02-01", to="old").deleted == 3
    assert adopted().equals(whole)
    assert scan("calls.db", archive="old").collect().equals(whole)
    assert archive("calls.db", before="2026-02-01", to="old").deleted == 3
    assert scan("calls.db", archive="old").collect().equals(whole)
    assert scan("calls.db").collect().height == 0


def test_a_files_replay_looks_at_all_of_it(tmp_path: Path) -> None:
    """What was noted of a file before something left it says nothing about where a record lies now."""
    place = records.address("jsonl", tmp_path)
    gone = [records.operation(timestamp=OLD, completion_args={"text": "x" * 500}) for _ in range(3)]
    kept = records.operation()
    records.write(place, gone, [kept])
    length = (tmp_path / "store.jsonl").stat().st_size - 10
    archive(place, before=OLD + timedelta(days=1), to="old")
    more = [records.operation(completion_args={"text": "x" * 1_000}) for _ in range(3)]
    records.write(place, more)
    assert (tmp_path / "store.jsonl").stat().st_size > length
    records.with_sink(place, lambda sink: sink.write(records.batch([kept], noted=length)))
    assert records.kept_ids(place) == sorted(one.id for one in [kept, *more])


def test_files_are_for_the_owner_and_not_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modes are those of a store; many operations of one month go into several files, in order."""
    monkeypatch.setattr(files, "FILE_ROWS", 40)
    place = records.address("sqlite", tmp_path)
    found = [records.operation(timestamp=OLD + timedelta(seconds=number // 7), seq=number) for number in range(100)]
    records.write(place, found)
    receipt = archive(place, before=OLD + timedelta(days=1), to="old")
    assert [file.rows for file in read(tmp_path / "old").files] == [40, 40, 20]
    assert receipt.files == 3
    if os.name == "posix":
        modes = {stat.S_IMODE(path.stat().st_mode) for path in Path("old").rglob("*") if path.is_file()}
        assert modes == {0o600}
        assert {stat.S_IMODE(path.stat().st_mode) for path in (Path("old"), *Path("old").glob("month=*"))} == {0o700}

    def numbers(**filters: Any) -> list[int]:
        return scan(place, archive="old", columns=["seq"], **filters).collect()["seq"].to_list()

    assert numbers() == list(range(100))
    assert numbers(order="desc") == list(range(99, -1, -1))
    assert numbers(offset=38, limit=5) == [38, 39, 40, 41, 42]
