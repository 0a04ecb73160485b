"""This module is where it is checked that, on every store, a newer version of an operation replaces the older."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aicore_obs import copy_store, prune
from aicore_obs.model.cost import Cost
from aicore_obs.model.operation import Operation
from aicore_obs.model.record import Record
from aicore_obs.protocols import Address, Sink
from tests import records

COLUMNS = ("labels", "extras", "tags", "user_id", "latency_ms", "completion_args", "response")
REQUEST, RESPONSE = {"model": "m"}, {"id": "r-1"}
BOTH = ({"team": "a"}, {"n": 1, "m": 2}, ["t"], "u-1", 5.0, REQUEST, RESPONSE)


def whole(place: Address, **filters: Any) -> list[tuple[Any, ...]]:
    """Read what an operation says; databases spell JSON in their own way."""
    rows = records.read(place, *COLUMNS, **filters)
    return [(*row[:-2], json.loads(row[-2]), json.loads(row[-1])) for row in rows]


@pytest.fixture(params=records.KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """The address of a store that does not exist yet, one of each kind."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    return records.address(request.param, tmp_path, url)


def versions() -> tuple[Operation, Operation]:
    """Return an operation, and the same with more said of it."""
    first = records.operation(completion_args=REQUEST, response=RESPONSE, extras={"n": 1}, latency_ms=5.0)
    said: dict[str, Any] = {"labels": {"team": "a"}, "tags": ("t",), "user_id": "u-1"}
    extras = msgspec.Raw(msgspec.json.encode({"n": 1, "m": 2}))
    return first, msgspec.structs.replace(first, **said, extras=extras, replaces=True)


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two"])
def test_the_newer_version_is_read_and_once(place: Address, together: bool) -> None:
    """Whichever batches they came in; filters see what it says, and not what the older one said."""
    first, second = versions()
    other = records.operation()
    records.write(place, *([[first, other, second]] if together else [[first, other], [second]]))
    assert whole(place, user_id="u-1") == [BOTH]
    assert whole(place, operation_id=first.id) == [BOTH]
    assert len(records.read(place)) == 2


def test_versions_that_come_again_change_nothing(place: Address) -> None:
    """A batch that is given again after a crash, and the older version by itself."""
    first, second = versions()
    newest = msgspec.structs.replace(second, user_id="u-2")

    async def again(sink: Sink) -> None:
        notes: list[int] = []
        await sink.write(records.batch([first], note=notes.append))
        for batch in ([first], [first, second], [second, newest], [first, second, newest]):
            await sink.write(records.batch(batch, noted=notes[0] if notes else None))

    records.with_sink(place, again)
    assert records.read(place, "user_id", "labels") == [("u-2", {"team": "a"})]


def test_what_was_said_of_the_operation_stays(place: Address) -> None:
    """Flags, scores and costs that were made again are the operation's, whatever its version."""
    first, second = versions()
    later: list[Record] = [
        records.flag(first, reason="good"),
        records.score(first, "helpful", True),
        records.revision(first, Cost(total=Decimal(3), source="a-book")),
    ]
    records.write(place, [first, *later], [second])
    assert records.read(place, "cost_usd", "user_id", flagged_for="good", scored="helpful") == [(Decimal(3), "u-1")]


@pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
def test_a_copy_has_the_newer_version(place: Address, kind: str, tmp_path: Path) -> None:
    """Both sides hold the same, by their checksums; twice is once."""
    first, second = versions()
    records.write(place, [first, records.operation()], [second])
    (tmp_path / "copy").mkdir()
    target = records.address(kind, tmp_path / "copy")
    for _ in range(2):
        assert copy_store(place, target).ok
    assert whole(target, user_id="u-1") == [BOTH]
    assert len(records.read(target)) == 2


def test_all_versions_are_deleted_together(place: Address) -> None:
    """By what the newer one says; it counts as one operation, and nothing brings the older one back."""
    first, second = versions()
    records.write(place, [first, records.operation()], [second])
    pruned = prune(store=place, user_id="u-1", dry_run=False)
    assert pruned.operations == 1
    assert [row[0] for row in records.read(place, "user_id")] == [None]
    assert len(records.read(place)) == 1
