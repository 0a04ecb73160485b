"""This module is where the journal is damaged, filled and misplaced, and must lose nothing in silence."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aicore_obs import JournalFull, LlmOperationCollector
from aicore_obs.errors import DurabilityError
from aicore_obs.pipeline.dead_letters import DeadLetters
from aicore_obs.pipeline.owners import POSITIONS_NAME, owner_folders, segment_numbers
from tests.faults.law import assert_nothing_lost, wait_until
from tests.faults.places import Place, assert_exactly_once
from tests.faults.sinks import Hanging
from tests.left_behind import ids as ids_of
from tests.left_behind import leave, leave_newer

Opens = Callable[..., LlmOperationCollector]
CALL = {"model": "m", "messages": [{"role": "user", "content": "x" * 2000}]}
CAP = "200KB"


@pytest.fixture
def database(tmp_path: Path) -> Place:
    """An empty SQLite store."""
    return Place.file("sqlite", tmp_path)


def _name(place: Place) -> str:
    return f"sqlite:{place.target}"


def _fingerprint(place: Place, tmp_path: Path) -> str:
    """Return the fingerprint that a collector of this store writes into its segments."""
    with LlmOperationCollector(**place.arguments) as collector:
        return str(collector._road._options.writer.fingerprint)  # type: ignore[union-attr]


def _left(place: Place, tmp_path: Path, count: int) -> Path:
    """Leave ``count`` records of a dead process; return their one segment."""
    owner = leave(place.journal(), [_name(place)], range(count), fingerprint=_fingerprint(place, tmp_path))
    return owner.segment(segment_numbers(owner.path)[-1])


def test_a_torn_tail_costs_nothing_but_itself(database: Place, tmp_path: Path, open_collector: Opens) -> None:
    """The last frame is half there: the others arrive, the piece is kept aside."""
    segment = _left(database, tmp_path, 10)
    os.truncate(segment, segment.stat().st_size - 7)
    collector = open_collector(**database.arguments)
    result = collector.flush()
    assert (result.stored, result.dead_lettered, bool(result)) == (9, 1, False)
    assert_nothing_lost(collector.stats())
    assert sorted(database.stored_ids()) == sorted(ids_of(range(9)))
    assert collector.flush()


def test_a_flipped_bit_costs_one_record(database: Place, tmp_path: Path, open_collector: Opens) -> None:
    """Its neighbours on both sides arrive; the damaged bytes are in the dead letters."""
    segment = _left(database, tmp_path, 10)
    data = bytearray(segment.read_bytes())
    data[data.index(ids_of([4])[0].encode())] ^= 0x01
    segment.write_bytes(data)
    collector = open_collector(**database.arguments)
    result = collector.flush()
    assert (result.stored, result.dead_lettered) == (9, 1)
    assert_nothing_lost(collector.stats())
    assert sorted(database.stored_ids()) == sorted(ids_of([*range(4), *range(5, 10)]))
    (letter,) = DeadLetters(database.journal()).all()
    assert letter.reason == "damaged"
    assert letter.damaged


def test_a_flipped_bit_in_our_own_segment_is_counted(database: Place, open_collector: Opens) -> None:
    """Damage under a living process: the law still holds, and flush says that something is wrong."""
    collector = open_collector(**database.arguments, batch_interval_s=60)
    collector.record_completion(CALL)
    # The first batch of a journal is taken at once; those after it are left to gather, so that none is read yet.
    assert collector.flush()
    for _ in range(10):
        collector.record_completion(CALL)
    (folder,) = owner_folders(database.journal())
    segment = next(folder.glob("*.seg"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    with segment.open("r+b") as file:
        file.write(data)
    result = collector.flush()
    assert not result
    assert result.stored == 10
    assert_nothing_lost(collector.stats())


def test_empty_and_foreign_segments_stop_nothing(database: Place, tmp_path: Path, open_collector: Opens) -> None:
    """An empty file, and one that is no segment, beside a good one: the good one arrives, the foreign one stays."""
    good = _left(database, tmp_path, 5)
    (good.parent / "0000000009.seg").write_bytes(b"")
    foreign = database.journal() / "not-ours"
    foreign.mkdir()
    (foreign / "0000000001.seg").write_bytes(b"something else entirely" * 100)
    collector = open_collector(**database.arguments)
    assert collector.flush()
    assert sorted(database.stored_ids()) == sorted(ids_of(range(5)))
    assert (foreign / "0000000001.seg").exists()
    assert not good.exists()


def test_damaged_positions_store_nothing_twice(tmp_path: Path, open_collector: Opens) -> None:
    """Where the positions cannot be read, a file is searched for what it has already."""
    place = Place.file("json", tmp_path)
    fingerprint = _fingerprint(place, tmp_path)
    name = f"json:{place.target}"
    leave(place.journal(), [name], range(10), fingerprint=fingerprint)
    with LlmOperationCollector(**place.arguments) as collector:
        assert collector.flush()
    owner = leave(place.journal(), [name], range(15), fingerprint=fingerprint)
    (owner.path / POSITIONS_NAME).write_bytes(b"\x00\x00torn")
    assert open_collector(**place.arguments).flush()
    assert assert_exactly_once(place, ids_of(range(15))) == 15


def test_a_newer_codec_is_left_alone_and_counted(database: Place, tmp_path: Path, open_collector: Opens) -> None:
    """A segment of a newer version of the program stays where it is."""
    fingerprint = _fingerprint(database, tmp_path)
    owner = leave_newer(database.journal(), [_name(database)], fingerprint=fingerprint, records=3)
    collector = open_collector(**database.arguments)
    collector.record_completion(CALL)
    result = collector.flush()
    assert not result
    assert (result.stored, result.pending) == (1, 3)
    assert owner.segment(1).exists()


def test_records_never_replay_into_another_database(tmp_path: Path, open_collector: Opens) -> None:
    """Another project's records, and another store's in the same directory, are not ours to deliver."""
    mine, other = tmp_path / "mine.db", tmp_path / "other.db"
    directory = tmp_path / "shared"
    with LlmOperationCollector(db_url=f"sqlite:///{other}", journal_dir=directory) as collector:
        strange = str(collector._road._options.writer.fingerprint)  # type: ignore[union-attr]
    leave(directory, [f"sqlite:{other}"], range(5), fingerprint=strange)
    collector = open_collector(db_url=f"sqlite:///{mine}", journal_dir=directory)
    collector.record_completion(CALL)
    assert collector.flush()
    assert len(Place("sqlite", str(mine)).stored_ids()) == 1
    assert open_collector(db_url=f"sqlite:///{other}", journal_dir=directory).flush()
    assert sorted(Place("sqlite", str(other)).stored_ids()) == sorted(ids_of(range(5)))


def test_at_the_cap_the_newest_is_refused_and_counted(open_collector: Opens) -> None:
    """record returns None, stats say why; when the sink is well again there is room again."""
    sink = Hanging()
    collector = open_collector(sinks=[sink], journal_max_bytes=CAP, write_timeout_s=0.2)
    ids = [collector.record_completion(CALL) for _ in range(150)]
    accepted = [one for one in ids if one]
    stats = collector.stats()
    assert 50 < len(accepted) < 150
    assert stats.refused == {"journal_full": 150 - len(accepted)}
    assert_nothing_lost(stats)
    sink.hangs = False
    assert collector.flush()
    assert sink.ids == accepted
    assert collector.record_completion(CALL)
    assert collector.flush()
    assert_nothing_lost(collector.stats())


def test_block_waits_for_room_and_then_refuses(open_collector: Opens) -> None:
    """No longer than its time-out; a record that finds room is accepted; other tasks run meanwhile."""
    sink = Hanging()
    options = {"overflow": "block", "block_timeout_s": 0.3, "write_timeout_s": 0.2}
    collector = open_collector(sinks=[sink], journal_max_bytes=CAP, **options)
    while collector.offer_completion(CALL):
        pass
    started = time.monotonic()
    assert collector.record_completion(CALL) is None
    assert 0.25 < time.monotonic() - started < 20

    async def both() -> tuple[str | None, int]:
        record = asyncio.ensure_future(collector.arecord_completion(CALL))
        turns = 0
        while not record.done():
            await asyncio.sleep(0)
            turns += 1
        return record.result(), turns

    refused, turns = asyncio.run(both())
    assert refused is None
    assert turns > 100
    sink.hangs = False
    # The sink is tried again after a pause, which may be longer than a record waits.
    wait_until(lambda: collector.record_completion(CALL))
    assert collector.flush()


def test_raise_raises(open_collector: Opens) -> None:
    """overflow="raise": JournalFull, for record_* and its twin, but never for those who watch others."""
    collector = open_collector(sinks=[Hanging()], journal_max_bytes=CAP, overflow="raise", write_timeout_s=0.2)
    while collector.offer_completion(CALL):
        pass
    with pytest.raises(JournalFull, match="journal_max_bytes"):
        collector.record_completion(CALL)
    with pytest.raises(JournalFull):
        asyncio.run(collector.arecord_completion(CALL))
    assert collector.offer_completion(CALL) is None
    assert_nothing_lost(collector.stats())


FULL_DISK = """
import json, resource, signal, sys
from aicore_obs import LlmOperationCollector
from tests.faults.sinks import Down

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
collector = LlmOperationCollector(sinks=[Down()], journal_dir=sys.argv[1])
call = {"model": "m", "messages": [{"role": "user", "content": "x" * 2000}]}
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
first = [collector.record_completion(call) for _ in range(10)]
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
during = [collector.record_completion(call) for _ in range(20)]
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
after = [collector.record_completion(call) for _ in range(10)]
stats = collector.stats()
print(json.dumps([first + during + after, stats.refused, stats.accepted]), flush=True)
import os
os._exit(0)
"""


def test_a_full_disk_is_counted_and_tears_nothing(tmp_path: Path, open_collector: Opens) -> None:
    """What does not fit is refused, the segment ends with a whole frame, and goes on when there is room."""
    journal = tmp_path / "journal"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(journal)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "AICORE_OBS_STATE_DIR": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    ids, refused, accepted = json.loads(done.stdout)
    given = [one for one in ids if one]
    assert 10 < accepted == len(given) < 40
    assert refused == {"journal_error": 40 - accepted}
    assert ids[:10] == given[:10]
    assert None not in ids[30:]
    sink = Hanging()
    sink.hangs, sink.name = False, "down:sink"
    assert open_collector(sinks=[sink], journal_dir=journal).flush()
    assert sink.ids == given


def test_without_a_disk_records_wait_in_memory_and_say_so(tmp_path: Path, open_collector: Opens) -> None:
    """The default falls back where nothing can be written; a durability asked for by name raises."""
    (tmp_path / "file").write_text("no folder")
    nowhere = tmp_path / "file" / "journal"
    sink = Hanging()
    sink.hangs = False
    collector = open_collector(sinks=[sink], journal_dir=nowhere)
    assert collector.stats().durability == "memory"
    assert collector.record_completion(CALL)
    assert collector.flush()
    assert_nothing_lost(collector.stats())
    with pytest.raises(DurabilityError, match="AICORE_OBS_STATE_DIR"):
        LlmOperationCollector(sinks=[sink], journal_dir=nowhere, durability="process")


@pytest.mark.parametrize("durability", ["process", "disk", "memory"])
def test_every_durability_delivers(durability: str, database: Place, open_collector: Opens) -> None:
    """Sync and async; stats name the one in effect."""
    collector = open_collector(**database.arguments, durability=durability)
    ids = [str(collector.record_completion(CALL)) for _ in range(20)]

    async def more() -> None:
        ids.extend(map(str, await asyncio.gather(*(collector.arecord_completion(CALL) for _ in range(20)))))

    asyncio.run(more())
    assert collector.stats().durability == durability
    assert collector.flush()
    assert assert_exactly_once(database, ids) == 40


def test_a_journal_that_is_deleted_under_us_is_counted(database: Place, open_collector: Opens) -> None:
    """Somebody removes the directory: what was in it is gone, and the numbers say so."""
    collector = open_collector(**database.arguments, batch_interval_s=60)
    for _ in range(10):
        collector.record_completion(CALL)
    for segment in database.journal().rglob("*.seg"):
        segment.unlink()
    collector.flush()
    (numbers,) = collector.stats().sinks.values()
    assert numbers.stored + sum(numbers.dropped.values()) == 10
    assert_nothing_lost(collector.stats())


def test_a_neighbour_delivers_while_it_lives(database: Place, tmp_path: Path, open_collector: Opens) -> None:
    """A living collector finds what a dead process has left without being asked."""
    collector = open_collector(**database.arguments)
    collector.record_completion(CALL)
    assert collector.flush()
    fingerprint = str(collector._road._options.writer.fingerprint)  # type: ignore[union-attr]
    leave(database.journal(), [_name(database)], range(5), fingerprint=fingerprint)
    wait_until(lambda: len(database.stored_ids()) == 6, timeout_s=20)
