"""This module is where it is measured how fast a next start delivers what a killed process left in its journal.

A process records a burst and kills itself. The next one opens a collector on the same place and flushes: its time runs
from the constructor on, imports left out. Beside it stands the live speed of the same burst in a third process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from aicore_obs import LlmOperationCollector
from benchmarks import end_to_end
from benchmarks.end_to_end import FILES, place
from benchmarks.figures import Taken
from benchmarks.payload import ARGUMENTS, RESPONSE
from benchmarks.turns import ROOT, Case, Stage


def cases(stage: Stage) -> Sequence[Case]:
    return [
        Case(
            name=f"replay after a crash, {store}",
            ours="benchmarks.replay:turn",
            floor="benchmarks.replay:live",
            given={"store": store, "count": stage.size(full=20_000, quick=2_000)},
            floor_is="live, the same burst",
        )
        for store in FILES
    ]


def live(*, store: str, count: int, folder: str) -> list[Taken]:
    """Return the speed of an undisturbed burst, in a place of its own."""
    apart = Path(folder, "live")
    apart.mkdir()
    return end_to_end.turn(store=store, count=count, folder=str(apart))[:1]


def turn(*, store: str, count: int, folder: str) -> list[Taken]:
    """Let a process die, and deliver for it."""
    killed = subprocess.run(
        [sys.executable, "-m", "benchmarks.replay", store, str(count), folder], cwd=ROOT, check=False
    )
    if killed.returncode != -signal.SIGKILL:
        raise SystemExit(f"the burst ended with {killed.returncode}")
    left = count - _stored(store, folder)
    apart = Path(folder, "warm")
    apart.mkdir()
    end_to_end.turn(store=store, count=1, folder=str(apart))
    start = time.perf_counter()
    with LlmOperationCollector(**place(store, folder)) as collector:
        if not collector.flush(600):
            raise SystemExit(f"not everything arrived: {collector.stats()}")
        seconds = time.perf_counter() - start
    if _stored(store, folder) != count:
        raise SystemExit(f"{_stored(store, folder)} of {count} are there")
    return [Taken(what="speed", unit="records/s", value=left / seconds, more_is_better=True)]


def _stored(store: str, folder: str) -> int:
    path = Path(folder, FILES[store])
    if not path.exists():
        return 0
    if store == "JSON lines":
        return path.read_bytes().count(b"\n")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        # Killed so early that there may be no table yet.
        made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'aicore_obs_operations'").fetchall()
        rows: int = connection.execute("SELECT count(*) FROM aicore_obs_operations").fetchone()[0] if made else 0
    return rows


def main() -> None:
    """Record a burst and die."""
    store, count, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    collector = LlmOperationCollector(**place(store, folder))
    for _ in range(count):
        collector.record_completion(ARGUMENTS, "completion", "openai", RESPONSE, 1200)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
