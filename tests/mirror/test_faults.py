"""This module is where a mirror is damaged, in the way of others, fought over and killed half-way."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from filelock import FileLock
from polars.testing import assert_frame_equal

from aicore_obs import prune
from aicore_obs.addresses import address_of
from aicore_obs.protocols import Address, StoreOptions
from aicore_obs.query.reader import read_frame
from aicore_obs.stores.mirror import mirror
from aicore_obs.stores.mirror.folder import Folder
from aicore_obs.stores.mirror.source import MIRRORED
from aicore_obs.stores.sql.sqlite_moment import SqliteSource
from tests.databases import ROOT, Database
from tests.mirrors import OPERATIONS, compare, folder_of, parts_of
from tests.postgres import PostgresServer
from tests.stored import operation, record_id, write_sqlite


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


def test_a_mirror_of_another_program(file: Address, asked: list[str]) -> None:
    """What another version wrote in its own way is written anew, whatever it says."""
    compare(file)
    folder = Folder(folder_of(file), file_mode=0o600)
    listed = folder.listed()
    assert listed is not None
    folder.put_on_list(msgspec.structs.replace(listed, layout="0", mark="another way"))
    before = parts_of(file)
    compare(file)
    assert asked == []
    assert before != parts_of(file)


def test_what_did_not_change_is_not_written_again(address: Address, small_parts: None) -> None:
    """A deletion, a revision and a late record change the parts of their times and no other."""
    compare(address)
    database = Database(address.url or str(address.path))
    operations, revisions = database.name("operations"), database.name("cost_revisions")
    gone, costed, late = OPERATIONS[2].id, OPERATIONS[17].id, record_id(900)
    before = set(parts_of(address))
    database.execute(f"DELETE FROM {operations} WHERE id = '{gone}'")
    compare(address)
    left = set(parts_of(address))
    assert len(before - left) == 1
    database.execute(
        f"INSERT INTO {revisions} (operation_id, record_id, timestamp) "
        f"SELECT id, '{late}', timestamp FROM {operations} WHERE id = '{costed}'"
    )
    compare(address)
    assert len(left - set(parts_of(address))) == 1
    left = set(parts_of(address))
    database.execute(
        f"INSERT INTO {operations} (id, timestamp) SELECT '{late}', timestamp FROM {operations} WHERE id = '{costed}'"
    )
    compare(address)
    assert len(left - set(parts_of(address))) == 1


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


def test_rows_that_no_mirror_can_keep(file: Address, asked: list[str], said: Callable[[], str]) -> None:
    """A row with text for its time, as SQLite lets anybody write it, is the database's business."""
    assert file.path is not None
    with closing(sqlite3.connect(file.path)) as connection, connection:
        connection.execute("INSERT INTO aicore_obs_operations (id, timestamp) VALUES ('x', 'yesterday')")
    compare(file)
    assert len(asked) == 1
    assert "without a time or an id" in said()


def test_a_server_that_does_not_say_which_one_it_is(
    schema: Address, postgres_server: PostgresServer, asked: list[str], said: Callable[[], str]
) -> None:
    """Where nobody can tell one server from another, there is no mirror."""
    database = str(schema.url).rsplit("/", 1)[1]
    role = f"reader_{database}"
    postgres_server.execute(
        f"REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC; CREATE ROLE {role} LOGIN PASSWORD 'x';"
        f"GRANT USAGE ON SCHEMA aicore_obs TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA aicore_obs TO {role}",
        database=database,
    )
    compare(address_of(postgres_server.url_of(database, user=role, password="x"), StoreOptions()))
    assert len(asked) == 1
    assert "may not ask the server which one it is" in said()


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
