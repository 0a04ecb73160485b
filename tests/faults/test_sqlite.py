"""This module is where a SQLite file is locked by others, moved, replaced and spoilt while records go into it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from aicore_obs import LlmOperationCollector
from aicore_obs.stores.sql.engines import BUSY_TIMEOUT_S
from tests.faults.law import assert_nothing_lost, wait_until
from tests.faults.places import Place, assert_exactly_once, assert_once_among

Opens = Callable[..., LlmOperationCollector]
CALL: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x" * 200}]}
FLUSH_S = 90.0
ROOT = Path(__file__).parents[2]
GARBAGE = b"important letters of somebody else\n" * 500

LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read(1)
connection.execute("ROLLBACK")
"""


@pytest.fixture
def database(tmp_path: Path) -> Place:
    """An empty SQLite store."""
    return Place.file("sqlite", tmp_path)


@contextmanager
def locked_by_another_process(place: Place) -> Iterator[None]:
    """Hold the file's write lock in another process."""
    child = subprocess.Popen(
        [sys.executable, "-c", LOCKER, place.target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "locked\n"
    try:
        yield
    finally:
        child.communicate("x", timeout=120)


def record(collector: LlmOperationCollector, count: int) -> list[str]:
    """Record ``count`` operations and return their ids."""
    return [str(collector.record_completion(CALL)) for _ in range(count)]


def says_pending(collector: LlmOperationCollector, count: int) -> None:
    """A flush is False while the store takes nothing; nothing is given up."""
    result = collector.flush(timeout_s=0.3)
    assert not result
    assert (result.pending, result.dead_lettered, result.dropped) == (count, 0, 0)


@pytest.mark.parametrize("write_timeout_s", [60.0, 0.5], ids=["patient", "giving up"])
def test_a_lock_longer_than_the_busy_timeout(write_timeout_s: float, database: Place, open_collector: Opens) -> None:
    """Another process holds the file past SQLite's busy timeout, and past the write's own: all is stored in the end."""
    collector = open_collector(**database.arguments, write_timeout_s=write_timeout_s)
    ids = record(collector, 20)
    assert collector.flush(FLUSH_S)
    (name,) = collector.stats().sinks
    with locked_by_another_process(database):
        ids += record(collector, 20)
        says_pending(collector, 20)
        wait_until(lambda: collector.stats().sinks[name].last_error, timeout_s=3 * BUSY_TIMEOUT_S)
        assert "locked" in str(collector.stats().sinks[name].last_error) or write_timeout_s < BUSY_TIMEOUT_S
        ids += record(collector, 20)
    assert collector.flush(FLUSH_S)
    assert_nothing_lost(collector.stats())
    assert assert_exactly_once(database, ids) == 60


@pytest.mark.parametrize("suffixes", [("", "-wal", "-shm"), ("",)], ids=["whole", "alone"])
def test_a_file_that_is_moved_under_way(
    suffixes: tuple[str, ...], database: Place, tmp_path: Path, open_collector: Opens
) -> None:
    """Somebody moves the file, with or without what SQLite keeps beside it: the two files have every record once."""
    collector = open_collector(**database.arguments)
    moved = Place("sqlite", str(tmp_path / "moved.db"))
    ids = record(collector, 50)
    assert collector.flush(FLUSH_S)
    ids += record(collector, 50)
    for suffix in suffixes:
        if os.path.exists(database.target + suffix):
            os.rename(database.target + suffix, moved.target + suffix)
    ids += record(collector, 50)
    assert collector.flush(FLUSH_S)
    assert_nothing_lost(collector.stats())
    assert collector.close()
    both = moved.stored_ids() + database.stored_ids()
    assert set(ids[-50:]) <= set(database.stored_ids())
    assert assert_once_among(both, ids, store="sqlite") == 150


@pytest.mark.parametrize("how", ["replaced", "overwritten"])
def test_a_file_that_becomes_garbage_under_way(how: str, database: Place, open_collector: Opens) -> None:
    """Nothing is written into what is no database; what was not stored yet waits until the file is out of the way."""
    collector = open_collector(**database.arguments)
    gone = record(collector, 20)
    assert collector.flush(FLUSH_S)
    path = Path(database.target)
    if how == "replaced":
        path.with_suffix(".new").write_bytes(GARBAGE)
        os.replace(path.with_suffix(".new"), path)
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.write(GARBAGE)
            file.truncate()
    ids = record(collector, 20)
    says_pending(collector, 20)
    assert path.read_bytes() == GARBAGE
    os.rename(path, path.with_suffix(".garbage"))
    assert collector.flush(FLUSH_S)
    assert_nothing_lost(collector.stats())
    # What was in the file before went with it.
    assert not set(gone) & set(database.stored_ids())
    assert assert_exactly_once(database, ids) == 20


FORKING = """
import os, sys, signal
from aicore_obs import LlmOperationCollector

def record(collector, who):
    print(*[collector.record_completion({"model": who}) for _ in range(20)], sep="\\n", flush=True)
    assert collector.flush(20), collector.stats()

collector = LlmOperationCollector(db_url=sys.argv[1])
record(collector, "parent")
told, tell = os.pipe()
if os.fork() == 0:
    record(collector, "child")
    os.read(told, 1)
    record(collector, "child alone")
    os.kill(os.getpid(), signal.SIGKILL)
collector.close()
os.write(tell, b"x")
os.wait()
"""


def test_a_worker_outlives_its_parent(database: Place) -> None:
    """A process that has used the file forks and closes; what its child stores after that is in the file for good.

    SQLite forgets in a child that it holds no lock; whoever closes last then deletes the log that the child writes.
    """
    url = database.arguments["db_url"]
    done = subprocess.run(
        [sys.executable, "-c", FORKING, url], capture_output=True, text=True, timeout=200, check=True, cwd=ROOT
    )
    assert assert_exactly_once(database, done.stdout.split(), kills=1) == 60


def test_a_table_that_is_dropped_under_way(database: Place, open_collector: Opens) -> None:
    """Somebody drops a table: the records wait, and arrive when it is back."""
    collector = open_collector(**database.arguments)
    record(collector, 5)
    assert collector.flush(FLUSH_S)
    with closing(sqlite3.connect(database.target)) as connection, connection:
        connection.execute("ALTER TABLE aicore_obs_operations RENAME TO elsewhere")
    ids = record(collector, 20)
    says_pending(collector, 20)
    with closing(sqlite3.connect(database.target)) as connection, connection:
        connection.execute("ALTER TABLE elsewhere RENAME TO aicore_obs_operations")
    assert collector.flush(FLUSH_S)
    assert_nothing_lost(collector.stats())
    assert assert_exactly_once(database, ids) == 25
