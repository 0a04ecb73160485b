"""This module is where it is measured how late an event loop gets when 2,000 tasks of it record.

Each task reads an answer (JSON to objects, as a client must) once a second, and records it or not. Beside them a
probe sleeps 1 ms and looks how late it is woken. The floor is the same tasks not recording, in turns in one process.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

from aicore_obs import LlmOperationCollector
from benchmarks.figures import Taken, percentile
from benchmarks.payload import ARGUMENTS, RESPONSE
from benchmarks.turns import Case, Stage

TASKS = 2_000
PERIOD_S = 1.0
PROBE_S = 0.001
BODY = json.dumps(RESPONSE)


def cases(stage: Stage) -> Sequence[Case]:
    return [
        Case(
            name=f"{TASKS:,} tasks, a record a second each",
            ours="benchmarks.loop_lag:turn",
            given={"seconds": stage.size(full=5, quick=1), "blocks": stage.size(full=2, quick=1)},
            floor_is="the same, not recording",
        )
    ]


def turn(*, seconds: float, blocks: int, folder: str) -> list[Taken]:
    """Return the lag while recording, beside the lag of the same tasks while they do not."""
    return asyncio.run(_turn(seconds, blocks, folder))


async def _turn(seconds: float, blocks: int, folder: str) -> list[Taken]:
    without: list[float] = []
    recording: list[float] = []
    async with LlmOperationCollector(db_url=f"sqlite:///{folder}/lag.db") as collector:
        await collector.arecord_completion(ARGUMENTS, "acompletion", "openai", RESPONSE, 1200)
        await collector.aflush()
        for _ in range(blocks):
            without += await _lags(None, seconds)
            recording += await _lags(collector, seconds)
            if not await collector.aflush(60):
                raise SystemExit(f"not everything arrived: {collector.stats()}")
    without.sort()
    recording.sort()
    taken = [
        Taken(what=what, unit="ms", value=percentile(recording, share), floor=percentile(without, share))
        for what, share in (("p50", 0.5), ("p99", 0.99))
    ]
    above = percentile(recording, 0.99) - percentile(without, 0.99)
    return [*taken, Taken(what="p99 above the floor", unit="ms", value=above)]


async def _lags(collector: LlmOperationCollector | None, seconds: float) -> list[float]:
    """Return how many milliseconds late the probe was, each time, while all tasks run."""
    end = time.perf_counter() + seconds + PERIOD_S
    async with asyncio.TaskGroup() as tasks:
        for number in range(TASKS):
            tasks.create_task(_work(collector, end, first_s=number / TASKS * PERIOD_S))
        # Until all have begun.
        await asyncio.sleep(PERIOD_S)
        probe = tasks.create_task(_probe(end))
    return probe.result()


async def _work(collector: LlmOperationCollector | None, end: float, *, first_s: float) -> None:
    await asyncio.sleep(first_s)
    while time.perf_counter() < end:
        answer = json.loads(BODY)
        if collector is not None:
            await collector.arecord_completion(ARGUMENTS, "acompletion", "openai", answer, 1200)
        await asyncio.sleep(PERIOD_S)


async def _probe(end: float) -> list[float]:
    lags = []
    while (start := time.perf_counter()) < end:
        await asyncio.sleep(PROBE_S)
        lags.append((time.perf_counter() - start - PROBE_S) * 1000)
    return lags
