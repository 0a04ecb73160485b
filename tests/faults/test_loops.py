"""This module is where event loops are stopped, closed and left under a collector, the application's and our own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from aicore_obs import LlmOperationCollector
from aicore_obs.protocols import Batch
from tests.faults.law import assert_nothing_lost, wait_until
from tests.faults.places import Place, assert_exactly_once
from tests.faults.sinks import Healthy

Opens = Callable[..., LlmOperationCollector]
CALL: dict[str, Any] = {"model": "m"}
LOOPS, TASKS = 10, 20


def test_a_loop_that_is_closed_under_us(place: Place, open_collector: Opens) -> None:
    """Ten loops, each stopped and closed while its tasks record and flush: what was accepted is stored."""
    collector = open_collector(**place.arguments)
    ids: list[str] = []

    async def one(loop: asyncio.AbstractEventLoop, number: int) -> None:
        ids.append(str(await collector.arecord_completion(CALL)))
        if number == TASKS // 2:
            loop.stop()
        await collector.aflush(10)

    for _ in range(LOOPS):
        loop = asyncio.new_event_loop()
        tasks = [loop.create_task(one(loop, number)) for number in range(TASKS)]
        loop.run_forever()
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()
    ids.append(str(collector.record_completion(CALL)))
    assert collector.flush(30)
    assert_nothing_lost(collector.stats())
    assert assert_exactly_once(place, ids) == len(ids) > LOOPS


def test_tasks_that_are_cancelled_at_random(place: Place, open_collector: Opens) -> None:
    """A record is accepted or it is not: an id that somebody got is stored, however many were cancelled."""
    collector = open_collector(**place.arguments, overflow="block")
    ids: list[str] = []

    async def record() -> None:
        for _ in range(5):
            ids.append(str(await collector.arecord_completion(CALL)))
            await asyncio.sleep(0)

    async def main() -> None:
        for turn in range(LOOPS):
            tasks = [asyncio.ensure_future(record()) for _ in range(TASKS)]
            for _ in range(turn % 4):
                await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert collector.flush(30)
    assert_nothing_lost(collector.stats())
    assert assert_exactly_once(place, ids) == len(ids) > LOOPS * TASKS


class StopsOurLoop(Healthy):
    """A sink that stops the loop that it runs on."""

    async def write(self, batch: Batch) -> None:
        asyncio.get_running_loop().stop()
        await super().write(batch)


@contextmanager
def deaths_of_threads() -> Iterator[list[str]]:
    """Keep the names of threads that die of an exception, in place of the tests' own outcry."""
    names: list[str] = []
    before, threading.excepthook = (
        threading.excepthook,
        lambda died: names.append(str(died.thread and died.thread.name)),
    )
    try:
        yield names
    finally:
        threading.excepthook = before


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_our_own_loop_stopped_by_a_sink(place: Place, open_collector: Opens) -> None:
    """The writer is dead: callers notice nothing, flush says so in time, and the next start delivers every record."""
    with deaths_of_threads() as dead:
        collector = open_collector(**place.arguments, sinks=[StopsOurLoop("stops:ours")])
        ids = [str(collector.record_completion(CALL)) for _ in range(20)]
        wait_until(lambda: dead)
        ids += [str(collector.record_completion(CALL)) for _ in range(20)]
        assert not collector.flush(1)
        assert_nothing_lost(collector.stats())
        assert not collector.close(1)
    with LlmOperationCollector(**place.arguments, sinks=[Healthy("stops:ours")]) as again:
        assert again.flush(30), again.stats()
        assert_nothing_lost(again.stats())
    assert assert_exactly_once(place, ids) == 40
