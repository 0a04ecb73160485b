"""This module is where processes are killed at every step of the road, each at an exact line, and lose nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aicore_obs.pipeline.dead_letters import DeadLetters
from tests.faults import tally
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


def kill_at_steps(place: Place, *, points: int, least: int) -> None:
    """Let processes die at ``points`` lines of each step, one after the other on one store; then start anew."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.faults.steps", place.kind, json.dumps(place.arguments), str(points)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    kills: dict[str, int] = json.loads(child.stderr.splitlines()[-1])
    assert list(kills) == [step.name for step in STEPS if place.kind in step.kinds]
    assert min(kills.values()) >= least, kills
    given = [line.split() for line in child.stdout.splitlines()]
    poison = [one[0] for one in given if len(one) > 1]
    with opened(place.arguments) as collector:
        collector.flush(LIFE_S)
        assert_nothing_lost(collector.stats())
        journal = Path(str(collector.stats().journal))
    assert_exactly_once(place, [one[0] for one in given if len(one) == 1], kills=sum(kills.values()))
    letters = DeadLetters(journal)
    kept = [letter.id for letter in letters.all()]
    assert not set(poison) - set(kept)
    assert len(kept) == len(set(kept))
    tally.count("dead letters", tried=len(poison))
    assert place.missing_payloads() == 0
    assert {path for path in place.journal_files() if path.suffix == ".seg"} == set()
