"""This module is where a delivery meets what is rare: damage among many, load without end, cancellation, no disk."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aicore_obs import DropRecord, LlmOperationCollector
from aicore_obs.model.record import CODEC_VERSION, FIRST_VERSION, Record
from aicore_obs.pipeline.allowance import Allowance
from aicore_obs.pipeline.dead_letters import DeadLetters, for_damage, for_record
from aicore_obs.pipeline.journal import FileJournal, header_of
from aicore_obs.pipeline.owners import POSITIONS_NAME, Owner, owner_folders
from tests.faults.law import assert_nothing_lost, wait_until
from tests.faults.places import Place, assert_exactly_once
from tests.faults.sinks import Hanging, Healthy, Raising, Slow
from tests.left_behind import ids as ids_of
from tests.left_behind import leave, line

Opens = Callable[..., LlmOperationCollector]
CALL: dict[str, Any] = {"model": "m"}
ROOT = Path(__file__).parents[2]


def fingerprint(collector: LlmOperationCollector) -> str:
    """Return what a dead process on the same sinks would have written into its segments."""
    return str(collector._road._options.writer.fingerprint)  # type: ignore[union-attr]


def journal(collector: LlmOperationCollector) -> Path:
    """Return the directory of a collector's journal."""
    return Path(str(collector.stats().journal))


def left_for(collector: LlmOperationCollector, numbers: range) -> Owner:
    """Leave records of a dead process for a collector with one sink."""
    (name,) = collector.stats().sinks
    return leave(journal(collector), [name], numbers, fingerprint=fingerprint(collector))


@contextmanager
def in_threads(work: Callable[[], object], count: int = 1) -> Iterator[None]:
    """Do ``work`` again and again in ``count`` threads while the block runs."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            work()

    threads = [threading.Thread(target=loop) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


# -- counts ------------------------------------------------------------------------------------------------------------


def test_damage_among_many_small_records_is_kept_aside(open_collector: Opens) -> None:
    """More records than a batch takes stand behind the damage in one read: it is in the dead letters all the same."""
    sink = Healthy()
    collector = open_collector(sinks=[sink])
    owner = left_for(collector, range(3000))
    data = bytearray(owner.segment(1).read_bytes())
    data[data.index(ids_of([5])[0].encode())] ^= 0x01
    owner.segment(1).write_bytes(data)
    result = collector.flush()
    assert not result
    assert (result.stored, result.dead_lettered, result.dropped, result.pending) == (2999, 1, 0, 0)
    (letter,) = DeadLetters(journal(collector)).all()
    assert letter.damaged
    assert collector.flush()
    assert_nothing_lost(collector.stats())


def test_many_dropped_records_are_counted_once(open_collector: Opens) -> None:
    """A processor that wants none of thousands of records neither stops the road nor is counted twice."""

    def nothing(record: Record) -> Record:
        raise DropRecord("sampled")

    collector = open_collector(sinks=[sink := Healthy()], processors=[nothing])
    for _ in range(3000):
        collector.record_completion(CALL)
    assert collector.flush()
    assert collector.stats().sinks[sink.name].dropped == {"sampled": 3000}
    assert_nothing_lost(collector.stats())


def test_the_numbers_add_up_at_every_moment(open_collector: Opens) -> None:
    """Whoever looks from another thread, in the middle of anything, sees the law hold."""

    def picky(record: Record) -> Record:
        if record.session_id == "drop":
            raise DropRecord("sampled")
        return record

    collector = open_collector(sinks=[healthy := Healthy(), Slow(0.01)], processors=[picky], batch_bytes="64KB")
    looks: list[int] = []

    def look() -> None:
        assert_nothing_lost(collector.stats())
        looks.append(1)

    broken: list[BaseException] = []

    def careful_look() -> None:
        try:
            look()
        except AssertionError as error:
            broken.append(error)

    with in_threads(careful_look, count=2), in_threads(lambda: collector.record_completion(CALL)):
        for _ in range(20):
            leave(journal(collector), list(collector.stats().sinks), range(50), fingerprint=fingerprint(collector))
            collector.record_completion(CALL, session_id="drop")
            collector.flush(timeout_s=0.1)
    assert not broken, broken[0]
    assert len(looks) > 100
    assert collector.flush(60)
    assert collector.stats().sinks[healthy.name].dropped == {"sampled": 20}
    assert_nothing_lost(collector.stats())


@pytest.mark.parametrize("what", ["*.seg", "."])
def test_records_of_a_deleted_journal_are_said_once_and_the_next_are_kept(
    what: str, tmp_path: Path, open_collector: Opens
) -> None:
    """What went with it is counted as dropped, flush is not True about it once, and the road goes on in a new one."""
    place = Place.file("json", tmp_path)
    collector = open_collector(**place.arguments, batch_interval_s=60)
    ids = [str(collector.record_completion(CALL))]
    assert collector.flush()
    for _ in range(10):
        collector.record_completion(CALL)
    if what == ".":
        shutil.rmtree(place.journal())
    for segment in place.journal().rglob(what):
        segment.unlink()
    assert not collector.flush()
    assert collector.flush()
    assert sum(sum(sink.dropped.values()) for sink in collector.stats().sinks.values()) == 10
    ids += [str(collector.record_completion(CALL)) for _ in range(10)]
    assert collector.flush()
    assert_nothing_lost(collector.stats())
    assert assert_exactly_once(place, ids) == 11
    assert collector.close()
    assert place.journal_files() == []


# -- neighbours --------------------------------------------------------------------------------------------------------


def test_the_dead_are_served_beside_load_without_end(open_collector: Opens) -> None:
    """A process that always has records of its own still delivers what a dead neighbour has left."""
    sink = Slow(0.02)
    collector = open_collector(sinks=[sink], batch_interval_s=0.01)

    def load() -> None:
        collector.record_completion(CALL)
        wait_until(lambda: True)

    with in_threads(load, count=2):
        wait_until(lambda: len(sink.ids) > 100)
        left_for(collector, range(5))
        wait_until(lambda: set(ids_of(range(5))) <= set(sink.ids), timeout_s=60)


def test_flush_beside_records_of_a_newer_program_is_prompt(open_collector: Opens) -> None:
    """They stay for that program and keep flush False, but nobody waits for them."""
    collector = open_collector(sinks=[sink := Healthy()])
    owner = Owner.create(journal(collector))
    left = FileJournal(
        owner, header=header_of(fingerprint(collector), [sink.name]), allowance=Allowance(owner.path.parent, 2**30)
    )
    newer = line(2).replace(b'"v":%d' % FIRST_VERSION, b'"v":%d' % (CODEC_VERSION + 1))
    for text in (line(1), newer, line(3)):
        assert left.append(text) is None
    left.close(remove=False)
    started = time.monotonic()
    result = collector.flush(timeout_s=60)
    assert time.monotonic() - started < 50
    assert not result
    assert (result.stored, result.pending) == (1, 2)
    assert_nothing_lost(collector.stats())


# -- interruptions -----------------------------------------------------------------------------------------------------


def test_a_sink_that_raises_cancellation_is_tried_again(open_collector: Opens) -> None:
    """A cancellation that is not ours, out of a driver's own tasks, is a failure like any other."""
    sick = Raising(asyncio.CancelledError())
    collector = open_collector(sinks=[sick])
    collector.record_completion(CALL)
    assert not collector.flush(timeout_s=0.5)
    sick.error = None
    collector.record_completion(CALL)
    collector.flush(timeout_s=60)
    stats = collector.stats()
    assert stats.sinks[sick.name].pending == 0
    assert_nothing_lost(stats)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), RecursionError()])
def test_a_processor_may_raise_anything(error: BaseException, open_collector: Opens) -> None:
    """Only the one record goes to the dead letters, in whatever batch it is."""

    def picky(record: Record) -> Record:
        if record.session_id == "poison":
            raise error
        return record

    sink = Healthy()
    collector = open_collector(sinks=[sink], processors=[picky], batch_bytes="64KB")
    ids = []
    for number in range(2000):
        session = "poison" if number in (0, 700, 1999) else None
        ids.append(collector.record_completion(CALL, session_id=session))
    result = collector.flush(timeout_s=60)
    assert (result.stored, result.dead_lettered, result.pending) == (1997, 3, 0)
    assert sink.ids == [one for number, one in enumerate(ids) if number not in (0, 700, 1999)]
    assert_nothing_lost(collector.stats())


def test_a_close_ends_a_flush_that_waits(open_collector: Opens) -> None:
    """A flush in another thread comes back False, and raises nothing."""
    collector = open_collector(sinks=[Hanging()])
    collector.record_completion(CALL)
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(collector.flush(timeout_s=30).ok))
    thread.start()
    wait_until(lambda: collector.stats().oldest_pending_s is not None)
    collector.close(timeout_s=0.1)
    thread.join(10)
    assert results == [False]


# -- no disk -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_a_file_is_not_written_while_its_place_cannot_be_noted(
    kind: str, tmp_path: Path, open_collector: Opens
) -> None:
    """Without a note a crash would store twice: the records wait until positions can be kept again."""
    place = Place.file(kind, tmp_path)
    collector = open_collector(**place.arguments)
    (folder,) = owner_folders(place.journal())
    (folder / POSITIONS_NAME).mkdir()
    ids = [str(collector.record_completion(CALL)) for _ in range(10)]
    assert not collector.flush(timeout_s=1)
    assert place.stored_ids() == []
    (folder / POSITIONS_NAME).rmdir()
    assert collector.flush()
    assert assert_exactly_once(place, ids) == 10
    assert_nothing_lost(collector.stats())


def test_a_sync_after_everything_has_arrived_has_nothing_to_do(tmp_path: Path) -> None:
    """``durability="disk"``: a writer that is faster than the caller's fsync costs the caller no exception."""
    owner = Owner.create(tmp_path)
    own = FileJournal(owner, header=header_of("0" * 16, []), allowance=Allowance(tmp_path, 200_000))
    for _ in range(20):
        assert own.append(b'"%b"' % (b"x" * 2000)) is None
    own.trim(own.end())
    assert own.sync() is None
    assert own.append(b'"more"') is None
    assert own.sync() is None
    own.close(remove=True)


def test_a_segment_that_is_cut_under_us_is_counted(open_collector: Opens) -> None:
    """Somebody truncates the file of a living process: what is gone is counted, and the writer does not spin."""
    collector = open_collector(sinks=[Healthy()], batch_interval_s=60)
    for _ in range(10):
        collector.record_completion(CALL)
    collector.flush()
    for _ in range(10):
        collector.record_completion(CALL)
    (segment,) = journal(collector).rglob("*.seg")
    with segment.open("r+b") as file:
        file.truncate(100)
    assert not collector.flush(timeout_s=60)
    assert collector.flush(timeout_s=60)
    assert_nothing_lost(collector.stats())


def test_a_process_without_descriptors_falls_back_to_memory(tmp_path: Path) -> None:
    """Where no lock can be opened there is no journal: it says so, and does not look for another name for ever."""
    arguments = json.dumps({"journal_dir": str(tmp_path / "journal")})
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.programs", "without_descriptors", arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    assert done.stdout.split() == ["memory", "DurabilityError"]


# -- dead letters ------------------------------------------------------------------------------------------------------


def test_a_torn_dead_letter_costs_no_other(tmp_path: Path) -> None:
    """A process that died in the middle of a letter leaves half a line; the next letter has a line of its own."""
    letters = DeadLetters(tmp_path)
    letters.add([for_damage("sink", "damaged", "first", b"1")])
    with letters.path.open("ab") as file:
        file.write(b'{"at":"2026-01-01T00:00:00+00:00","sink":"si')
    letters.add([for_record("sink", "rejected", "second", line(1))])
    assert [letter.error for letter in letters.all()] == ["first", "second"]
