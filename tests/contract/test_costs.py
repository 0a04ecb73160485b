"""This module is where every store is held to keeping costs exactly, and every revision of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aicore_obs import plugins
from aicore_obs.errors import SinkRejected
from aicore_obs.model.cost import Bill, Billing, Cost, CostLine, OtherUsage, money
from aicore_obs.model.frame_columns import LEDGER_COLUMNS, NOT_PRICED
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.record import Record
from aicore_obs.model.usage import Usage
from aicore_obs.protocols import Address, Sink
from aicore_obs.query.costs import read_costs, sum_costs
from tests import records

COLUMNS = (
    *("cost_usd", "input_cost_usd", "output_cost_usd", "cost_source", "cost_reason"),
    *("price_id", "priced_model"),
)
LINES = (
    CostLine(unit="input_mtok", amount=Decimal("0.0025"), side="input", quantity=1000, price=Decimal("2.5"), per=10**6),
    CostLine(unit="output_mtok", amount=Decimal("1e-12"), side="output", quantity=1.5, price=Decimal(10)),
)
PRICED = Cost(
    total=Decimal("0.002500000001"),
    input=Decimal("0.0025"),
    output=Decimal("1e-12"),
    source="genai-prices",
    model="gpt-4o",
    price_id="openai/gpt-4o@2024-10-01",
    book="bundled 2026-01-01",
    lines=LINES,
)
BILLING = Billing(
    provider="azure",
    asked_model="gpt-4o\x00\ue000",
    conditions={"tier": "flex", "a\x00": "\x00"},
    bill=Bill(total=Decimal("0.1"), path="usage.cost", is_estimate=True),
    others=(OtherUsage(model="small", usage=Usage(input_tokens=1)),),
)


@pytest.fixture(params=records.KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """The address of a store that does not exist yet, one of each kind."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    return records.address(request.param, tmp_path, url)


def costing(total: Decimal | str | int | None, reason: str | None = None) -> Cost:
    """Return a cost of so many US dollars."""
    return Cost(total=None if total is None else Decimal(total), reason=reason, source="a-book")


def operation(cost: Cost | None, *, usage: Usage | None = None, billing: Billing | None = None) -> Operation:
    """Return an operation with a cost."""
    derived = Derived(cost=cost, usage=usage or Usage(), billing=billing or Billing())
    return records.operation(derived=derived)


def shown(place: Address, **filters: Any) -> list[Decimal | None]:
    """The costs that a store shows, in the order of the operations' ids."""
    return [row[0] for row in records.read(place, "cost_usd", **filters)]


def test_a_cost_comes_back_exactly(place: Address) -> None:
    """Each amount with all its places, the source, the price's row; the lines and the book in the ledger."""
    records.write(place, [operation(PRICED)])
    total, input_cost, output_cost = PRICED.total, PRICED.input, PRICED.output
    expected = (total, input_cost, output_cost, "genai-prices", None, PRICED.price_id, "gpt-4o")
    assert records.read(place, *COLUMNS) == [expected]
    row = read_costs(place, {}).row(0, named=True)
    assert (row["revision"], row["recorded_at"], row["author"]) == (0, records.WHEN, None)
    assert (row["cost_usd"], row["price_book"]) == (total, PRICED.book)
    assert msgspec.json.decode(row["cost_lines"], type=tuple[CostLine, ...]) == LINES


def test_unknown_is_not_zero(place: Address) -> None:
    """No cost and a reason, a cost of 0, a lower bound with its reason, and nothing at all: all told apart."""
    given = [costing(None, "no price"), costing(0), costing("0.5", "searches have no price"), None]
    records.write(place, [operation(cost) for cost in given])
    assert records.read(place, "cost_usd", "cost_reason") == [
        (None, "no price"),
        (Decimal(0), None),
        (Decimal("0.5"), "searches have no price"),
        (None, NOT_PRICED),
    ]


def test_what_a_price_depends_on_is_kept(place: Address) -> None:
    """Billing comes back whole, characters that PostgreSQL cannot hold included; none is null."""
    records.write(place, [operation(None, billing=BILLING), operation(None)])
    (kept,), (none,) = records.read(place, "billing")
    assert msgspec.json.decode(kept, type=Billing) == BILLING
    assert none is None


def test_the_newest_revision_is_shown_whatever_the_order(place: Address) -> None:
    """It takes the place of all that was known before, also when it knows less; the operation stays as it was."""
    batches: list[Sequence[Record]] = []
    for order in itertools.permutations(range(3)):
        one = operation(PRICED)
        story = [one, records.revision(one, costing(7)), records.revision(one, costing(None, "the price was wrong"))]
        batches += [[story[number]] for number in order]
    records.write(place, *batches)
    expected = (None, None, None, "a-book", "the price was wrong", None, None)
    assert records.read(place, *COLUMNS) == [expected] * 6
    assert shown(place, min_cost=0) == []
    assert read_costs(place, {})["cost_usd"].to_list() == [PRICED.total, Decimal(7), None] * 6


def test_a_batch_with_revisions_that_comes_again_is_stored_once(place: Address) -> None:
    """Replay adds no row to the ledger and changes no sum."""
    one, other = operation(costing(1)), operation(costing(2))
    given = [one, other, records.revision(one, costing(5)), records.revision(one, costing(6))]
    notes: list[int] = []

    async def twice(sink: Sink) -> None:
        await sink.write(records.batch(given, note=notes.append))
        later = [records.revision(other, costing(3))]
        await sink.write(records.batch([*given, *later], noted=notes[0] if notes else None))

    records.with_sink(place, twice)
    assert read_costs(place, {}).select("revision", "cost_usd").rows() == [
        *((0, Decimal(1)), (1, Decimal(5)), (2, Decimal(6))),
        *((0, Decimal(2)), (1, Decimal(3))),
    ]
    assert sum_costs(place, {}).total == 9
    assert len(records.kept_ids(place)) == 5


DAY = timedelta(days=1)


@pytest.fixture
def story(place: Address) -> Address:
    """A store with one operation, costed again on the two days that followed."""
    one = operation(costing(1))
    first = records.revision(one, costing(2), author="anna", timestamp=records.WHEN + DAY)
    second = records.revision(one, costing(3), author="b\x00b", timestamp=records.WHEN + 2 * DAY)
    records.write(place, [second, one, first])
    return place


AT_NOON = records.WHEN


@pytest.mark.parametrize(
    ("as_of", "cost"),
    [
        (AT_NOON - DAY, 1),
        (AT_NOON, 1),
        (AT_NOON + DAY, 2),
        (AT_NOON + DAY - timedelta(microseconds=1), 1),
        ((AT_NOON + DAY).date(), 2),
        ((AT_NOON + DAY).date().isoformat(), 2),
        ((AT_NOON + 2 * DAY).isoformat(), 3),
        ("9999-12-31", 3),
    ],
)
def test_any_earlier_state_can_be_shown(story: Address, as_of: datetime | str, cost: int) -> None:
    """Revisions that were recorded later are as if they were not there: in columns, filters, sums and the ledger."""
    assert shown(story, cost_as_of=as_of) == [cost]
    assert shown(story, cost_as_of=as_of, min_cost=cost, max_cost=cost) == [cost]
    assert shown(story, cost_as_of=as_of, min_cost=cost + 1) == []
    assert sum_costs(story, {"cost_as_of": as_of}).total == cost
    assert read_costs(story, {"cost_as_of": as_of})["cost_usd"].to_list() == list(range(1, cost + 1))


def test_the_ledger_says_who_and_when(story: Address) -> None:
    """One row as recorded, one for each revision, in their order; the columns are the same on every store."""
    ledger = read_costs(story, {})
    assert tuple(ledger.columns) == LEDGER_COLUMNS
    assert ledger.select("revision", "recorded_at", "author").rows() == [
        (0, AT_NOON, None),
        (1, AT_NOON + DAY, "anna"),
        (2, AT_NOON + 2 * DAY, "b\x00b"),
    ]


def test_a_ledger_takes_filters(place: Address) -> None:
    """Filters choose operations, limit and order count and order them, and all their revisions come."""
    given = [operation(costing(number)) for number in range(4)]
    records.write(place, [*given, *(records.revision(one, costing(10)) for one in given[2:])])
    newest = read_costs(place, {"order": "desc", "limit": 1, "columns": ["operation_id"]})
    assert newest.select("operation_id", "revision").rows() == [(given[3].id, 0), (given[3].id, 1)]
    assert read_costs(place, {"max_cost": 5})["operation_id"].to_list() == [one.id for one in given[:2]]
    assert read_costs(place, {"provider": "nobody"}).schema == newest.schema


def test_a_sum_says_what_is_not_in_it(place: Address) -> None:
    """The sum of what is shown; how much is a lower bound, how many operations and tokens have no price; since when."""
    used = Usage(total_tokens=2**61)
    records.write(
        place,
        [
            operation(costing("0.1")),
            operation(costing("0.2", "searches have no price"), usage=used),
            *(operation(costing(None, "no price"), usage=used) for _ in range(5)),
            operation(None),
        ],
    )
    summed = sum_costs(place, {})
    assert (summed.total, summed.priced, summed.partial) == (Decimal("0.3"), 2, 1)
    assert (summed.unpriced, summed.unpriced_tokens) == (6, 5 * 2**61)
    assert summed.as_of.tzinfo is not None
    assert sum_costs(place, {"limit": 1}).total == Decimal("0.1")
    nothing = sum_costs(place, {"provider": "nobody"})
    assert (nothing.total, nothing.priced, nothing.unpriced, nothing.unpriced_tokens) == (0, 0, 0, 0)


def test_a_sum_past_what_64_bits_hold_is_exact(place: Address) -> None:
    """Four times the largest amount that SQLite holds, which is 9.2 million USD, with every place."""
    largest = Decimal("9223372.036854775807")
    records.write(place, [operation(costing(largest)) for _ in range(4)])
    assert sum_costs(place, {}).total == 4 * largest
    assert sum(filter(None, shown(place, min_cost=largest))) == 4 * largest
    assert shown(place, min_cost=largest + Decimal("1e-12")) == []


def test_what_has_more_than_twelve_places_is_rounded_alike(place: Address) -> None:
    """Half to even, as every amount of ours is before it gets here."""
    records.write(place, [operation(costing(text)) for text in ("0.0000000000005", "0.0000000000015", "1e-400")])
    assert shown(place) == [Decimal(0), Decimal("2e-12"), Decimal(0)]


NO_AMOUNTS: dict[str, Callable[[], Record]] = {
    "no number": lambda: operation(costing("NaN")),
    "infinite": lambda: operation(costing("Infinity")),
    "out of reach": lambda: operation(costing("1e26")),
    "a revision out of reach": lambda: records.revision(operation(None), costing("-1e1000000")),
    "past 64 bits": lambda: operation(costing("9223372.036854775808")),
}


@pytest.mark.parametrize(
    ("kind", "poison"),
    [
        (kind, name)
        for kind in records.DATABASES
        for name in NO_AMOUNTS
        if (kind, name) != ("postgresql", "past 64 bits")
    ],
)
def test_an_amount_that_cannot_be_kept_is_refused(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, poison: str
) -> None:
    """The row is rejected, and nothing wrong is stored; the rest of the batch can be."""
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else None
    database = records.address(kind, tmp_path, url)
    good = [operation(costing(1))]

    async def work(sink: Sink) -> None:
        with pytest.raises(SinkRejected):
            await sink.write(records.batch([*good, NO_AMOUNTS[poison]()]))
        await sink.write(records.batch(good))

    records.with_sink(database, work)
    assert records.kept_ids(database) == [good[0].id]


def test_reading_what_is_not_there(place: Address) -> None:
    """A store that a collector of this process will write has an empty ledger and a sum of nothing."""
    assert read_costs(place, {}, is_ours=True).height == 0
    assert tuple(read_costs(place, {}, is_ours=True).columns) == LEDGER_COLUMNS
    assert sum_costs(place, {}, is_ours=True).total == 0


@pytest.mark.parametrize(
    "count", [20_000, pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
def test_the_sum_of_stored_costs_is_exact(place: Address, count: int) -> None:
    """Stored, read back and added up by Polars and by the store: the exact sum, to the last place."""
    amounts = [money(Decimal(number**3 % 999_999_937).scaleb(-12) + number % 3) for number in range(count)]
    size = 5_000
    template = operation(None)

    async def write(sink: Sink) -> None:
        for start in range(0, count, size):
            some = [_copy(template, amount) for amount in amounts[start : start + size]]
            await sink.write(records.batch(some))

    records.with_sink(place, write)
    exact = sum(amounts, Decimal(0))
    frames = plugins.reader(place).batches(records.Filter(), ("cost_usd",), batch_rows=50_000)
    totals = [(frame["cost_usd"].sum(), frame.height) for frame in frames]
    assert (sum(total for total, _ in totals), sum(height for _, height in totals)) == (exact, count)
    summed = sum_costs(place, {})
    assert (summed.total, summed.priced) == (exact, count)


def _copy(template: Operation, amount: Decimal) -> Operation:
    derived = Derived(cost=Cost(total=amount, input=amount, source="a-book"))
    return msgspec.structs.replace(template, id=records.new_id(), derived=derived)
