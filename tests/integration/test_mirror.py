"""This module is where a database's local mirror is used, damaged, fought over and killed half-way."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from filelock import FileLock
from polars.testing import assert_frame_equal

from aicore_obs import LlmOperationCollector, guard, prune, reports
from aicore_obs.addresses import address_of
from aicore_obs.errors import ConfigurationError, StoreNotFoundError
from aicore_obs.model.cost import Cost
from aicore_obs.model.record import ErrorInfo, Record
from aicore_obs.protocols import Address, StoreOptions
from aicore_obs.query.reader import read_frame
from aicore_obs.query.scan import scan
from aicore_obs.settings import mirror_directory
from aicore_obs.stores.mirror import mirror, parts
from aicore_obs.stores.mirror.folder import Folder
from aicore_obs.stores.mirror.source import MIRRORED, STORED
from aicore_obs.stores.sql.postgres_moment import PostgresSource
from aicore_obs.stores.sql.sqlite_moment import SqliteSource
from tests.databases import ROOT, Database
from tests.postgres import PostgresServer
from tests.records import batch, with_sink
from tests.stored import operation, record_id, revision, write_json, write_sqlite

SECRET = "what was said"
OPERATIONS = [
    operation(
        number,
        session_id=f"s{number % 3}",
        model=f"m{number % 2}",
        latency_ms=float(number),
        total_tokens=number,
        labels={"app": f"a{number % 2}"},
        tags=["t"] if number % 2 else [],
        extras={"step": number},
        completion_args={"messages": [{"role": "user", "content": SECRET}]},
        response={"text": SECRET},
        error=ErrorInfo(type="Timeout", message=SECRET) if number % 5 == 0 else None,
        cost=Cost(total=Decimal(number), model="m"),
    )
    for number in range(30)
]
RECORDS: list[Record] = [
    *OPERATIONS,
    revision(100, 3, Cost(total=Decimal(9), model="m")),
    revision(101, 4, Cost(reason="unknown")),
]


@pytest.fixture(scope="module")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with thirty operations, two of them costed again; to be copied."""
    path = tmp_path_factory.mktemp("stored") / "a.db"
    with_sink(address_of(f"sqlite:///{path}", StoreOptions()), lambda sink: sink.write(batch(RECORDS)))
    return path


@pytest.fixture(scope="module")
def postgres_template(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a PostgreSQL database with the same; to be copied."""
    url = postgres_server.create_database()
    with_sink(address_of(url, StoreOptions()), lambda sink: sink.write(batch(RECORDS)))
    yield url.rsplit("/", 1)[1]
    postgres_server.drop_database(url)


@pytest.fixture
def file(sqlite_file: Path, tmp_path: Path) -> Address:
    """A copy of the SQLite file."""
    return address_of(f"sqlite:///{shutil.copy(sqlite_file, tmp_path)}", StoreOptions())


@pytest.fixture
def schema(
    postgres_server: PostgresServer, postgres_template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Address]:
    """A copy of the PostgreSQL database."""
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    name = f"mirror_{uuid.uuid4().hex}"
    postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE {postgres_template}")
    yield address_of(postgres_server.url_of(name), StoreOptions())
    postgres_server.drop_database(postgres_server.url_of(name))


@pytest.fixture(params=["file", "schema"])
def address(request: pytest.FixtureRequest) -> Address:
    """A database of each kind."""
    found: Address = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of whatever database was asked itself for operations, each time."""
    seen: list[str] = []
    for source in (SqliteSource, PostgresSource):
        real = source.batches

        def batches(self: Any, *given: Any, real: Any = real, **more: Any) -> Any:
            seen.append(type(self).__name__)
            return real(self, *given, **more)

        monkeypatch.setattr(source, "batches", batches)
    return seen


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """What was logged; nothing was said before."""
    monkeypatch.setattr(mirror, "log_window", guard.LogWindow())
    return lambda: caplog.text


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a few rows, so that there are several."""
    monkeypatch.setattr(parts, "PART_ROWS", 5)
    monkeypatch.setattr(parts, "LAST_ROWS", 2)


def folder_of(address: Address) -> Path:
    return mirror_directory(address)


def parts_of(address: Address) -> list[Path]:
    return sorted(folder_of(address).glob("*.parquet"))


def compare(address: Address) -> None:
    """Compare everything that the mirror has with what the database has."""
    found = scan(address, {}, mirror=True).select(MIRRORED).collect()
    assert_frame_equal(found, read_frame(address, {"columns": MIRRORED}))


FROM_MIRROR: list[dict[str, Any]] = [
    {},
    {"order": "desc"},
    {"columns": ["labels", "extras", "tags", "cost_usd", "cost_reason", "priced_model"]},
    {"session_id": ["s1", "s2"], "model": "m1"},
    {"start_date": "2026-01-01T00:00:03Z", "end_date": "2026-01-01T00:00:20Z"},
    {"tags": ["t"], "min_latency": 4, "max_tokens": 20},
    {"labels": {"app": "a1"}, "order": "desc"},
    {"provider": "nobody"},
]
FROM_DATABASE: list[dict[str, Any]] = [
    {"limit": 3},
    {"offset": 3},
    {"operation_id": OPERATIONS[2].id},
    {"min_cost": 5},
    {"max_cost": "1e40"},
    {"flagged_for": "x"},
    {"scored": "x"},
    {"min_score": {"x": 1}},
    {"cost_as_of": "2020-01-01"},
    {"labels": {"no such": "a"}},
    {"session_id": "\ud800"},
    {"min_tokens": 2**70},
]


@pytest.mark.parametrize("is_mirrored", [True, False])
def test_filters(address: Address, asked: list[str], is_mirrored: bool) -> None:
    """Every filter gives what the database gives; some are the database's business."""
    for filters in FROM_MIRROR if is_mirrored else FROM_DATABASE:
        asked.clear()
        filters = {"columns": MIRRORED, **filters}
        assert_frame_equal(scan(address, filters, mirror=True).collect(), read_frame(address, filters))
        assert bool(asked) != is_mirrored, filters


@pytest.mark.parametrize(
    "step",
    [
        lambda lazy: lazy.filter(pl.col("latency_ms") > 10).select("operation_id"),
        lambda lazy: lazy.filter(pl.col("labels").struct.field("app") == "a1", pl.col("total_tokens") < 20),
        lambda lazy: lazy.filter(pl.col("extras").struct.field("step") > 4).select("cost_usd"),
        lambda lazy: lazy.filter(pl.col("cost_usd") >= Decimal(9), pl.col("model").str.starts_with("m")),
        lambda lazy: lazy.filter(pl.col("latency_ms") > 10).head(4),
        lambda lazy: lazy.sort("latency_ms", descending=True).head(3),
        lambda lazy: lazy.tail(3),
        lambda lazy: lazy.select(pl.len()),
        lambda lazy: lazy.group_by("session_id").agg(pl.col("latency_ms").sum()).sort("session_id"),
        lambda lazy: lazy.with_columns(twice=pl.col("latency_ms") * 2).select("twice"),
    ],
)
@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_steps_on_top(file: Address, asked: list[str], small_parts: None, step: Any, engine: Any) -> None:
    """Filters, projections and sums over a lazy frame give what they give over an eager one, out of the mirror."""
    columns = {"columns": MIRRORED}
    found = step(scan(file, columns, mirror=True)).collect(engine=engine)
    assert_frame_equal(found, step(read_frame(file, columns).lazy()).collect())
    assert asked == []


def test_content_is_read_from_the_database(address: Address, asked: list[str]) -> None:
    """The whole frame is the same, and nothing that was said is in the mirror."""
    assert_frame_equal(scan(address, {}, mirror=True).collect(), read_frame(address, {}))
    assert len(asked) == 1
    compare(address)
    kept = pl.read_parquet(parts_of(address))
    assert kept.columns == list(STORED)
    assert kept["error_type"].count() == 6
    assert not any(SECRET in str(row) for row in kept.rows())


def test_nobody_else_may_read_it(file: Address) -> None:
    """The folder and its files are their owner's."""
    compare(file)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder_of(file).iterdir()}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3
    assert stat.S_IMODE(folder_of(file).stat().st_mode) == 0o700


def test_a_second_look_writes_nothing(address: Address) -> None:
    """Where nothing came, the parts stay as they are."""
    compare(address)
    before = {path: path.stat().st_mtime_ns for path in folder_of(address).iterdir()}
    compare(address)
    after = {path: path.stat().st_mtime_ns for path in folder_of(address).iterdir()}
    assert {path.name for path in before} == {path.name for path in after}
    assert [before[path] for path in parts_of(address)] == [after[path] for path in parts_of(address)]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def _swap(path: Path) -> None:
    others = [one for one in path.parent.iterdir() if one.suffix == path.suffix and one != path]
    path.write_bytes(others[0].read_bytes() if others else b"")


def _fill(path: Path) -> None:
    path.write_bytes(b"garbage")


DAMAGES = [_cut, _flip, _swap, _fill, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("which", ["*.parquet", "parts.json"])
def test_a_damaged_mirror_is_made_anew(
    file: Address, asked: list[str], small_parts: None, damage: Callable[[Path], None], which: str
) -> None:
    """A file that is not what was written is never read; the mirror is written again, and answers."""
    compare(file)
    before = parts_of(file)
    damage(sorted(folder_of(file).glob(which))[0])
    compare(file)
    assert asked == []
    assert set(before).isdisjoint(parts_of(file))
    assert len(parts_of(file)) == len(before)


def test_the_mirror_of_another_file(file: Address, tmp_path: Path) -> None:
    """A mirror that was brought along from elsewhere has nothing to do with this file, nor has one of a file before."""
    other = write_sqlite(tmp_path / "b.db", [*OPERATIONS[1:], operation(99)])
    compare(other)
    shutil.copytree(folder_of(other), folder_of(file))
    compare(file)
    assert file.path is not None
    assert other.path is not None
    shutil.copy(other.path, tmp_path / "c.db")
    (tmp_path / "c.db").replace(file.path)
    compare(file)


def test_rows_that_were_put_in_again(tmp_path: Path) -> None:
    """Rows of the same ids that say something else are told from those that were there."""
    file = write_sqlite(tmp_path / "a.db", OPERATIONS)
    compare(file)
    write_sqlite(tmp_path / "a.db", [msgspec.structs.replace(one, session_id="other") for one in OPERATIONS])
    compare(file)


def test_a_mirror_that_would_be_too_large(
    address: Address, asked: list[str], said: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left alone, said once, and tried again when it may be larger."""
    monkeypatch.setenv("AICORE_OBS_MIRROR_MAX_BYTES", "1kb")
    compare(address)
    assert "would take more than 1,000 bytes" in said()
    written: list[Any] = []
    write = Folder.write
    monkeypatch.setattr(Folder, "write", lambda *given: written.append(given) or write(*given))
    compare(address)
    assert (len(asked), written, parts_of(address)) == (2, [], [])
    monkeypatch.setenv("AICORE_OBS_MIRROR_MAX_BYTES", "1mb")
    compare(address)
    assert (len(asked), len(written)) == (2, 1)


def test_a_folder_that_cannot_be_made(address: Address, asked: list[str], said: Callable[[], str]) -> None:
    """The database is read, and it is said why."""
    folder_of(address).parent.mkdir(exist_ok=True)
    folder_of(address).write_text("a file")
    compare(address)
    assert len(asked) == 1
    assert f"is read without its mirror {folder_of(address)}" in said()


def test_a_full_disk(address: Address, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails while it is written: the database is read, and the next reader begins again."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", _full)
        compare(address)
    assert len(asked) == 1
    compare(address)
    assert len(asked) == 1


def _full(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_while_somebody_else_writes_it(
    address: Address, asked: list[str], said: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirror that is equal is read all the same; else the database answers, after a short wait."""
    monkeypatch.setattr(mirror, "WAIT_S", 0.01)
    compare(address)
    with FileLock(folder_of(address) / "lock"):
        compare(address)
        assert asked == []
        prune(store=address, session_id="s1")
        compare(address)
    assert len(asked) == 1
    assert "another process is writing it" in said()
    compare(address)
    assert len(asked) == 1


def test_reading_goes_on_while_parts_are_replaced(file: Address, small_parts: None) -> None:
    """Who has begun to read gets what was there at the beginning."""
    direct = read_frame(file, {"columns": MIRRORED})
    reader = SqliteSource(file)
    kept = mirror.Mirror(file, reader, folder_of(file), max_bytes=2**20, file_mode=0o600)
    frames = kept.frames(MIRRORED, [])
    assert frames is not None
    first = next(frames)
    prune(store=file, everything=True)
    assert parts_of(file) == []
    assert_frame_equal(pl.concat([first, *frames]), direct)


def test_what_is_deleted_leaves_the_mirror(address: Address) -> None:
    """After a deletion the mirror has nothing of it, read or not; one that cannot be reached is named."""
    compare(address)
    receipt = prune(store=address, session_id="s1")
    assert receipt.operations == 10
    assert "mirror" not in str(receipt.notes)
    assert pl.read_parquet(parts_of(address))["session_id"].unique().sort().to_list() == ["s0", "s2"]
    with FileLock(folder_of(address) / "lock"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirror, "WAIT_S", 0.01)
        patch.setattr(Folder, "remove", lambda _: False)
        assert f"{folder_of(address)} may still have" in str(prune(store=address, session_id="s2").notes)
    compare(address)


def test_reports_come_out_of_the_mirror(address: Address, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of a lazy frame, or of the store under the setting, is what it is without."""
    lazy = scan(address, {}, mirror=True)
    direct = reports.cost(address, by=["model", "labels.app"])
    assert_frame_equal(reports.cost(lazy, by=["model", "labels.app"]), direct)
    assert asked == []
    latency, errors = reports.latency(address, by="session_id"), reports.errors(address)
    monkeypatch.setenv("AICORE_OBS_MIRROR", "1")
    assert_frame_equal(reports.latency(address, by="session_id"), latency)
    assert asked == []
    # It shows a message, which the mirror does not have.
    assert_frame_equal(reports.errors(address), errors)
    assert len(asked) == 1


def test_a_collector_reads_its_own_writes(tmp_path: Path, asked: list[str]) -> None:
    """What was recorded just now is in the frame; before the first record it is empty."""
    with LlmOperationCollector(db_url=f"sqlite:///{tmp_path}/a.db") as collector:
        lazy = collector.scan_db(mirror=True).select("operation_id")
        assert lazy.collect().height == 0
        for expected in (1, 2):
            collector.record_completion({"model": "m"}, provider="openai", response={"text": "a"})
            assert lazy.collect().height == expected
    assert asked == ["SqliteSource"]


def test_the_setting(file: Address, tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment says it for databases; what is said in code counts more."""
    monkeypatch.setenv("AICORE_OBS_MIRROR", "1")
    url = f"sqlite:///{file.path}"
    assert LlmOperationCollector.scan_db(url).select("model").collect().height == 30
    assert (asked, folder_of(file).is_dir()) == ([], True)
    shutil.rmtree(folder_of(file))
    assert LlmOperationCollector.scan_db(url, mirror=False).select("model").collect().height == 30
    assert not folder_of(file).exists()
    json = write_json(tmp_path / "a.json", OPERATIONS)
    assert scan(json, {}).select("model").collect().height == 30
    with pytest.raises(ConfigurationError, match="only SQLite and PostgreSQL have a mirror"):
        scan(json, {}, mirror=True)
    with pytest.raises(ConfigurationError, match="mirror='yes': it is True or False"):
        LlmOperationCollector.scan_db(url, mirror="yes")  # type: ignore[arg-type]


def test_reading_makes_no_database(tmp_path: Path, file: Address) -> None:
    """Neither a database nor a mirror comes from reading one that is not there, or is there no more."""
    missing = address_of(f"sqlite:///{tmp_path}/no.db", StoreOptions())
    with pytest.raises(StoreNotFoundError):
        scan(missing, {}, mirror=True)
    lazy = scan(file, {}, mirror=True).select("model")
    assert file.path is not None
    file.path.unlink()
    with pytest.raises(StoreNotFoundError):
        lazy.collect()
    assert not list(tmp_path.glob("no.db*"))
    assert not folder_of(file).exists()


def test_a_schema_of_an_older_version(tmp_path: Path) -> None:
    """A file without costs has a mirror; when it gets them, the mirror is another one."""
    database = Database(str(tmp_path / "a.db"))
    database.ensure(program=1)
    database.execute(*(f"INSERT INTO aicore_obs_operations (id, timestamp) VALUES ('{n}', {n})" for n in range(9)))
    old = address_of(f"sqlite:///{tmp_path}/a.db", StoreOptions())
    compare(old)
    before = parts_of(old)
    database.ensure()
    compare(old)
    assert before != parts_of(old)


def test_rows_that_no_mirror_can_keep(file: Address, asked: list[str], said: Callable[[], str]) -> None:
    """A row with text for its time, as SQLite lets anybody write it, is the database's business."""
    assert file.path is not None
    with closing(sqlite3.connect(file.path)) as connection, connection:
        connection.execute("INSERT INTO aicore_obs_operations (id, timestamp) VALUES ('x', 'yesterday')")
    compare(file)
    assert len(asked) == 1
    assert "without a time or an id" in said()


READER = """
import sys
from aicore_obs.addresses import address_of
from aicore_obs.protocols import StoreOptions
from aicore_obs.query.reader import read_frame
from aicore_obs.query.scan import scan

address, columns = address_of(sys.argv[1], StoreOptions()), {"columns": ["operation_id", "model"]}
print("ready", flush=True)
while sys.stdin.readline() == "go on\\n":
    before = read_frame(address, columns)
    found = scan(address, columns, mirror=True).collect()
    after = read_frame(address, columns)
    # No less than was there before, and no more than is there after.
    assert before.join(found, on=before.columns, how="anti").is_empty()
    assert found.join(after, on=before.columns, how="anti").is_empty()
    assert found["operation_id"].is_unique().all()
    print(found.height, flush=True)
"""


def child(program: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a program; it has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_processes_at_once(address: Address) -> None:
    """Another process and this one bring the mirror up to date while this one writes; each gets what is stored."""
    target = address.url or f"sqlite:///{address.path}"
    database = Database(target if address.url else str(address.path))
    table, rounds = database.name("operations"), 3
    when = "TIMESTAMPTZ '2026-01-01'" if address.url else "1767225600000000"
    other = child(READER, target)
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        for number in range(rounds):
            other.stdin.write("go on\n")
            other.stdin.flush()
            record = record_id(500 - number)
            database.execute(f"INSERT INTO {table} (id, timestamp, model) VALUES ('{record}', {when}, 'x')")
            compare(address)
            assert int(other.stdout.readline()) in (30 + number, 31 + number)
    finally:
        other.communicate("stop\n", timeout=60)
    assert other.returncode == 0
    assert read_frame(address, {}).height == 30 + rounds


KILLED = """
import sys, time
from aicore_obs.addresses import address_of
from aicore_obs.protocols import StoreOptions
from aicore_obs.query.scan import scan
from aicore_obs.stores.mirror import parts
from aicore_obs.stores.mirror.folder import Folder
parts.PART_ROWS = 5
step, left = sys.argv[2], int(sys.argv[3])
real = getattr(Folder, step)
def stops(*given):
    global left
    if left == 0:
        print("ready", flush=True)
        sys.stdin.readline()
    left -= 1
    return real(*given)
setattr(Folder, step, stops)
scan(address_of(sys.argv[1], StoreOptions()), {}, mirror=True).select("model").collect()
"""


@pytest.mark.parametrize(("step", "times"), [("put_on_list", 0), ("sweep", 0)])
def test_killed_half_way(file: Address, asked: list[str], small_parts: None, step: str, times: int) -> None:
    """``kill -9`` while the mirror is brought up to date leaves nothing wrong, and nothing in the way."""
    compare(file)
    prune(store=file, session_id="s1", content_only=True)
    database = Database(str(file.path))
    database.execute("DELETE FROM aicore_obs_operations WHERE session_id = 's1'")
    process = child(KILLED, f"sqlite:///{file.path}", step, str(times))
    process.kill()
    process.communicate()
    compare(file)
    assert asked == []
    listed = Folder(folder_of(file), file_mode=0o600).listed()
    assert listed is not None
    assert sorted(part.name for part in listed.parts) == [path.name for path in parts_of(file)]
