"""This module is where many processes come and go beside one another, on one journal directory and one store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aicore_obs import LlmOperationCollector
from tests.faults.law import assert_nothing_lost
from tests.faults.places import Place, assert_exactly_once

ROOT = Path(__file__).parents[2]
PROCESSES = 3


@pytest.mark.parametrize("kind", ["jsonl", "sqlite"])
def test_processes_that_come_and_go_leave_nothing(kind: str, tmp_path: Path) -> None:
    """Each makes, uses and removes folders while the others look for the dead: no writer falls, no record is lost."""
    place = Place.file(kind, tmp_path)
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.programs", "come_and_go", json.dumps(place.arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(PROCESSES)
    ]
    ended = [child.communicate(timeout=200) for child in children]
    assert [said for _, said in ended] == [""] * PROCESSES
    assert [child.returncode for child in children] == [0] * PROCESSES
    ids = [one for output, _ in ended for one in output.split()]
    with LlmOperationCollector(**place.arguments) as collector:
        assert collector.flush(20)
        assert_nothing_lost(collector.stats())
    assert assert_exactly_once(place, ids) == len(ids) > PROCESSES
    assert place.journal_files() == []
