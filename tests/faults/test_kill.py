"""This module is where a process that records is killed, again and again, and every accepted record must survive."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from aicore_obs import LlmOperationCollector
from tests.faults.law import assert_nothing_lost
from tests.faults.places import Place, assert_exactly_once, assert_once_among

ROOT = Path(__file__).parents[2]
FLUSH_S = 100.0
# A kill comes after some number of accepted records: in the middle of a batch, a segment, a commit.
MOST_IDS = 8000


def test_every_accepted_record_outlives_two_kills(place: Place) -> None:
    """kill -9 in the middle of a burst: every id that was given out is stored exactly once after the next start."""
    kill_and_count(place, kills=2)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_accepted_record_outlives_twenty_kills(place: Place) -> None:
    """The same with 20 kills at random moments, each child adopting what the ones before have left."""
    kill_and_count(place, kills=20)


def test_what_was_said_of_a_seen_answer_outlives_two_kills(place: Place) -> None:
    """An operation that was recorded in two versions is read once, and as the newer one says."""
    kills = 2
    accepted = [one for _ in range(kills) for one in ids_of_a_killed_recorder(place, program="joiner", at_most=1000)]
    with LlmOperationCollector(**place.arguments) as collector:
        flushed = collector.flush(FLUSH_S)
        assert flushed, flushed
        assert_nothing_lost(collector.stats())
        frame = collector.polars_from_db(columns=["operation_id", "user_id"])
    assert_once_among(frame["operation_id"], accepted, store=place.kind, kills=kills)
    assert frame.filter(pl.col("operation_id").is_in(accepted))["user_id"].null_count() == 0
    assert place.missing_payloads() == 0
    assert place.journal_files() == []


def kill_and_count(place: Place, *, kills: int) -> None:
    """Kill ``kills`` recorders of one store, one after the other; then start anew and compare."""
    accepted = [one for _ in range(kills) for one in ids_of_a_killed_recorder(place)]
    with LlmOperationCollector(**place.arguments) as collector:
        flushed = collector.flush(FLUSH_S)
        assert flushed, flushed
        assert_nothing_lost(collector.stats())
    assert_exactly_once(place, accepted, kills=kills)
    assert place.missing_payloads() == 0
    assert place.journal_files() == []


def ids_of_a_killed_recorder(place: Place, *, program: str = "recorder", at_most: int = MOST_IDS) -> list[str]:
    """Start a recorder, kill it after a random number of ids, return all that it had been given."""
    child = subprocess.Popen(
        [sys.executable, "-m", f"tests.faults.{program}", json.dumps(place.arguments)], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert child.stdout is not None
    with child.stdout as output:
        ids = [line for line, _ in zip(output, range(random.randint(1, at_most)), strict=False)]
        child.send_signal(signal.SIGKILL)
        ids += output
    child.wait(10)
    return [line.decode().strip() for line in ids if line.endswith(b"\n")]
