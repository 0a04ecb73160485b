"""This module is where deleting is tested, on every kind of store alike."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aicore_obs.errors import FilterError, StoreError, StoreNotFoundError
from aicore_obs.model.cost import Cost
from aicore_obs.model.deletion import COUNTS
from aicore_obs.model.operation import Derived
from aicore_obs.model.record import ErrorInfo, Record
from aicore_obs.model.usage import Usage
from aicore_obs.protocols import Address
from aicore_obs.pruning import prune
from tests import records


@pytest.fixture(params=records.KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """A store of each kind, which is not there yet."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    return records.address(request.param, tmp_path, url)


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))


class Kept:
    """A store with two users' operations, flags, scores and revisions on both, a span and a session."""

    def __init__(self, place: Address) -> None:
        texts = {"completion_args": {"messages": ["hello"]}, "response": {"text": "hi"}}
        error = ErrorInfo(type="ValueError", message="said what", stack="said where")
        self.mine = [records.operation(user_id="me", error=error, **texts) for _ in range(3)]
        self.theirs = [records.operation(user_id="you", session_id="s-1", **texts) for _ in range(2)]
        priced = Cost(total=Decimal(3), source="a-book")
        self.of_mine: list[Record] = [
            records.flag(self.mine[0], reason="good"),
            records.flag(self.mine[0], reason="good", active=False, note="no longer"),
            records.revision(self.mine[1], priced),
            records.score(self.mine[1], "helpful", value=False),
            records.score(self.mine[1], "helpful", value=True),
        ]
        self.shared = records.flag(self.mine[0], self.theirs[0], reason="both")
        self.rest: list[Record] = [
            records.flag(self.theirs[1], reason="bad"),
            records.revision(self.theirs[1], priced),
            records.score(self.theirs[1], "helpful", 0.5),
            records.span(session_id="s-1"),
            records.scope(session_id="s-1"),
        ]
        self.batch: list[Record] = [*self.mine, *self.theirs, *self.of_mine, self.shared, *self.rest]
        records.write(place, self.batch)


def ids(found: list[Any]) -> list[str]:
    """The ids of records, in order."""
    return sorted(one.id for one in found)


def test_what_matches_goes_with_all_that_hangs_on_it(place: Address) -> None:
    """Payloads, flags, scores, revisions and their records; what is somebody else's stays, a shared flag too."""
    kept = Kept(place)
    counted = prune(store=place, user_id="me", dry_run=True)
    assert records.kept_ids(place) == ids(kept.batch)
    found = prune(store=place, user_id="me")
    assert records.kept_ids(place) == ids([*kept.theirs, kept.shared, *kept.rest])
    assert {name: getattr(found, name) for name in COUNTS if name != "payload_bytes"} == {
        "operations": 3,
        "payloads": 6,
        "flags": found.flags,
        "cost_revisions": 1,
        "scores": found.scores,
        "records": 5,
        "dead_letters": 0,
    }
    assert msgspec.structs.replace(found, dry_run=True, records=0, bytes_after=None, notes=()) == (
        msgspec.structs.replace(counted, bytes_after=None)
    )
    assert found.payload_bytes == 3 * (len('{"messages":["hello"]}') + len('{"text":"hi"}'))
    assert records.read(place, flagged_for="good") == []
    assert records.read(place, flagged_for=["both", "bad"]) == [(one.id,) for one in sorted_by_id(kept.theirs)]
    assert prune(store=place, user_id="me").operations == 0


def sorted_by_id(found: list[Any]) -> list[Any]:
    """Records in the order of their ids."""
    return sorted(found, key=lambda one: one.id)


def test_nothing_comes_back(place: Address) -> None:
    """The same batch again, as a replay brings it; and records that were never here, as an adopted journal has them."""
    kept = Kept(place)
    late = records.operation(user_id="me")
    prune(store=place, user_id="me")
    before = records.kept_ids(place)

    async def again(sink: Any) -> None:
        await sink.write(records.batch(kept.batch, noted=0))
        await sink.write(records.batch([late]))

    records.with_sink(place, again)
    after = [one for one in records.read(place, "user_id") if one[0] == "me"]
    assert after == []
    assert set(before) <= set(records.kept_ids(place)) <= {*before, *ids(kept.of_mine)}
    young = records.operation(user_id="me")
    records.write(place, [young])
    assert records.read(place, user_id="me") == [(young.id,)]


@pytest.mark.parametrize("filters", [{"flagged_for": "good"}, {"min_cost": 2}, {"min_score": {"helpful": 0.5}}])
def test_what_a_record_does_not_say_itself_stays_away_by_its_id(place: Address, filters: dict[str, Any]) -> None:
    """Flags, scores and later costs decide what goes; the operation that comes again has none."""
    one, other = records.operation(), records.operation()
    said: list[Record] = [
        records.flag(one, reason="good"),
        records.revision(one, Cost(total=Decimal(3), source="a-book")),
    ]
    said.append(records.score(one, "helpful", value=True))
    records.write(place, [one, other, *said])
    assert prune(store=place, **filters).operations == 1
    records.with_sink(place, lambda sink: sink.write(records.batch([one, other, *said], noted=0)))
    assert records.read(place) == [(other.id,)]
    assert records.kept_ids(place) == [other.id]


def test_numbers_may_outlive_what_was_said(place: Address) -> None:
    """Requests, responses, messages and stacks go; usage, costs, flags and names stay, and no replay brings it back."""
    kept = Kept(place)
    found = prune(store=place, user_id="me", content_only=True)
    assert (found.operations, found.payloads, found.flags, found.records) == (3, 6, 0, 0)
    records.with_sink(place, lambda sink: sink.write(records.batch(kept.batch, noted=0)))
    late = records.operation(completion_args={"said": 1}, user_id="me")
    assert records.kept_ids(place) == ids(kept.batch)
    said = ("completion_args", "response", "error_message", "error_stack")
    assert records.read(place, *said, user_id="me") == [(None,) * 4] * 3
    assert records.read(place, "error_type", user_id="me") == [("ValueError",)] * 3
    assert [row[0] is None for row in records.read(place, "completion_args", user_id="you")] == [False] * 2
    assert records.read(place, "cost_usd", user_id="me", min_cost=3) == [(Decimal(3),)]
    assert prune(store=place, user_id="me", content_only=True).operations == 0
    records.write(place, [late])
    assert len(records.read(place, "user_id", user_id="me")) == 4


def test_age_reaches_every_kind(place: Address) -> None:
    """A filter that every header answers takes spans and sessions too, but no session that still has operations."""
    old = records.WHEN - timedelta(days=100)
    gone: list[Record] = [
        records.operation(timestamp=old),
        records.span(timestamp=old),
        records.scope(timestamp=old, session_id="over"),
    ]
    stays: list[Record] = [
        records.operation(session_id="s-1"),
        records.span(),
        *([records.scope(timestamp=old, session_id="s-1")] if place.kind in records.DATABASES else []),
    ]
    records.write(place, [*gone, *stays])
    found = prune(store=place, end_date=old)
    assert (found.operations, found.records) == (1, 2)
    assert records.kept_ids(place) == ids(stays)
    records.with_sink(place, lambda sink: sink.write(records.batch(gone, noted=0)))
    assert records.kept_ids(place) == ids(stays)


def test_older_than_is_an_age(place: Address) -> None:
    """Everything here is of January 2026."""
    kept = Kept(place)
    assert prune(store=place, older_than=timedelta(days=365_00)).operations == 0
    assert prune(store=place, older_than="1m").operations == len([*kept.mine, *kept.theirs])
    assert records.kept_ids(place) == []


def test_a_deletion_says_what_it_is_about(place: Address) -> None:
    """No filter, one that selects nothing, and an age that is none are refused; so is a store that is not there."""
    with pytest.raises(StoreNotFoundError) if place.kind != "postgresql" else pytest.raises(FilterError):
        prune(store=place, user_id="me", **({"limit": 1} if place.kind == "postgresql" else {}))
    Kept(place)
    for wrong in (
        {},
        {"limit": 3},
        {"columns": ["model"]},
        {"user": "me"},
        {"older_than": "1d", "end_date": "2026-01-01"},
    ):
        with pytest.raises(FilterError):
            prune(store=place, **wrong)
    for odd in ("soon", "90", 90, "99999999999d"):
        with pytest.raises(ValueError, match="older_than="):
            prune(store=place, older_than=odd)
    assert len(records.read(place)) == 5
    assert prune(store=place, everything=True).operations == 5


ODD = "it's \\ 100 % \u00e9 a_b \U0001f600 \x00 \ue000"
FILTERS: list[dict[str, Any]] = [
    {"user_id": [ODD, "you"], "start_date": records.WHEN},
    {"tags": [ODD]},
    {"labels": {"team": ODD}},
    {"max_cost": "2.5", "min_cost": 0},
    {"flagged_for": [ODD, "bad"]},
    {"model": "small", "project": "shop", "provider": "acme"},
    {"status": "error", "end_date": "2026-01-31"},
    {"min_tokens": 5, "max_tokens": 8, "min_latency": 0.5},
    {"workspace": "w", "agent_id": "a", "action_id": "b", "operation_type": "chat", "run_id": "r", "session_id": "s"},
]


def test_what_a_reader_shows_is_what_goes(place: Address) -> None:
    """The same words, the same rows; and the same again of a batch that is written once more."""
    derived = Derived(model="small", usage=Usage(total_tokens=6), cost=Cost(total=Decimal(2), source="a-book"))
    scopes = {"workspace": "w", "agent_id": "a", "action_id": "b", "operation_type": "chat", "run_id": "r"}
    kept: list[str] = []
    # What PostgreSQL says in its own way comes first, and every round there takes a second.
    for filters in FILTERS[:5] if place.kind == "postgresql" else FILTERS:
        found: list[Any] = [
            records.operation(user_id=ODD, tags=(ODD, "x"), labels={"team": ODD, "n": "1"}),
            records.operation(user_id="you", tags=("a", "b"), labels={"team": "red"}),
            records.operation(derived=derived, project="shop", provider="acme", latency_ms=1.5),
            records.operation(error=ErrorInfo(type="OSError"), session_id="s", **scopes),
            records.operation(session_id="s", **scopes),
            records.operation(),
        ]
        said = [records.flag(found[5], reason=ODD), records.flag(found[0], reason="bad")]
        records.write(place, [*found, *said])
        gone = [row[0] for row in records.read(place, **filters)]
        assert gone, filters
        assert prune(store=place, **filters).operations == len(gone)
        kept += [one.id for one in found]
        kept = [one for one in kept if one not in gone]
        assert [row[0] for row in records.read(place)] == kept
        records.with_sink(place, lambda sink, found=found: sink.write(records.batch(found, noted=0)))  # type: ignore[misc]
        assert [row[0] for row in records.read(place)] == kept


def test_a_newer_program_may_delete_in_ways_that_this_one_does_not_know(tmp_path: Path) -> None:
    """Then older records wait, and say so, instead of coming back."""
    place = records.address("jsonl", tmp_path)
    kept = Kept(place)
    prune(store=place, user_id="nobody")
    beside = tmp_path / "store.jsonl.deletions"
    beside.write_text(beside.read_text().replace("user_id", "mood"))
    with pytest.raises(Exception, match=r"mood.*pip install -U aicore-obs"):
        records.write(place, kept.batch)
    young = records.operation()
    records.write(place, [young])
    assert young.id in records.kept_ids(place)


def test_a_store_that_says_no_is_told(tmp_path: Path) -> None:
    """A file that is no database."""
    place = records.address("sqlite", tmp_path)
    assert place.path is not None
    place.path.write_text("no database, but long enough to be looked at " * 10)
    with pytest.raises(StoreError, match="not a SQLite database"):
        prune(store=place, user_id="me")
