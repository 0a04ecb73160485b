"""This module is where the law of archives is held: store and archive together are what the store alone would be."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aicore_obs import archive, scan
from aicore_obs.model.ids import new_id
from aicore_obs.model.operation import Operation
from aicore_obs.protocols import Address
from tests import records
from tests.property.test_same_filter_same_rows import Stored, filters, seconds, stored

Life = tuple[list[Stored], list[Stored]]


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """What comes before the archiving, and what comes after: some of it is what was there already."""
    found = draw(stored())
    cut = draw(st.integers(0, len(found)))
    again = [one for one in found[:cut] if isinstance(one, Operation) and draw(st.booleans())]
    return found[:cut], [*again, *found[cut:]]


def check(folder: Path, kind: str, life: Life, asked: list[dict[str, Any]], cuts: list[datetime]) -> None:
    """Archive between the two parts, and after; and compare with a store that has everything."""
    first, second = life
    whole, parted = (place_in(folder / f"{name}-{new_id()}", kind) for name in ("whole", "parted"))
    to = folder / f"archive-{new_id()}"
    records.write(whole, [*first, *second])
    records.write(parted, first)
    archive(parted, before=cuts[0], to=to)
    records.write(parted, second)
    for cut in cuts:
        for filters_of_one in ({}, *asked):
            assert_frame_equal(
                scan(parted, archive=to, **filters_of_one).collect(), scan(whole, **filters_of_one).collect()
            )
        archive(parted, before=cut, to=to)
    assert scan(parted, end_date=max(cuts) - timedelta(microseconds=1)).collect().height == 0


def place_in(folder: Path, kind: str) -> Address:
    """A new store."""
    folder.mkdir()
    return records.address(kind, folder)


cuts_of_one = st.lists(seconds.map(lambda when: when + timedelta(seconds=1)), min_size=2, max_size=2)


# Few, since each makes two stores and archives three times; hundreds were tried by hand.
few = settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@few
@given(life=lives(), asked=st.lists(filters, min_size=2, max_size=4), cuts=cuts_of_one)
def test_sqlite_and_its_archive_are_one_store(
    tmp_path: Path, life: Life, asked: list[dict[str, Any]], cuts: list[datetime]
) -> None:
    """Rows, columns, order and costs, whatever came later or came again, under every filter."""
    check(tmp_path, "sqlite", life, asked, cuts)


@few
@given(life=lives(), asked=st.lists(filters, min_size=2, max_size=4), cuts=cuts_of_one)
def test_a_file_and_its_archive_are_one_store(
    tmp_path: Path, life: Life, asked: list[dict[str, Any]], cuts: list[datetime]
) -> None:
    """The same of JSON lines."""
    check(tmp_path, "jsonl", life, asked, cuts)
