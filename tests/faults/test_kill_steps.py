"""This module is where processes are killed, and fork, at every step of the road, each at an exact line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aicore_obs.pipeline.dead_letters import DeadLetters
from tests.faults import tally
from tests.faults.fork_steps import CHILD_RECORDS
from tests.faults.law import assert_nothing_lost
from tests.faults.places import Place, assert_exactly_once
from tests.faults.steps import LIFE_S, STEPS, opened

ROOT = Path(__file__).parents[2]


def test_a_kill_at_any_step_loses_nothing(place: Place) -> None:
    """At two lines of each step of the road: every id that was given out is stored once, or a dead letter."""
    kill_at_steps(place, points=2, least=1)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_kill_at_every_line_loses_nothing(place: Place) -> None:
    """The same at 150 lines of each step: for most of them that is every line that one life has."""
    kill_at_steps(place, points=150, least=5)


@pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)
def test_a_fork_at_any_step_loses_nothing(place: Place) -> None:
    """While another thread is at a line of each step, with its locks: child and parent both go on, and close."""
    fork_at_steps(place, points=1)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_fork_at_many_lines_loses_nothing(place: Place) -> None:
    """The same at twelve lines of each step."""
    fork_at_steps(place, points=12)


def kill_at_steps(place: Place, *, points: int, least: int) -> None:
    """Let processes die at ``points`` lines of each step, one after the other on one store; then start anew."""
    kills, given = lives("steps", place, points)
    assert list(kills) == [step.name for step in STEPS if place.kind in step.kinds]
    assert min(kills.values()) >= least, kills
    assert_arrived(place, given, kills=sum(kills.values()))


def fork_at_steps(place: Place, *, points: int) -> None:
    """Let processes fork at ``points`` lines of each step."""
    forks, given = lives("fork_steps", place, points)
    # A lock taken before the fork stays held in the child: measured, and of no consequence. One line of each step may
    # miss every moment at which it is held; many do not.
    held = forks.pop("with the journal's lock held")
    assert held > 0 or points == 1
    assert len(given) >= sum(forks.values()) * CHILD_RECORDS
    assert_arrived(place, given, forks=sum(forks.values()))


def lives(program: str, place: Place, points: int) -> tuple[dict[str, int], list[list[str]]]:
    """Run a program of many lives; return its counts by step, and the ids that were given out."""
    child = subprocess.run(
        [sys.executable, "-m", f"tests.faults.{program}", place.kind, json.dumps(place.arguments), str(points)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stderr.splitlines()[-1]), [line.split() for line in child.stdout.splitlines()]


def assert_arrived(place: Place, given: list[list[str]], *, kills: int = 0, forks: int = 0) -> None:
    """Start anew: what was given out is stored once, or is a dead letter where it had to be."""
    poison = [one[0] for one in given if len(one) > 1]
    with opened(place.arguments) as collector:
        collector.flush(LIFE_S)
        assert_nothing_lost(collector.stats())
        journal = Path(str(collector.stats().journal))
    assert_exactly_once(place, [one[0] for one in given if len(one) == 1], kills=kills, forks=forks)
    kept = [letter.id for letter in DeadLetters(journal).all()]
    missing = set(poison) - set(kept)
    tally.count("dead letters", tried=len(poison), lost=len(missing), twice=len(kept) - len(set(kept)))
    assert not missing
    assert len(kept) == len(set(kept))
    assert place.missing_payloads() == 0
    assert {path for path in place.journal_files() if path.suffix == ".seg"} == set()
