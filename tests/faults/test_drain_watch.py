"""This module is where processes only append and `aicore-obs drain --watch` delivers, while both are killed."""

from __future__ import annotations

import fcntl
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from aicore_obs.pipeline.owners import owner_folders
from tests.faults import programs, tally
from tests.faults.drains import drains_of, ids_of, ids_until, nothing_waits, worker
from tests.faults.law import wait_until
from tests.faults.places import Place, assert_exactly_once
from tests.postgres import PostgresServer

WAIT_S = 90.0
MOST_IDS = 1500
KINDS = ("sqlite", "jsonl", "postgresql")


@pytest.fixture(params=KINDS)
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A new, empty store of each kind that drains are killed over."""
    if request.param == "postgresql":
        return Place("postgresql", request.getfixturevalue("postgres_url"))
    return Place.file(request.param, tmp_path)


class Figures(NamedTuple):
    """What a drill has done. ``ids`` were accepted."""

    ids: list[str]
    drains_killed: int
    workers_killed: int


def test_drains_and_workers_are_killed(watched: Place, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Two drains by mistake, one is killed, workers are killed, the store is away: nothing lost, nothing twice."""
    drill(watched, tmp_path, request, rounds=1)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_drains_and_workers_are_killed_again_and_again(
    watched: Place, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same many times, at random moments."""
    figures = drill(watched, tmp_path, request, rounds=12)
    with capsys.disabled():
        print(
            f"\n{watched.kind}: {figures.drains_killed} drains and {figures.workers_killed} workers killed, "
            f"{len(figures.ids)} ids given out, 0 lost, 0 twice"
        )


def drill(place: Place, folder: Path, request: pytest.FixtureRequest, *, rounds: int) -> Figures:
    """Start, kill and stop everything for some rounds; in the end compare what was accepted with what is stored."""
    ids: list[str] = []
    killed = 0
    with drains_of(place, folder) as drains:
        for _ in range(2):
            drains.start()
        for _ in range(rounds):
            well, doomed = worker(place, "append_and_flush"), [worker(place) for _ in range(2)]
            ids += ids_until(doomed[0], random.randint(1, MOST_IDS))
            drains.kill(random.choice(drains.alive))
            with away(place, request):
                ids += ids_until(doomed[1], random.randint(1, MOST_IDS))
                drains.start()
            ids += ids_of(well)
            killed += len(doomed)
        wait_until(lambda: nothing_waits(place), WAIT_S)
        drains.end()
    assert_exactly_once(place, ids)
    assert place.missing_payloads() == 0
    assert place.journal_files() == []
    tally.count(place.kind, tried=len(ids), lost=0, twice=0, kills=killed + drains.started - 2)
    return Figures(ids, drains.started - 2, killed)


@contextmanager
def away(place: Place, request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the store be away for the block: the server is stopped, the file is locked by somebody else."""
    if place.kind == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        server.stop(mode="immediate")
        try:
            yield
        finally:
            server.start()
    elif place.kind == "sqlite":
        with closing(sqlite3.connect(place.target, timeout=200)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
    else:
        with Path(f"{place.target}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def test_a_second_drain_waits_and_takes_over(tmp_path: Path) -> None:
    """It says so, and delivers as soon as the first has ended, by a signal or not."""
    place = Place.file("jsonl", tmp_path)
    with drains_of(place, tmp_path) as drains:
        child = worker(place, "append_and_flush")
        first = drains.start()
        ids = ids_of(child)
        second = drains.start()
        waiting = worker(place)
        assert waiting.stdout is not None
        ids.append(waiting.stdout.readline().decode().strip())
        wait_until(lambda: second.has_said("waiting to take over"), WAIT_S)
        drains.alive.remove(first)
        first.end()
        wait_until(lambda: second.has_said("delivering"), WAIT_S)
        ids += ids_until(waiting, 10)
        wait_until(lambda: nothing_waits(place), WAIT_S)
        drains.end()
    assert_exactly_once(place, ids)


def test_forked_workers_append_and_are_served(tmp_path: Path) -> None:
    """Parent and children each have a folder of their own, and each one's flush is true about its own records."""
    place = Place.file("sqlite", tmp_path)
    with drains_of(place, tmp_path) as drains:
        drains.start()
        ids = ids_of(worker(place, "append_and_fork"))
        drains.end()
    assert assert_exactly_once(place, ids) == (1 + programs.WORKERS) * programs.RECORDS


def test_a_drain_that_is_told_to_end_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    """It ends with 0 in the middle of load; the living worker's journal stays, and the next drain goes on."""
    place = Place.file("jsonl", tmp_path)
    with drains_of(place, tmp_path) as drains:
        first, child = drains.start(), worker(place)
        assert child.stdout is not None
        ids = [child.stdout.readline().decode().strip()]
        wait_until(lambda: first.has_said("delivering") and place.stored_ids(), WAIT_S)
        drains.end()
        assert list(owner_folders(place.journal()))
        drains.start()
        ids += ids_until(child, MOST_IDS)
        wait_until(lambda: nothing_waits(place), WAIT_S)
        drains.end()
    assert_exactly_once(place, ids)
    assert place.journal_files() == []
