"""This module is where it is tested that nothing is lost on the way to a sick store, and that flush tells the truth."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio

from aicore_obs import DropRecord, LlmOperationCollector
from aicore_obs.model.record import Record
from aicore_obs.pipeline.dead_letters import DeadLetters
from tests.faults.law import assert_nothing_lost, wait_until
from tests.faults.places import Place, assert_exactly_once
from tests.faults.sinks import Down, Hanging, Healthy, Picky, Raising, Slow
from tests.postgres import PostgresServer

Opens = Callable[..., LlmOperationCollector]
CALL: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x" * 200}]}
MEBIBYTE = 1024 * 1024


def record(collector: LlmOperationCollector, count: int, **options: Any) -> list[str]:
    """Record ``count`` operations and return their ids."""
    ids = [collector.record_completion(CALL, **options) for _ in range(count)]
    assert None not in ids
    return [one for one in ids if one is not None]


async def _twenty(collector: LlmOperationCollector, ids: list[str]) -> None:
    async def one() -> None:
        ids.append(str(await collector.arecord_completion(CALL, session_id="new")))

    await asyncio.gather(*(one() for _ in range(20)))


def test_a_loop_that_ends_at_once_keeps_its_twenty_records(place: Place, open_collector: Opens) -> None:
    """20 concurrent records on a new session, and ``asyncio.run`` returns: all 20 are there."""
    collector, ids = open_collector(**place.arguments), []  # type: ignore[var-annotated]
    asyncio.run(_twenty(collector, ids))
    assert collector.polars_from_db(session_id="new").height == 20
    assert assert_exactly_once(place, ids) == 20


def test_a_trio_loop_that_ends_at_once_keeps_its_twenty_records(open_collector: Opens) -> None:
    """The same under trio."""
    sink = Healthy()
    collector = open_collector(sinks=[sink])

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(collector.arecord_completion, CALL)

    trio.run(main)
    assert collector.flush()
    assert len(sink.ids) == len(set(sink.ids)) == 20


def test_four_threads_lose_nothing(place: Place, open_collector: Opens) -> None:
    """4 threads × 25 records."""
    collector = open_collector(**place.arguments)
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.extend(record(collector, 25))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert collector.flush()
    assert assert_exactly_once(place, ids) == 100


def _record_and_report(arguments: dict[str, Any], results: Any) -> None:
    collector = LlmOperationCollector(**arguments)
    results.put(record(collector, 25))
    assert collector.close(timeout_s=80)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_three_processes_lose_nothing(method: str, place: Place) -> None:
    """3 processes × 25 records into one store that none of them has made."""
    context = multiprocessing.get_context(method)
    results = context.Queue()
    children = [context.Process(target=_record_and_report, args=(place.arguments, results)) for _ in range(3)]
    for child in children:
        child.start()
    ids = [one for _ in children for one in results.get(timeout=200)]
    for child in children:
        child.join(90)
        assert child.exitcode == 0
        child.close()
    assert assert_exactly_once(place, ids) == 75


def test_a_burst_to_a_slow_store_arrives_whole(open_collector: Opens) -> None:
    """20,000 records, 50 ms a batch: flush says False with the right count while they wait, and True at the end."""
    sink = Slow(0.05)
    collector = open_collector(sinks=[sink], batch_bytes="64KB")
    ids = record(collector, 20_000)
    started = time.monotonic()
    early = collector.flush(timeout_s=1)
    assert time.monotonic() - started < 20
    assert not early
    assert early.sinks[sink.name].pending == 20_000 - early.sinks[sink.name].stored
    assert_nothing_lost(collector.stats())
    assert collector.flush(timeout_s=60)
    assert sink.ids == ids
    assert_nothing_lost(collector.stats())


def test_close_throws_nothing_away(place: Place, open_collector: Opens) -> None:
    """200 records and close() at once: 200 stored."""
    collector = open_collector(**place.arguments)
    ids = record(collector, 200)
    assert collector.close(timeout_s=30)
    assert assert_exactly_once(place, ids) == 200
    assert place.journal_files() == []


def test_a_dead_database_costs_nothing(
    postgres_server: PostgresServer, postgres_url: str, open_collector: Opens
) -> None:
    """The server crashes under load and comes back: every row once, no dead letter, flat memory, an honest flush."""
    collector = open_collector(db_url=postgres_url)
    ids = record(collector, 200)
    assert collector.flush()
    postgres_server.stop(mode="immediate")
    try:
        before = psutil.Process().memory_info().rss
        ids += record(collector, 10_000)
        started = time.monotonic()
        down = collector.flush(timeout_s=2)
        assert time.monotonic() - started < 30
        assert not down
        assert down.pending == 10_000
        assert down.dead_lettered == 0
        assert psutil.Process().memory_info().rss - before < 32 * MEBIBYTE
        assert collector.stats().oldest_pending_s is not None
    finally:
        postgres_server.start()
    ids += record(collector, 100)
    assert collector.flush(timeout_s=60)
    assert_nothing_lost(collector.stats())
    assert assert_exactly_once(Place("postgresql", postgres_url), ids) == 10_300


def test_a_poison_row_does_not_cost_its_batch(open_collector: Opens) -> None:
    """The one row goes to the dead letters with its reason; flush says so once."""
    sink = Picky(["poison"])
    collector = open_collector(sinks=[sink])
    good = record(collector, 300)
    record(collector, 1, session_id="poison")
    good += record(collector, 300)
    first = collector.flush()
    assert not first
    assert (first.dead_lettered, first.pending, first.stored) == (1, 0, 600)
    assert sink.ids == good
    assert collector.flush()
    assert_nothing_lost(collector.stats())


def test_a_row_that_postgresql_refuses_does_not_cost_its_batch(postgres_url: str, open_collector: Opens) -> None:
    """A session id that no index entry can hold is one dead letter among 100 rows."""
    collector = open_collector(db_url=postgres_url)
    good = record(collector, 50)
    # Text that does not compress, longer than a third of an 8 KB page (SQLSTATE 54000).
    record(collector, 1, session_id="".join(chr(0x4E00 + number * 7919 % 20000) for number in range(5000)))
    good += record(collector, 50)
    result = collector.flush()
    assert not result
    assert result.dead_lettered == 1
    letters = DeadLetters(Path(str(collector.stats().journal))).all()
    assert [(letter.reason, "index row" in letter.error) for letter in letters] == [("rejected", True)]
    assert sorted(Place("postgresql", postgres_url).stored_ids()) == sorted(good)
    assert_nothing_lost(collector.stats())


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), ValueError("sick"), MemoryError()])
def test_a_sink_that_raises_anything_stops_no_other(error: BaseException, open_collector: Opens) -> None:
    """The healthy sink has everything, flush is False, and the sick one gets it all when it is well again."""
    sick, healthy = Raising(error), Healthy()
    collector = open_collector(sinks=[sick, healthy])
    ids = record(collector, 50)
    result = collector.flush(timeout_s=1)
    assert not result
    wait_until(lambda: healthy.ids == ids)
    assert_nothing_lost(collector.stats())
    sick.error = None
    collector.flush(timeout_s=30)
    assert_nothing_lost(collector.stats())
    numbers = collector.stats().sinks[sick.name]
    assert numbers.stored + numbers.dead_lettered == 50
    assert numbers.stored == len(sick.ids)


def test_a_sink_that_hangs_stops_no_other_and_is_tried_again(open_collector: Opens) -> None:
    """A write that gets no answer is given up after its time, and made again."""
    hanging, healthy = Hanging(), Healthy()
    collector = open_collector(sinks=[hanging, healthy], write_timeout_s=0.2)
    ids = record(collector, 50)
    assert not collector.flush(timeout_s=1)
    wait_until(lambda: healthy.ids == ids)
    assert "0.2 s" in str(collector.stats().sinks[hanging.name].last_error)
    hanging.hangs = False
    assert collector.flush(timeout_s=60)
    assert hanging.ids == ids


def test_flush_wakes_a_sink_that_waits_between_tries(open_collector: Opens) -> None:
    """A sink that has come back gets its records at the next flush, not after the longest pause."""
    sink = Down()
    collector = open_collector(sinks=[sink])
    ids = record(collector, 10)
    wait_until(lambda: collector.stats().sinks[sink.name].last_error)
    assert not collector.flush(timeout_s=1)
    sink.is_down = False
    started = time.monotonic()
    assert collector.flush(timeout_s=60)
    assert time.monotonic() - started < 20
    assert sink.ids == ids


def _picky_processor(record: Record) -> Record:
    if record.session_id == "drop":
        raise DropRecord("not wanted")
    if record.session_id == "fail":
        raise RuntimeError("cannot")
    return record


def test_processors_drop_and_fail_one_record_at_a_time(open_collector: Opens) -> None:
    """A dropped record is counted with its reason, a failed one is a dead letter, their neighbours arrive."""
    sink = Healthy()
    collector = open_collector(sinks=[sink], processors=[_picky_processor])
    good = record(collector, 100)
    record(collector, 3, session_id="drop")
    record(collector, 2, session_id="fail")
    good += record(collector, 100)
    result = collector.flush()
    assert not result
    assert result.sinks[sink.name].dropped == {"not wanted": 3}
    assert result.dead_lettered == 2
    assert sink.ids == good
    assert collector.flush()
    assert_nothing_lost(collector.stats())


def test_a_sick_sink_and_a_failing_processor_count_every_record_once(open_collector: Opens) -> None:
    """What was set aside before the sink failed is not set aside again at the next try."""
    sink = Down()
    collector = open_collector(sinks=[sink], processors=[_picky_processor])
    good = record(collector, 10)
    record(collector, 1, session_id="fail")
    record(collector, 1, session_id="drop")
    assert not collector.flush(timeout_s=1)
    assert not collector.flush(timeout_s=1)
    sink.is_down = False
    collector.flush(timeout_s=60)
    numbers = collector.stats().sinks[sink.name]
    assert (numbers.stored, numbers.dead_lettered, numbers.dropped) == (10, 1, {"not wanted": 1})
    assert sink.ids == good


def test_collectors_that_name_the_same_sinks_share_one_road(place: Place, open_collector: Opens) -> None:
    """One writer thread for both; the road ends with the last of them."""
    first, second = open_collector(**place.arguments), open_collector(**place.arguments)
    ids = record(first, 10) + record(second, 10)
    assert first.stats().accepted == second.stats().accepted == 20
    assert first.close()
    ids += record(second, 10)
    assert second.close()
    assert assert_exactly_once(place, ids) == 30
