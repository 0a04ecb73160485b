"""This module is where costing again is tested, on every store, with a collector as the road of the revisions."""

from __future__ import annotations

import contextlib
import decimal
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aicore_obs import LlmOperationCollector
from aicore_obs.errors import FilterError, StoreError, StoreNotFoundError
from aicore_obs.model.cost import BILL, Billing, Cost, money
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.usage import Usage
from aicore_obs.protocols import Address
from aicore_obs.query.costs import read_costs
from aicore_obs.query.reader import read_frame
from aicore_obs.query.recost import DIFFERENCES, RECOST_ROWS, Recost, Recosted, default_author, recost
from tests import records
from tests.databases import ROOT

MTOK = 10**6


class Book:
    """A book of US dollars per million tokens of input; twice as much from 2027 on, half for batches."""

    def __init__(self, version: str, **prices: str) -> None:
        self._version = version
        self._prices = prices

    def cost(
        self,
        *,
        provider: str | None,
        model: str | None,
        response_model: str | None,
        usage: Usage,
        billing: Billing,
        at: datetime,
        api: str | None = None,
    ) -> Cost:
        price = self._prices.get(model or "")
        if price is None:
            return Cost(reason=f"no price for {model}", book=self._version)
        amount = Decimal(price) * (usage.input_tokens or 0) / MTOK * (2 if at.year > 2026 else 1)
        amount = money(amount / 2 if billing.conditions.get("batch") else amount)
        reason = "searches have no price" if usage.web_searches else None
        ids = {"price_id": f"{provider}/{model}/{self._version}", "book": self._version, "model": model}
        return Cost(total=amount, input=amount, source="a-book", reason=reason, **ids)


OLD = Book("old", small="1", large="10")
NEW = Book("new", small="1", large="12.5", fresh="3")


@pytest.fixture(params=records.KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """The address of a store that does not exist yet, one of each kind."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    return records.address(request.param, tmp_path, url)


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))


def used(model: str, *, book: Book | None = OLD, billing: Billing | None = None, **fields: Any) -> Operation:
    """Return an operation that used 1,000 tokens of input, costed by a book."""
    usage = Usage(input_tokens=1000, output_tokens=0, web_searches=fields.pop("web_searches", None))
    derived = Derived(model=model, usage=usage, billing=billing or Billing())
    one = records.operation(provider="acme", derived=derived, **fields)
    if book is None:
        return one
    what = {"provider": "acme", "model": model, "response_model": None, "usage": usage, "billing": derived.billing}
    return with_cost(one, book.cost(**what, at=one.timestamp))


def with_cost(one: Operation, cost: Cost) -> Operation:
    """Return the operation with this cost."""
    return msgspec.structs.replace(one, derived=msgspec.structs.replace(one.derived or Derived(), cost=cost))


@contextlib.contextmanager
def collector_of(place: Address, **options: Any) -> Iterator[LlmOperationCollector]:
    """A collector that writes to the store."""
    url = place.url if place.url is not None else str(place.path)
    if place.kind == "sqlite":
        url = f"sqlite:///{place.path}"
    with LlmOperationCollector(sinks=[url], **options) as collector:
        yield collector


def applied(place: Address, book: Book, *, author: str | None = None, **filters: Any) -> Recosted:
    """Cost again and keep the differences."""
    with collector_of(place) as collector:
        how = Recost(book=book, record=collector.record, author=author)
        return recost(place, filters, how, before=collector.flush)


def tried(place: Address, book: Book, **filters: Any) -> Recosted:
    """Cost again and keep nothing."""
    return recost(place, filters, Recost(book=book))


def totals(place: Address) -> list[Decimal | None]:
    """What each operation is shown to cost, in the order of their ids."""
    return [row[0] for row in records.read(place, "cost_usd")]


BILLED = Cost(total=Decimal("0.9"), source=BILL)


@pytest.fixture
def given() -> list[Operation]:
    """One operation for each thing that can come of it."""
    return [
        used("small"),
        used("large"),
        used("fresh"),
        with_cost(used("large"), BILLED),
        with_cost(used("gone"), Cost(total=Decimal("0.4"), source="a-book")),
        used("unheard-of"),
        used("large", billing=Billing(conditions={"batch": "true"})),
    ]


def counts(result: Recosted) -> dict[str, int]:
    """The counts of a result."""
    names = ("unchanged", "still_unknown", "changed", "newly_priced", "became_unknown", "bills", "written")
    return {name: getattr(result, name) for name in names}


def test_a_dry_run_shows_what_is_different_and_keeps_nothing(place: Address, given: list[Operation]) -> None:
    """Each difference with old and new; what stays, what is unknown and what was billed is counted; sums are exact."""
    records.write(place, given)
    before = totals(place)
    result = tried(place, NEW)
    assert counts(result) == {
        "unchanged": 3,
        "still_unknown": 1,
        "changed": 2,
        "newly_priced": 1,
        "became_unknown": 1,
        "bills": 1,
        "written": 0,
    }
    assert result.differences.schema == DIFFERENCES
    shown = ("operation_id", "change", "old_usd", "new_usd", "difference_usd", "new_reason", "new_price_id")
    assert sorted(result.differences.select(shown).rows()) == [
        (given[1].id, "changed", Decimal("0.01"), Decimal("0.0125"), Decimal("0.0025"), None, "acme/large/new"),
        (given[2].id, "newly priced", None, Decimal("0.003"), None, None, "acme/fresh/new"),
        (given[4].id, "became unknown", Decimal("0.4"), None, None, "no price for gone", None),
        (given[6].id, "changed", Decimal("0.005"), Decimal("0.00625"), Decimal("0.00125"), None, "acme/large/new"),
    ]
    assert result.old_total == sum(filter(None, before), Decimal(0)) == Decimal("1.316")
    assert result.new_total == Decimal("0.92275")
    assert totals(place) == before


def test_what_is_kept_is_shown_and_the_second_time_nothing_changes(place: Address, given: list[Operation]) -> None:
    """Revisions are added by whom, when and by which book; nothing is overwritten; doing it again does nothing."""
    records.write(place, given)
    before = totals(place)
    result = applied(place, NEW, author="anna")
    assert (result.written, result.differences.height) == (4, 4)
    expected = [Decimal("0.001"), Decimal("0.0125"), Decimal("0.003"), Decimal("0.9"), None, None, Decimal("0.00625")]
    assert totals(place) == expected
    again = applied(place, NEW)
    assert counts(again) == {**dict.fromkeys(counts(again), 0), "unchanged": 7, "still_unknown": 2, "bills": 1}
    assert again.old_total == again.new_total == result.new_total
    ledger = read_costs(place, {})
    assert ledger.filter(revision=0)["cost_usd"].to_list() == before
    revisions = ledger.filter(revision=1)
    assert (revisions.height, ledger["revision"].max()) == (4, 1)
    assert revisions.select("author", "price_book").unique().rows() == [("anna", "new")]
    assert records.read(place, "cost_reason")[4] == ("no price for gone",)
    applied(place, OLD)
    assert read_costs(place, {})["revision"].max() == 2


def test_only_what_matches_is_costed_again(place: Address) -> None:
    """Filters, those on costs too, and the time of each operation are what counts."""
    late = records.WHEN + timedelta(days=365)
    given = [used("large"), used("large", session_id="s-1"), used("large", book=None, timestamp=late)]
    records.write(place, given)
    assert tried(place, NEW, session_id="s-1").differences["operation_id"].to_list() == [given[1].id]
    assert tried(place, NEW, min_cost="0.01").changed == 2
    assert tried(place, NEW, limit=1, order="desc").differences["new_usd"].to_list() == [Decimal("0.025")]
    with pytest.raises(FilterError, match="cost_as_of"):
        tried(place, NEW, cost_as_of="2026-01-01")


def test_a_lower_bound_is_told_from_a_cost(place: Address) -> None:
    """The same amount with and without a reason are two things; another price row of the same amount is not."""
    one = used("small", web_searches=1)
    assert one.derived is not None
    assert one.derived.cost is not None
    known = msgspec.structs.replace(one.derived.cost, reason=None, price_id="another", source="another")
    partial = msgspec.structs.replace(one.derived.cost, price_id="another", source="another")
    copies = [msgspec.structs.replace(one, id=records.new_id()) for _ in range(2)]
    records.write(place, [one, with_cost(copies[0], known), with_cost(copies[1], partial)])
    result = tried(place, NEW)
    assert (result.unchanged, result.changed) == (2, 1)
    assert result.differences.select("difference_usd", "new_reason").rows() == [(0, "searches have no price")]


def test_operations_of_the_version_before_are_costed(tmp_path: Path) -> None:
    """They have their usage, and their cost comes as a revision."""
    path = tmp_path / "store.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript((ROOT / "tests/fixtures/stores/v0001.sqlite.sql").read_text(encoding="utf-8"))
    path.chmod(0o600)
    place = records.address("sqlite", tmp_path)
    book = Book("new", **{"gpt-4o": "2.5", "text-embedding-3-small": "0.02"})
    assert tried(place, book).newly_priced == 2
    result = applied(place, book)
    assert (result.newly_priced, result.still_unknown, result.written) == (2, 1, 2)
    frame = read_frame(place, {"order": "asc"})
    assert frame["cost_usd"].to_list() == [Decimal("0.0025"), None, Decimal("0.00000016")]
    assert applied(place, book).written == 0


def test_a_store_of_many_batches(tmp_path: Path) -> None:
    """More operations than are held at a time, more than once costed; progress is told."""
    place = records.address("sqlite", tmp_path)
    count = RECOST_ROWS + 500
    records.write(place, [used("large") for _ in range(count)])
    told: list[int] = []
    with collector_of(place) as collector:
        how = Recost(book=NEW, record=collector.record, tell=told.append)
        result = recost(place, {}, how, before=collector.flush)
    assert told == [RECOST_ROWS, count]
    assert (result.written, result.new_total) == (count, Decimal("0.0125") * count)
    assert tried(place, NEW).unchanged == count


def test_a_full_journal_is_emptied_on_the_way(tmp_path: Path) -> None:
    """A revision that is refused at the journal's cap waits for a flush, whatever the overflow."""
    place = records.address("sqlite", tmp_path)
    count = 400
    records.write(place, [used("large") for _ in range(count)])
    for book, overflow in ((NEW, "drop_newest"), (OLD, "raise")):
        options = {"journal_max_bytes": "40KB", "batch_interval_s": 60.0, "overflow": overflow}
        with collector_of(place, **options) as collector:
            how = Recost(book=book, record=collector.record)
            assert recost(place, {}, how, before=collector.flush).written == count
            assert sum(collector.stats().refused.values()) > 0
    assert read_costs(place, {}).height == 3 * count


def test_a_road_that_takes_nothing_is_an_error(tmp_path: Path) -> None:
    """Not a result that says that all is done."""
    place = records.address("sqlite", tmp_path)
    records.write(place, [used("large")])
    with pytest.raises(StoreError, match="0 new costs were accepted"):
        recost(place, {}, Recost(book=NEW, record=lambda _: None))
    with pytest.raises(StoreNotFoundError):
        recost(records.address("jsonl", tmp_path), {}, Recost(book=NEW))


def test_nobodys_decimal_context_changes_an_amount(place: Address, given: list[Operation]) -> None:
    """A program that calculates with three digits gets the same sums."""
    records.write(place, given)
    exact = tried(place, NEW)
    with decimal.localcontext(prec=3):
        rough = tried(place, NEW)
        assert tried(place, NEW, min_cost="0.012500000001").changed == 0
    assert rough.differences.equals(exact.differences)
    assert (rough.old_total, rough.new_total) == (exact.old_total, exact.new_total)


def test_who_did_it_is_kept_without_being_told(place: Address) -> None:
    """``user@host`` by default."""
    records.write(place, [used("large")])
    applied(place, NEW)
    assert read_costs(place, {})["author"].to_list() == [None, default_author()]
    assert "@" in default_author()
