"""This module is where archives are tested, of every kind of store alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from aicore_obs import archive, prune, reports, scan
from aicore_obs.errors import ConfigurationError, FilterError, StoreDamagedError, StoreError, StoreNotFoundError
from aicore_obs.model.cost import Cost
from aicore_obs.model.operation import Operation
from aicore_obs.model.record import Record
from aicore_obs.protocols import Address
from aicore_obs.stores.archive.files import Rows, verify
from aicore_obs.stores.archive.manifest import locked, read
from tests import records
from tests.integration.test_copy import everything

OLD = records.WHEN - timedelta(days=100)
SAID = ("flags_json", "scores_json", "cost_lines", "billing")
CUT = records.WHEN - timedelta(days=50)


@pytest.fixture(params=records.KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """A store of each kind, which is not there yet."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    return records.address(request.param, tmp_path, url)


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def to(tmp_path: Path) -> Path:
    """Where the archive is to be."""
    return tmp_path / "archive"


def old(*found: Record) -> list[Record]:
    """Records, the operations of them of before the cut."""
    return [
        msgspec.structs.replace(one, timestamp=OLD + timedelta(seconds=place)) if isinstance(one, Operation) else one
        for place, one in enumerate(found)
    ]


def opinions(place: Address, to: Path | None = None) -> pl.DataFrame:
    """What people said of operations, and the lines of their costs: text that frames do not have by themselves."""
    from aicore_obs.query.scan import scan as scan_with

    return scan_with(place, {}, also=SAID, archive=to).select(SAID).collect()


def listed(frame: pl.DataFrame, name: str) -> list[Any]:
    """A column of JSON lists, each without an order, and no list as an empty one."""
    decoded = [msgspec.json.decode(text) if text else [] for text in frame[name]]
    return [sorted(one, key=str) if isinstance(one, list) else one for one in decoded]


def test_store_and_archive_show_what_the_store_showed(place: Address, to: Path) -> None:
    """Every column, every kind of oddity; what was said of it; and records that are no operations stay."""
    found = old(*everything())
    records.write(place, [*found, records.operation(labels={"new": "x"}, extras={"n": "text"})])
    before, said = scan(place).collect(), opinions(place)
    done = archive(place, before=CUT, to=to)
    assert (done.operations, done.deleted, done.files) == (4, 4, 1)
    after = scan(place, archive=to).collect()
    assert_frame_equal(after, before)
    assert after.schema == before.schema
    for name in SAID:
        assert listed(opinions(place, to), name) == listed(said, name), name
    kinds = {type(one).__name__ for one in found if one.id in records.kept_ids(place)}
    assert kinds == {"Span", "Scope"}
    assert len(records.read(place)) == 1
    # Any program reads the files.
    plain = pl.read_parquet(to / "month=*" / "*.parquet", hive_partitioning=True)
    assert plain["month"].unique().to_list() == [f"{OLD:%Y-%m}"]
    assert plain.sort("operation_id")["cost_usd"].to_list() == before[:4].sort("operation_id")["cost_usd"].to_list()


def test_what_is_said_later_is_seen(place: Address, to: Path) -> None:
    """Flags, scores and costs of what is archived: they lie in the store, and the newest counts."""
    one, other = old(records.operation(), records.operation())
    assert isinstance(one, Operation)
    assert isinstance(other, Operation)
    first = records.revision(one, Cost(total=Decimal(2), source="a-book"))
    said = [records.flag(one, reason="good"), records.score(one, "helpful", 0.5), first]
    records.write(place, [one, other, *said])
    archive(place, before=CUT, to=to)
    later = [records.flag(one, active=False), records.flag(one, other, reason="new"), records.score(one, "helpful", 1)]
    records.write(place, [*later, records.revision(one, Cost(total=Decimal(3), source="a-book"))])

    def ids(**filters: Any) -> list[str]:
        return scan(place, archive=to, **filters).collect()["operation_id"].to_list()

    assert ids(flagged_for="good") == []
    assert ids(flagged_for="new") == [one.id, other.id]
    assert ids(min_score={"helpful": 0.7}) == [one.id]
    assert ids(min_cost=3) == [one.id]
    assert ids(cost_as_of=records.WHEN - timedelta(days=1), min_cost=0) == []
    assert scan(place, archive=to).filter(pl.col("cost_usd") > 2).collect()["operation_id"].to_list() == [one.id]
    assert reports.cost(place, archive=to)["cost_usd"].to_list() == [Decimal(3)]


def test_what_comes_again_counts_once(place: Address, to: Path) -> None:
    """A replayed batch, and an adopted one; the next run takes them away again, and nothing keeps new ones out."""
    found = old(*(records.operation(latency_ms=float(number)) for number in range(5)))
    flag = records.flag(*[one for one in found if isinstance(one, Operation)], reason="good")
    records.write(place, [*found, flag])
    before = scan(place).collect()
    archive(place, before=CUT, to=to)
    records.with_sink(place, lambda sink: sink.write(records.batch(found[:3], noted=0)))
    late = old(records.operation(user_id="late"))
    records.write(place, late)
    assert len(records.read(place)) == 4
    both = scan(place, archive=to).collect()
    assert_frame_equal(both.filter(pl.col("user_id").is_null()), before)
    assert scan(place, archive=to, flagged_for="good", order="desc", limit=4).collect().height == 4
    assert scan(place, archive=to, offset=5).collect().height == 1
    again = archive(place, before=CUT, to=to)
    assert (again.operations, again.deleted) == (1, 4)
    assert_frame_equal(scan(place, archive=to).collect(), both)
    assert archive(place, before=CUT, to=to).deleted == 0


def test_a_flag_stays_as_long_as_one_of_its_operations_does(place: Address, to: Path) -> None:
    """One record speaks of several; it leaves with the last of them."""
    (gone,), kept = old(records.operation()), records.operation()
    assert isinstance(gone, Operation)
    both = records.flag(gone, kept, reason="both")
    records.write(place, [gone, kept, both])
    archive(place, before=CUT, to=to)
    assert records.kept_ids(place) == sorted([kept.id, both.id])
    assert records.read(place, flagged_for="both") == [(kept.id,)]
    assert scan(place, archive=to, flagged_for="both").collect().height == 2
    archive(place, before=records.WHEN + timedelta(days=1), to=to)
    assert records.kept_ids(place) == []
    assert scan(place, archive=to, flagged_for="both").collect().height == 2


def test_a_deletion_names_the_archive_and_leaves_it(place: Address, to: Path) -> None:
    """The receipt says which; what is archived stays there."""
    records.write(place, old(records.operation(user_id="me")))
    assert prune(store=place, user_id="me", dry_run=True).archives == ()
    archive(place, before=CUT, to=to)
    assert prune(store=place, user_id="me").archives == (str(to),)
    assert scan(place, archive=to, user_id="me").collect().height == 1


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_file_that_is_not_what_was_verified_deletes_nothing(place: Address, to: Path) -> None:
    """An operation that came again, and a file that was changed, or is not there."""
    found = old(records.operation())
    records.write(place, found)
    archive(place, before=CUT, to=to)
    records.with_sink(place, lambda sink: sink.write(records.batch(found, noted=0)))
    file = to / read(to).files[0].path
    data = file.read_bytes()
    # In the last page before the footer.
    place_of_byte = len(data) - 8 - int.from_bytes(data[-8:-4], "little") - 4
    file.write_bytes(data[:place_of_byte] + bytes([data[place_of_byte] ^ 1]) + data[place_of_byte + 1 :])
    with pytest.raises(StoreDamagedError, match=r"operations-.*\.parquet .*; restore it"):
        archive(place, before=CUT, to=to)
    file.unlink()
    with pytest.raises(StoreError):
        archive(place, before=CUT, to=to)
    assert records.read(place) == [(found[0].id,)]


@pytest.mark.parametrize("place", ["jsonl"], indirect=True)
def test_a_file_is_compared_with_what_was_given(place: Address, to: Path) -> None:
    """One row less, or another value in one, is another count or another checksum; order is nothing."""
    found = old(*(records.operation(seq=number) for number in range(3)))
    records.write(place, found)
    archive(place, before=CUT, to=to)
    path = to / read(to).files[0].path
    frame = pl.read_parquet(path)

    def given(rows: pl.DataFrame) -> Rows:
        reckoned = Rows()
        for part in rows.iter_slices(2):
            reckoned.add(part)
        return reckoned

    verify(path, given(frame.reverse()))
    for other in (frame[:2], frame.with_columns(seq=pl.Series([0, 1, 3])), frame.with_columns(model=pl.lit(""))):
        with pytest.raises(StoreError, match="nothing was deleted"):
            verify(path, given(other))


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_what_cannot_be_is_said(place: Address, to: Path, tmp_path: Path) -> None:
    """No store, no time, no directory, another store's archive, one that is at work, none at all."""
    with pytest.raises(StoreNotFoundError):
        archive(place, before=CUT, to=to)
    records.write(place, old(records.operation()))
    with pytest.raises(FilterError, match="before='soon'"):
        archive(place, before="soon", to=to)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="is no directory"):
        archive(place, before=CUT, to=tmp_path / "file")
    with pytest.raises(StoreDamagedError, match=r"has no manifest\.json"):
        scan(place, archive=tmp_path / "nothing")
    with locked(to, file_mode=0o600), pytest.raises(StoreError, match="another program archives into it"):
        archive(place, before=CUT, to=to)
    assert archive(place, before="1d", to=to).operations == 1
    other = records.address("sqlite", tmp_path / "other")
    records.write(other, old(records.operation()))
    with pytest.raises(ConfigurationError, match="is the archive of"):
        archive(other, before=CUT, to=to)
    assert len(records.read(other)) == 1


def months(count: int) -> Sequence[Operation]:
    """An operation in the middle of each month."""
    return [
        records.operation(timestamp=OLD.replace(year=2024 + number // 12, month=1 + number % 12, day=15), seq=number)
        for number in range(count)
    ]


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_files_of_other_times_are_not_opened(place: Address, to: Path) -> None:
    """A filter or a predicate on time, or a limit, reads what it needs: the other files are not even there."""
    records.write(place, months(6))
    archive(place, before="2024-06-01", to=to)
    kept = read(to).files
    assert [file.path[:13] for file in kept] == [f"month=2024-0{month}" for month in range(1, 6)]
    for file in (kept[0], kept[1], kept[4]):
        (to / file.path).unlink()

    def numbers(frame: pl.LazyFrame) -> list[int]:
        return frame.select("seq").collect()["seq"].to_list()

    assert numbers(scan(place, archive=to, start_date="2024-03-01", end_date="2024-04-30")) == [2, 3]
    between = (pl.col("timestamp") >= pl.datetime(2024, 3, 1, time_zone="UTC")) & (
        pl.col("timestamp") < pl.datetime(2024, 4, 1, time_zone="UTC")
    )
    assert numbers(scan(place, archive=to).filter(between)) == [2]
    assert numbers(scan(place, archive=to, order="desc", limit=1)) == [5]
    with pytest.raises(StoreDamagedError, match="cannot be read"):
        numbers(scan(place, archive=to))
