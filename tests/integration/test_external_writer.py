"""This module is where a collector with ``writer="external"`` is used as users do, with and without a deliverer."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aicore_obs import ConfigurationError, LlmOperationCollector
from aicore_obs.errors import DurabilityError
from aicore_obs.guard import LogWindow
from aicore_obs.pipeline import external
from aicore_obs.pipeline.dead_letters import DeadLetters
from aicore_obs.pipeline.drain import Drain
from aicore_obs.pipeline.owners import Owner, owner_folders
from aicore_obs.pipeline.role import DELIVERY, SEAT, Role, is_held
from tests.faults.law import assert_nothing_lost, wait_until
from tests.faults.places import Place, assert_exactly_once
from tests.faults.sinks import Healthy
from tests.left_behind import ids, leave

Opens = Callable[..., LlmOperationCollector]
CALL = {"model": "gpt-4o"}
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Journals of this test stay in its own folder."""
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state"


@pytest.fixture
def opens() -> Iterator[Opens]:
    """Open collectors that are closed at the end."""
    opened: list[LlmOperationCollector] = []

    def open_one(*places: Any, **options: Any) -> LlmOperationCollector:
        opened.append(LlmOperationCollector(*places, **options))
        return opened[-1]

    yield open_one
    for collector in opened:
        collector.close(timeout_s=0.1)


@pytest.fixture(params=["sqlite", "json", "jsonl", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A new, empty store of each kind."""
    if request.param == "postgresql":
        return Place("postgresql", request.getfixturevalue("postgres_url"))
    return Place.file(request.param, tmp_path)


def fingerprint(collector: LlmOperationCollector) -> str:
    """Return the fingerprint of a collector's journal."""
    return str(collector._road._options.writer.fingerprint)  # type: ignore[union-attr]


def directory(collector: LlmOperationCollector) -> Path:
    """Return the directory of a collector's journal."""
    return Path(str(collector.stats().journal))


def test_an_ordinary_collector_delivers_for_one_that_only_appends(place: Place, opens: Opens) -> None:
    """Same sinks, same directory, same fingerprint: each record once, and both tell the truth about it."""
    appends = opens(**place.arguments, writer="external")
    given = [appends.record_completion(CALL) for _ in range(20)]
    assert not appends.flush(0.1)
    assert appends.stats().drain_alive is False
    ordinary = opens(**place.arguments)
    assert directory(ordinary) == directory(appends)
    given += [ordinary.record_completion(CALL) for _ in range(5)]
    assert ordinary.flush()
    given += [appends.record_completion(CALL) for _ in range(10)]
    assert appends.flush()
    for collector in (appends, ordinary):
        assert_nothing_lost(collector.stats())
    assert [(one.stored, one.pending) for one in appends.stats().sinks.values()] == [(30, 0)]
    assert appends.stats().drain_alive
    assert appends.close()
    assert ordinary.close()
    assert assert_exactly_once(place, [str(one) for one in given]) == 35
    assert place.journal_files() == []


def test_without_a_deliverer_flush_tells_the_truth(opens: Opens) -> None:
    """Nothing arrives, nothing is lost, and it is said how long the oldest has waited."""
    appends = opens(db_url="sqlite:///some.db", writer="external")
    for _ in range(3):
        appends.record_completion(CALL)
    begun = time.monotonic()
    flushed = appends.flush(timeout_s=0.2)
    assert (flushed.ok, flushed.pending, flushed.stored) == (False, 3, 0)
    assert time.monotonic() - begun < 15
    stats = appends.stats()
    assert stats.writer == "external"
    assert stats.drain_alive is False
    assert stats.oldest_pending_s is not None
    assert 0.1 < stats.oldest_pending_s < 60
    assert stats.journal_bytes > 0
    assert_nothing_lost(stats)
    assert not Path("some.db").exists()


def test_reading_and_closing_wait_for_nobody(opens: Opens) -> None:
    """A reader flushes first; where nobody delivers it does not hang, and reads what is there."""
    with LlmOperationCollector(db_url="sqlite:///some.db") as before:
        before.record_completion(CALL)
    appends = opens(db_url="sqlite:///some.db", writer="external")
    appends.record_completion(CALL)
    begun = time.monotonic()
    assert appends.polars_from_db().height == 1
    assert not appends.close(timeout_s=60)
    assert time.monotonic() - begun < 20


def test_nothing_to_deliver_leaves_nothing(opens: Opens) -> None:
    """A collector that recorded nothing is flushed at once, and takes its folder along."""
    appends = opens(db_url="sqlite:///some.db", writer="external")
    assert appends.flush(0)
    assert appends.close()
    assert not Path("some.db.journal").exists()


def test_the_environment_decides_where_the_program_does_not(opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    """``AICORE_OBS_WRITER`` is for every collector that says nothing itself."""
    monkeypatch.setenv("AICORE_OBS_WRITER", "external")
    assert opens(db_url="sqlite:///some.db").stats().writer == "external"
    assert opens(db_url="sqlite:///some.db", writer="internal").stats().writer == "internal"
    monkeypatch.setenv("AICORE_OBS_WRITER", "extern")
    with pytest.raises(ConfigurationError, match="AICORE_OBS_WRITER"):
        opens(db_url="sqlite:///some.db")


def test_what_nobody_else_could_deliver_is_refused(tmp_path: Path) -> None:
    """Sinks that are objects, journals in memory, directories that cannot be had."""
    with pytest.raises(ConfigurationError, match="healthy:sink"):
        LlmOperationCollector(sinks=[Healthy()], writer="external")
    with pytest.raises(ConfigurationError, match="memory"):
        LlmOperationCollector(durability="memory", writer="external")
    with pytest.raises(ConfigurationError, match="internal, external"):
        LlmOperationCollector(writer="else")  # type: ignore[arg-type]
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DurabilityError, match="external"):
        LlmOperationCollector(writer="external", journal_dir=tmp_path / "taken")


def test_the_process_has_no_driver_and_no_thread() -> None:
    """What only a writer needs is not even imported."""
    program = """
import sys, threading
# filelock imports it where there is one; so there is none, for whoever asks.
sys.modules["sqlite3"] = None
from aicore_obs import LlmOperationCollector
collector = LlmOperationCollector(db_url="sqlite:///some.db", writer="external")
assert collector.record_completion({"model": "m"}, response={"text": "x"})
assert sys.modules.pop("sqlite3") is None
heavy = ("sqlalchemy", "alembic", "aiosqlite", "sqlite3", "asyncpg", "polars")
print([name for name in heavy if name in sys.modules], threading.active_count())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "[] 1\n"


def test_at_the_cap_records_are_refused_until_somebody_delivers(opens: Opens) -> None:
    """The journal is kept up to its cap; what is delivered makes room, which the appending process finds by itself."""
    appends = opens(db_url="sqlite:///some.db", writer="external", journal_max_bytes="400KB")
    long = {"model": "m", "messages": ["x" * 5000]}
    given = [appends.record_completion(long) for _ in range(100)]
    stats = appends.stats()
    assert stats.refused == {"journal_full": given.count(None)}
    assert given.count(None) > 10
    assert stats.journal_bytes <= stats.journal_max_bytes == 400_000
    assert_nothing_lost(stats)
    ordinary = opens(db_url="sqlite:///some.db")
    assert ordinary.flush()
    wait_until(lambda: appends.record_completion(long) is not None)
    assert appends.flush(20)
    assert_nothing_lost(appends.stats())


def test_a_missing_drain_is_said_in_the_log(
    opens: Opens, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once per window, with where the records wait."""
    monkeypatch.setattr(external, "LOOK_S", 0.0)
    monkeypatch.setattr(external, "OLD_S", 0.0)
    monkeypatch.setattr(external, "log_window", LogWindow())
    appends = opens(db_url="sqlite:///some.db", writer="external")
    with caplog.at_level(logging.WARNING, "aicore_obs"):
        for _ in range(5):
            appends.record_completion(CALL)
    (said,) = [one.getMessage() for one in caplog.records if "drain --watch" in one.getMessage()]
    assert str(directory(appends)) in said


def test_dead_letters_are_known_to_the_process_that_recorded(opens: Opens) -> None:
    """A damaged record in a living process's segment: the others arrive, and its own flush says that one did not."""
    appends = opens(db_url="sqlite:///some.db", writer="external")
    for _ in range(10):
        appends.record_completion(CALL)
    (folder,) = owner_folders(directory(appends))
    segment = next(folder.glob("*.seg"))
    data = bytearray(segment.read_bytes())
    data[len(data) * 3 // 4] ^= 0xFF
    with segment.open("r+b") as file:
        file.write(data)
    ordinary = opens(db_url="sqlite:///some.db")
    flushed = appends.flush(30)
    assert not flushed
    (sink,) = flushed.sinks.values()
    assert (sink.stored, sink.dead_lettered, sink.pending) == (9, 1, 0)
    assert_nothing_lost(appends.stats())
    assert len(DeadLetters(directory(appends)).all()) == 1
    assert appends.flush(1)
    assert_nothing_lost(ordinary.stats())


def test_a_journal_that_is_deleted_is_counted_and_made_again(opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was in it is lost and says so; what comes arrives."""
    monkeypatch.setattr(external, "LOOK_S", 0.0)
    appends = opens(db_url="sqlite:///some.db", writer="external")
    for _ in range(4):
        appends.record_completion(CALL)
    Owner.of_another(next(owner_folders(directory(appends)))).remove()
    # Goes where the others went, and finds out.
    appends.record_completion(CALL)
    for _ in range(3):
        appends.record_completion(CALL)
    ordinary = opens(db_url="sqlite:///some.db")
    assert not appends.flush(20)
    (sink,) = appends.stats().sinks.values()
    assert (sink.stored, sink.dropped, sink.pending) == (3, {"lost with the journal": 5}, 0)
    assert_nothing_lost(appends.stats())
    assert_nothing_lost(ordinary.stats())


def test_an_ordinary_collector_gives_way_to_a_drain(opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    """It delivered while nobody sat there; who sits down gets the role, and each record is counted by one of them."""
    appends = opens(storage_path="some.jsonl", writer="external")
    appends.record_completion(CALL)
    ordinary = opens(storage_path="some.jsonl")
    assert appends.flush(20)
    where, who = directory(appends), fingerprint(appends)
    seat = Role.take(SEAT, where, who)
    assert seat is not None
    appends.record_completion(CALL)
    wait_until(lambda: ordinary.flush() and is_held(DELIVERY, where, who) is False)
    role = Role.take(DELIVERY, where, who)
    assert role is not None
    appends.record_completion(CALL)
    assert ordinary.flush()
    assert not appends.flush(0.1)
    assert_nothing_lost(ordinary.stats())
    role.release()
    seat.release()
    assert ordinary.flush()
    assert appends.flush(20)
    assert_nothing_lost(ordinary.stats())
    assert len(set(Place("jsonl", str(Path("some.jsonl"))).stored_ids())) == 3


def test_the_dead_that_only_appended_are_delivered_once(opens: Opens) -> None:
    """By the next ordinary start; but not beside somebody who holds the role."""
    with LlmOperationCollector(storage_path="some.jsonl") as ordinary:
        who, (name,) = fingerprint(ordinary), ordinary.stats().sinks
    where = Path("some.jsonl.journal").absolute()
    left = leave(where, [name], range(5), fingerprint=who, external=True)
    role = Role.take(DELIVERY, where, who)
    assert role is not None
    with LlmOperationCollector(storage_path="some.jsonl") as ordinary:
        assert ordinary.flush()
    assert left.path.exists()
    role.release()
    with LlmOperationCollector(storage_path="some.jsonl") as ordinary:
        assert ordinary.flush()
    assert not where.exists()
    assert sorted(Place("jsonl", "some.jsonl").stored_ids()) == ids(range(5))


def test_a_drain_that_finds_nothing_ends_when_it_is_told() -> None:
    """Nothing is made, and no thread is left."""
    told = iter([False, False, True])
    assert Drain(list, stopped=lambda: next(told), tell=print).run() == []
