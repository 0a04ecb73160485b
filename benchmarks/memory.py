"""This module is where it is measured whether memory stays flat over very many records.

The process records as fast as it is let (``overflow="block"``: at the journal's cap the caller waits), and looks at its
own resident memory every thousand records. The floor is encode + ``os.write`` of the same records.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from aicore_obs import LlmOperationCollector
from benchmarks.caller import FLOOR, floor_of
from benchmarks.figures import Taken
from benchmarks.payload import ARGUMENTS, RESPONSE
from benchmarks.turns import Case, Stage

EVERY = 1_000
MIB = 1024 * 1024


def cases(stage: Stage) -> Sequence[Case]:
    count = stage.size(full=1_000_000, quick=20_000)
    return [
        Case(
            name=f"{count:,} records to SQLite",
            ours="benchmarks.memory:turn",
            floor="benchmarks.memory:floor",
            given={"count": count},
            floor_is=FLOOR,
            rounds=1,
        )
    ]


def turn(*, count: int, folder: str) -> list[Taken]:
    """Record ``count`` times, flush, and return what memory did after the first twentieth."""
    collector = LlmOperationCollector(db_url=f"sqlite:///{folder}/memory.db", overflow="block", block_timeout_s=120)

    def record() -> None:
        if collector.record_completion(ARGUMENTS, "completion", "openai", RESPONSE, 1200) is None:
            raise SystemExit(f"a record was refused: {collector.stats()}")

    taken = _sampled(record, count)
    if not collector.flush(600):
        raise SystemExit(f"not everything arrived: {collector.stats()}")
    collector.close()
    return taken


def floor(*, count: int, folder: str) -> list[Taken]:
    fd = os.open(Path(folder, "floor.bin"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    taken = _sampled(floor_of(fd, RESPONSE), count)
    os.close(fd)
    return taken


def _sampled(call: Callable[[], object], count: int) -> list[Taken]:
    process = psutil.Process()
    samples = []
    for number in range(count):
        call()
        if number % EVERY == EVERY - 1:
            samples.append(process.memory_info().rss / MIB)
    warm = samples[len(samples) // 20 :]
    return [
        Taken(what="resident, peak", unit="MiB", value=max(samples)),
        Taken(what="resident, after a twentieth", unit="MiB", value=warm[0]),
        Taken(what="resident, highest above that", unit="MiB", value=max(warm) - warm[0]),
        Taken(what="resident, end above that", unit="MiB", value=warm[-1] - warm[0]),
    ]
