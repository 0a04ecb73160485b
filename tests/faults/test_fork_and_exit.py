"""This module is where programs end, fork and die around a collector, and nothing that was accepted goes with them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aicore_obs import LlmOperationCollector
from tests.faults import programs
from tests.faults.law import assert_nothing_lost
from tests.faults.places import Place, assert_exactly_once
from tests.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
# Start of an interpreter and the imports, on a busy machine.
START_S = 20.0
EXIT_S = 8.0


class Ended(msgspec.Struct, frozen=True):
    """What became of a program."""

    code: int
    ids: list[str]
    said: str
    seconds: float


def start(name: str, place: Place, **options: Any) -> subprocess.Popen[str]:
    """Start a program of ``programs``."""
    arguments = json.dumps({**place.arguments, **options})
    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-m", "tests.faults.programs", name, arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def run(name: str, place: Place, *, timeout_s: float = 90.0, **options: Any) -> Ended:
    """Run a program to its end."""
    started = time.monotonic()
    child = start(name, place, **options)
    try:
        output, said = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGABRT)
        output, said = child.communicate()
        pytest.fail(f"{name} hangs:\n{said}")
    assert "Traceback" not in said, said
    assert "Exception ignored" not in said, said
    return Ended(child.returncode, output.split(), said, time.monotonic() - started)


def deliver_the_rest(place: Place) -> None:
    """Start anew on the store, as the next process would."""
    with LlmOperationCollector(**place.arguments) as collector:
        flushed = collector.flush(80)
        assert flushed, flushed
        assert_nothing_lost(collector.stats())
    assert place.journal_files() == []


# -- exits ---------------------------------------------------------------------------------------------------------


def test_exit_without_close_delivers_everything(place: Place) -> None:
    """A program that never closes its collector ends soon, with its own code, and everything is stored."""
    ended = run("end_without_close", place)
    assert (ended.code, len(ended.ids)) == (0, programs.RECORDS)
    assert ended.seconds < START_S + EXIT_S
    assert assert_exactly_once(place, ended.ids) == programs.RECORDS
    assert place.journal_files() == []


@pytest.fixture
def file_place(tmp_path: Path) -> Place:
    """A SQLite file, where the kind of store makes no difference."""
    return Place.file("sqlite", tmp_path)


@pytest.mark.parametrize(
    ("program", "code", "records"),
    [
        ("end_with_an_exception", 3, 1),
        ("end_under_a_thread", 0, 2),
        ("end_and_record_at_exit", 0, 2),
        ("sys_exit_in_a_thread", 0, 1),
        ("loop_that_ends_at_once", 0, 2),
        ("loop_stopped_in_the_middle", 0, 2),
    ],
)
def test_every_way_to_end_keeps_every_record(program: str, code: int, records: int, file_place: Place) -> None:
    """However a program ends, whatever thread or loop it recorded from: all is accepted and stored, and it ends."""
    ended = run(program, file_place)
    assert (ended.code, len(ended.ids)) == (code, records * programs.RECORDS)
    assert ended.seconds < START_S + EXIT_S
    deliver_the_rest(file_place)
    assert_exactly_once(file_place, ended.ids)


def test_os_exit_leaves_records_to_the_next_start(place: Place) -> None:
    """``os._exit`` runs no exit handler; the next start finds the records in the journal."""
    ended = run("exit_at_once", place)
    assert (ended.code, len(ended.ids)) == (0, programs.RECORDS)
    assert place.journal_files()
    deliver_the_rest(place)
    assert assert_exactly_once(place, ended.ids) == programs.RECORDS


def test_exit_beside_a_dead_database_is_prompt(postgres_server: PostgresServer, postgres_url: str) -> None:
    """The program ends although its database is dead, says so, and the next start delivers."""
    place = Place("postgresql", postgres_url)
    postgres_server.stop(mode="immediate")
    try:
        ended = run("end_without_close", place)
    finally:
        postgres_server.start()
    assert (ended.code, len(ended.ids)) == (0, programs.RECORDS)
    assert ended.seconds < START_S + EXIT_S
    assert f"{programs.RECORDS} records pending" in ended.said
    deliver_the_rest(place)
    assert assert_exactly_once(place, ended.ids) == programs.RECORDS


def test_an_interrupt_in_the_middle_of_a_record_tears_nothing(file_place: Place) -> None:
    """A signal handler that raises anywhere inside ``record_*`` costs no record and no neighbour."""
    ended = run("interrupted_at_random", file_place)
    assert ended.code == 0
    assert "dead_lettered=0, dropped={}" in ended.said
    assert_exactly_once(file_place, ended.ids)


# -- forks ---------------------------------------------------------------------------------------------------------


def test_parent_and_child_both_record_after_a_fork(place: Place) -> None:
    """A forked child starts its own road, its end does not disturb the parent's, and every record is there once."""
    ended = run("fork_after_recording", place)
    assert (ended.code, len(ended.ids)) == (0, 3 * programs.RECORDS)
    deliver_the_rest(place)
    assert assert_exactly_once(place, ended.ids) == 3 * programs.RECORDS


@pytest.mark.parametrize(
    ("program", "records"),
    [("fork_before_recording", 3), ("fork_of_a_fork", 3), ("fork_into_threads", 1 + 5 * 4)],
)
def test_every_way_to_fork_keeps_every_record(program: str, records: int, file_place: Place) -> None:
    """Whenever a program forks, each process records for itself and nothing is lost or doubled."""
    ended = run(program, file_place)
    assert (ended.code, len(ended.ids)) == (0, records * programs.RECORDS)
    deliver_the_rest(file_place)
    assert_exactly_once(file_place, ended.ids)


def test_fork_beside_threads_that_append_never_hangs(file_place: Place) -> None:
    """A fork while other threads hold the journal's locks leaves the child none of them locked."""
    ended = run("fork_beside_recording_threads", file_place)
    assert ended.code == 0
    deliver_the_rest(file_place)
    assert_exactly_once(file_place, ended.ids)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_lose_nothing(method: str, file_place: Place) -> None:
    """Children that skip exit handlers deliver before they end, or leave their records to a neighbour."""
    ended = run("children_of_multiprocessing", file_place, method=method)
    assert (ended.code, len(ended.ids)) == (0, (1 + programs.WORKERS) * programs.RECORDS)
    deliver_the_rest(file_place)
    assert_exactly_once(file_place, ended.ids)


def test_workers_deliver_for_a_killed_parent(place: Place) -> None:
    """A pre-forking server is killed: a living worker delivers its records although all inherited its files."""
    child = start("prefork", place)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    ids = [child.stdout.readline().strip() for _ in range(1 + (1 + programs.WORKERS) * programs.RECORDS)]
    assert not set(place.stored_ids()) & set(ids[1 : 1 + programs.RECORDS])
    os.kill(child.pid, signal.SIGKILL)
    child.wait(90)
    child.stdin.write("f" * programs.WORKERS)
    child.stdin.flush()
    said = child.stderr.read()
    child.stdin.close()
    child.stdout.close()
    child.stderr.close()
    assert said.count("flushed True") == programs.WORKERS, said
    assert assert_exactly_once(place, ids) == len(ids)


def test_two_hundred_collectors_leave_no_thread_and_no_file(place: Place) -> None:
    """Opening and closing collectors leaks neither threads nor descriptors nor memory."""
    ended = run("two_hundred_collectors", place, timeout_s=100)
    assert (ended.code, len(ended.ids)) == (0, 400)
    assert_exactly_once(place, ended.ids)
