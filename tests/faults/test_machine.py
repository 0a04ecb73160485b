"""This module is where the machine fails a program: its disk, its clock, its signals; and where everything raises."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aicore_obs import LlmOperationCollector
from tests.faults import programs
from tests.faults.law import assert_nothing_lost
from tests.faults.places import Place, assert_exactly_once
from tests.faults.seccomp import can_refuse

ROOT = Path(__file__).parents[2]
FILES = ["sqlite", "json", "jsonl"]
# A file system of its own that only this program sees; the program's arguments follow.
OWN_DISK = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
DISK_BYTES = 20_000_000


@pytest.fixture(params=FILES)
def file_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty store of each kind of file."""
    return Place.file(request.param, tmp_path)


def command(name: str, place: Place, **options: Any) -> list[str]:
    """Return the command that runs a program."""
    return [sys.executable, "-m", "tests.faults.machine_programs", name, json.dumps({**place.arguments, **options})]


def run(name: str, place: Place, *, wrapped: list[str] | None = None) -> tuple[list[str], dict[str, Any]]:
    """Run a program to its end; return the ids that it was given and its numbers."""
    done = subprocess.run(
        wrapped or command(name, place), capture_output=True, text=True, cwd=ROOT, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), json.loads(done.stderr[done.stderr.rindex('{"refused"') :])


def deliver_the_rest(place: Place) -> None:
    """Start anew on the store, on a machine that is well."""
    with LlmOperationCollector(**place.arguments) as collector:
        assert collector.flush(80), collector.stats()
        assert_nothing_lost(collector.stats())


@pytest.mark.skipif(not can_refuse(), reason="no filter for the system calls of this machine")
def test_a_disk_that_fails_to_sync(file_place: Place) -> None:
    """durability="disk" and fsync says EIO: records are accepted, none is called stored, and the next start has all."""
    ids, numbers = run("disk_that_does_not_sync", file_place)
    assert (len(ids), numbers["pending"], numbers["dead_lettered"]) == (20, 10, 0)
    deliver_the_rest(file_place)
    assert assert_exactly_once(file_place, ids) == 20


def test_a_disk_that_is_full_and_has_room_again(file_place: Place) -> None:
    """A tmpfs of its own is filled to the last byte under journal and store: what was accepted is stored in the end."""
    folder = Path(file_place.target).parent
    kept = folder.parent / f"{folder.name}-kept"
    kept.mkdir()
    program = command("disk_that_is_full_for_a_while", file_place)
    mount = f'mount -t tmpfs -o size={DISK_BYTES} none {folder} && cd {ROOT} && "$@" && cp -r {folder}/. {kept}'
    if subprocess.run([*OWN_DISK, f"mount -t tmpfs none {folder}"], check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a disk of its own")
    ids, numbers = run("", file_place, wrapped=[*OWN_DISK, mount, "sh", *program])
    assert sum(numbers["refused"].values()) > 0
    assert (numbers["pending"], numbers["dead_lettered"]) == (0, 0)
    assert assert_exactly_once(Place.file(file_place.kind, kept), ids) == len(ids) > 20


def test_files_that_may_not_grow_for_a_while(file_place: Place) -> None:
    """The limit of a file's size stops journal and store: what was accepted is stored when it is lifted."""
    ids, numbers = run("files_that_may_not_grow", file_place)
    assert (numbers["pending"], numbers["dead_lettered"]) == (0, 0)
    assert len(ids) == 80 - sum(numbers["refused"].values())
    assert assert_exactly_once(file_place, ids) == len(ids) > 20


def test_a_clock_that_jumps_back(place: Place) -> None:
    """Seconds and days, back and forth, under load: ids stay unique, nothing is lost."""
    ids, numbers = run("clock_that_jumps_back", place)
    assert len(ids) == len(set(ids)) == 1200
    assert (numbers["pending"], numbers["dead_lettered"]) == (0, 0)
    assert assert_exactly_once(place, ids) == 1200


@pytest.mark.parametrize(("name", "number"), [("terminated", signal.SIGTERM), ("terminated", signal.SIGHUP)])
def test_a_signal_that_nobody_handles(name: str, number: signal.Signals, place: Place) -> None:
    """The process is gone at once; the next start finds its records."""
    code, ids = signalled(name, number, place)
    assert code == -number
    deliver_the_rest(place)
    assert assert_exactly_once(place, ids, kills=1) == programs.RECORDS


def test_a_signal_that_ends_the_program_in_order(place: Place) -> None:
    """SystemExit out of a handler of SIGTERM: everything is stored before the program ends."""
    code, ids = signalled("terminated_in_order", signal.SIGTERM, place)
    assert code == 0
    assert assert_exactly_once(place, ids, kills=1) == programs.RECORDS
    assert place.journal_files() == []


def signalled(name: str, number: signal.Signals, place: Place) -> tuple[int, list[str]]:
    """Start a program, wait until it has recorded everything, send it a signal; return its code and the ids."""
    child = subprocess.Popen(command(name, place), stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdout is not None
    with child.stdout as output:
        ids = [output.readline().strip() for _ in range(programs.RECORDS)]
        os.kill(child.pid, number)
        assert output.read() == ""
    return child.wait(90), ids


def test_a_storm_of_exceptions(place: Place) -> None:
    """Values, processors, another sink and log handlers raise all the time: every calm record is stored."""
    ids, numbers = run("storm_of_exceptions", place)
    assert len(ids) == 300
    # Of 600 records for each of two sinks; the sick one has nothing.
    assert (numbers["pending"] + numbers["dead_lettered"], numbers["refused"]) == (900, {})
    assert assert_exactly_once(place, ids) == 300
