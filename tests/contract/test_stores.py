"""This module is where the duties of a sink are checked, once, on every store that writes."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from aicore_obs import plugins
from aicore_obs.errors import SinkRejected, SinkUnavailable
from aicore_obs.model.record import Record
from aicore_obs.protocols import Address, Sink, Store
from tests import records
from tests.databases import ROOT, Database


@pytest.fixture(params=records.KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """The address of a store that does not exist yet, one of each kind."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    return records.address(request.param, tmp_path, url)


@pytest.fixture(params=records.DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """The address of a database that has no tables yet."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    return records.address(request.param, tmp_path, url)


def ids(given: Sequence[Record]) -> list[str]:
    """Return the ids of records, in order."""
    return sorted(one.id for one in given)


def test_what_was_written_is_there(place: Address) -> None:
    """A batch is stored when write() has returned, and the reader finds it."""
    given = [
        records.operation(
            completion_args={"model": "gpt-4"},
            response={"id": "r-1"},
            provider="openai",
            latency_ms=12.5,
            session_id="s-1",
            tags=("a", "b"),
            labels={"team": "red"},
            extras={"n": 1},
        ),
        records.operation(operation_type="embedding"),
    ]
    records.write(place, given)

    columns = ("timestamp", "operation_type", "provider", "latency_ms", "session_id", "tags", "labels", "extras")
    assert records.read(place, *columns) == [
        (records.WHEN, "completion", "openai", 12.5, "s-1", ["a", "b"], {"team": "red"}, {"n": 1}),
        (records.WHEN, "embedding", None, None, None, [], None, None),
    ]


def test_every_kind_is_kept(place: Address) -> None:
    """Operation, scope, span and flag all stay."""
    one = records.operation()
    given: list[Record] = [one, records.scope(), records.span(), records.flag(one, reason="good")]
    records.write(place, given)
    assert records.kept_ids(place) == ids(given)


def test_a_batch_that_comes_again_is_stored_once(place: Address) -> None:
    """A batch whose first try may have worked is given again with what the sink had noted: each id is there once."""
    one = records.operation()
    given: list[Record] = [one, *records.operations(3), records.span(), records.flag(one, reason="good")]
    notes: list[int] = []

    async def twice(sink: Sink) -> None:
        await sink.write(records.batch(given, note=notes.append))
        await sink.write(records.batch([*given, *later], noted=notes[0] if notes else None))

    later = records.operations(2)
    records.with_sink(place, twice)
    assert records.kept_ids(place) == ids([*given, *later])


def test_a_sink_without_unique_keys_notes_first(place: Address) -> None:
    """What a sink notes is noted before it writes, so that a death in between can be repaired."""
    before = records.operations(2)
    records.write(place, before)
    seen: list[list[str]] = []

    async def work(sink: Sink) -> None:
        await sink.write(records.batch(records.operations(1), note=lambda _: seen.append(records.kept_ids(place))))

    records.with_sink(place, work)
    assert seen == ([ids(before)] if place.kind in records.FILES else [])


def test_a_batch_may_come_in_halves(place: Address) -> None:
    """The road splits batches and keeps the note of the whole: nothing is lost and nothing is doubled."""
    given = records.operations(9)
    notes: list[int] = []

    async def halves(sink: Sink) -> None:
        await sink.write(records.batch(given[:4], note=notes.append))
        noted = notes[0] if notes else None
        await sink.write(records.batch(given[4:], noted=noted))
        await sink.write(records.batch(given, noted=noted))

    records.with_sink(place, halves)
    assert records.kept_ids(place) == ids(given)


POISON: dict[str, Callable[[], Record]] = {
    "an integer past 64 bits": lambda: records.operation(seq=2**63),
    "an id that is no UUID": lambda: records.operation(id="not-a-uuid"),
    "a span with an id that is no UUID": lambda: records.span(id="not-a-uuid"),
    "a score of what is no UUID": lambda: records.score(records.operation(id="not-a-uuid"), "helpful", 1.0),
    "a flag on what is no UUID": lambda: records.flag(records.operation(id="not-a-uuid"), reason="good"),
}
# SQLite takes any text for an id.
TAKEN_BY_SQLITE = {name for name in POISON if "UUID" in name}


@pytest.mark.parametrize(
    ("database", "poison"),
    [(kind, name) for kind in records.DATABASES for name in POISON if kind != "sqlite" or name not in TAKEN_BY_SQLITE],
    indirect=["database"],
)
def test_a_poison_record_leaves_nothing_behind(database: Address, poison: str) -> None:
    """A batch with one record that can never be stored is rejected as a whole; the sink goes on with the rest."""
    good = [*records.operations(2), records.span()]

    async def work(sink: Sink) -> None:
        with pytest.raises(SinkRejected):
            await sink.write(records.batch([*good, POISON[poison]()]))
        assert records.kept_ids(database) == []
        await sink.write(records.batch(good))

    records.with_sink(database, work)
    assert records.kept_ids(database) == ids(good)


def test_two_sinks_of_one_process_lose_nothing(place: Address) -> None:
    """Two sinks that write to one store at the same time, from its creation on, both store everything."""
    shares = [[records.operations(5) for _ in range(8)] for _ in range(2)]

    async def write_all(batches: Sequence[Sequence[Record]]) -> None:
        sink = plugins.sink(place)
        try:
            await sink.open()
            for one in batches:
                await sink.write(records.batch(one))
        finally:
            await sink.aclose()

    async def both() -> None:
        await asyncio.gather(*map(write_all, shares))

    asyncio.run(both())
    assert records.kept_ids(place) == ids([one for share in shares for part in share for one in part])


def test_processes_share_a_store(place: Address) -> None:
    """Three processes that write to one store at the same time, from its creation on, all store everything."""
    program = [sys.executable, "-m", "tests.writing_child", place.kind, str(place.path or place.url), "6", "5"]
    children = [subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)]
    written = [child.communicate(timeout=200)[0].split() for child in children]
    assert [len(share) for share in written] == [30, 30, 30]
    assert records.kept_ids(place) == sorted(itertools.chain(*written))


def test_flags_fold_whatever_the_order(place: Address) -> None:
    """The newest record of an operation and a reason counts, in whatever order the records arrive."""
    flagged, cleared = [], []
    batches: list[Sequence[Record]] = []
    for order in itertools.permutations(range(4)):
        one, other = records.operations(2)
        story = [
            records.flag(one, other, reason="good", note="first"),
            records.flag(one, other, reason="bad"),
            records.flag(one, reason="good", active=False),
            records.flag(other, active=False),
        ]
        batches += [[one, other], *([story[place]] for place in order)]
        flagged.append(one.id)
        cleared.append(other.id)
    records.write(place, *batches)

    assert [row[0] for row in records.read(place, flagged_for="bad")] == sorted(flagged)
    assert records.read(place, flagged_for="good") == []


def test_scores_fold_whatever_the_order(place: Address) -> None:
    """The newest record of an operation and a name counts, in whatever order the records arrive."""
    kept, gone = [], []
    batches: list[Sequence[Record]] = []
    for order in itertools.permutations(range(4)):
        one, other = records.operations(2)
        story = [
            records.score(one, "helpful", 0.25),
            records.score(other, "helpful", value=True, comment="so it is"),
            records.score(one, "helpful", 0.75),
            records.score(other, "helpful", None),
        ]
        batches += [[one, other], *([story[place]] for place in order)]
        kept.append(one.id)
        gone.append(other.id)
    records.write(place, *batches)

    assert [row[0] for row in records.read(place, min_score={"helpful": 0.5})] == sorted(kept)
    assert [row[0] for row in records.read(place, scored=["helpful", "tone"])] == sorted(kept)
    assert records.read(place, max_score={"helpful": 0.5}) == []


def test_a_flag_after_an_unflag_of_all_counts(place: Address) -> None:
    """An un-flag of every reason takes away what was flagged before it, not what is flagged after it."""
    one = records.operation()
    before, unflag, after = (
        records.flag(one, reason="good"),
        records.flag(one, active=False),
        records.flag(one, reason="better"),
    )
    records.write(place, [after], [one, unflag], [before])
    assert len(records.read(place, flagged_for="better")) == 1
    assert records.read(place, flagged_for="good") == []


def test_a_sink_opens_again(place: Address) -> None:
    """After aclose() a sink can be opened again, and closing twice is harmless."""
    first, second = records.operations(2)

    async def work(sink: Sink) -> None:
        await sink.write(records.batch([first]))
        await sink.aclose()
        await sink.aclose()
        await sink.open()
        await sink.write(records.batch([second]))

    records.with_sink(place, work)
    assert records.kept_ids(place) == ids([first, second])


def test_keys_are_known_after_opening_again(place: Address) -> None:
    """The keys of extras that earlier runs have seen stay fields of the frame."""
    records.write(place, [records.operation(extras={"old": 1})])
    records.write(place, [records.operation(extras={"new": "x"}), records.operation(extras={"old": 2})])
    assert records.read(place, "extras") == [
        ({"old": 1, "new": None},),
        ({"old": None, "new": "x"},),
        ({"old": 2, "new": None},),
    ]


def test_only_databases_have_a_schema(place: Address) -> None:
    """A database is a Store with a version; a file is a sink without."""
    assert isinstance(plugins.sink(place), Store) == (place.kind in records.DATABASES)


def test_the_schema_is_made_and_asked_for(database: Address) -> None:
    """There is no version before, asking makes none, and migrate() is harmless twice."""
    store = plugins.sink(database)
    assert isinstance(store, Store)
    assert asyncio.run(store.schema_version()) == 0
    assert database.path is None or not database.path.exists()
    first = asyncio.run(store.migrate())
    assert first >= 1
    assert asyncio.run(store.migrate()) == first == asyncio.run(store.schema_version())


def test_without_leave_no_schema_is_made(database: Address) -> None:
    """Under migrate="never" a database without tables takes nothing, and the error says what to run."""
    careful = msgspec.structs.replace(database, options=msgspec.structs.replace(database.options, migrate="never"))
    with pytest.raises(SinkUnavailable, match="aicore-obs migrate"):
        records.write(careful, records.operations(1))
    records.write(database, [])
    records.write(careful, records.operations(1))
    assert len(records.kept_ids(database)) == 1


def test_files_belong_to_their_owner_alone(place: Address) -> None:
    """Every file that a store makes has the mode 0600, or the one that was asked for."""
    if place.path is None:
        assert place.kind == "postgresql"
        return
    old = os.umask(0)
    try:
        records.write(place, records.operations(1))
        modes = {path.name: path.stat().st_mode & 0o777 for path in place.path.parent.iterdir()}
    finally:
        os.umask(old)
    assert set(modes.values()) == {0o600}


def test_the_name_tells_the_store_and_no_password(place: Address) -> None:
    """A sink is named as its address is."""
    assert plugins.sink(place).name == place.name


def test_a_server_that_is_gone_is_unavailable(postgres_url: str) -> None:
    """Nobody listens: the sink is unavailable, and the message has no password."""
    nobody = re.sub(r":\d+/", ":1/", postgres_url)
    place = records.address("postgresql", Path(), nobody)
    with pytest.raises(SinkUnavailable) as raised:
        records.write(place, records.operations(1))
    assert "s3cret" not in str(raised.value)


def test_a_cut_connection_is_unavailable_until_it_is_opened_again(postgres_url: str) -> None:
    """The server ends the session: the batch is refused for now, and stored after open()."""
    place = records.address("postgresql", Path(), postgres_url)
    given = records.operations(2)
    others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"

    async def work(sink: Sink) -> None:
        await sink.write(records.batch(given[:1]))
        records.outside(Database(postgres_url).execute, f"SELECT pg_terminate_backend(pid) {others}")
        with pytest.raises(SinkUnavailable):
            await sink.write(records.batch(given[1:]))
        await sink.aclose()
        await sink.open()
        await sink.write(records.batch(given))

    records.with_sink(place, work)
    assert records.kept_ids(place) == ids(given)


@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "deleted"])
def test_a_sqlite_file_that_is_taken_away(tmp_path: Path, replaced: bool) -> None:
    """The sink sees that its file is gone, refuses, and writes into the file of that name after open().

    What SQLite had in the log beside the old file is not laid over the new one.
    """
    place, other = records.address("sqlite", tmp_path), records.address("sqlite", tmp_path / "other")
    theirs = records.operations(30)
    records.write(other, theirs)
    assert place.path is not None
    assert other.path is not None
    given = records.operations(2)

    async def work(sink: Sink) -> None:
        await sink.write(records.batch(given[:1]))
        if replaced:
            os.replace(other.path or "", place.path or "")
        else:
            os.unlink(place.path or "")
        with pytest.raises(SinkUnavailable):
            await sink.write(records.batch(given[1:]))
        await sink.aclose()
        await sink.open()
        await sink.write(records.batch(given[1:]))

    records.with_sink(place, work)
    assert records.kept_ids(place) == ids([*theirs, given[1]] if replaced else given[1:])


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    """The sink is unavailable, the file untouched."""
    place = records.address("sqlite", tmp_path)
    assert place.path is not None
    place.path.write_bytes(b"important letters" * 100)
    with pytest.raises(SinkUnavailable, match="not a SQLite database"):
        records.write(place, records.operations(1))
    assert place.path.read_bytes() == b"important letters" * 100
