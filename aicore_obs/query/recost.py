"""This module is where operations are costed again, by another price book, and the differences are shown and kept.

What was recorded stays as it is: a new cost is a record of its own, a revision, that takes the road of every record.
"""

from __future__ import annotations

import getpass
import platform
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

import msgspec
import polars as pl

from aicore_obs.errors import FilterError, JournalFull, StoreError
from aicore_obs.guard import attempt
from aicore_obs.model.cost import BILL, EXACT, NO_BILLING, Billing, Cost, by_estimate, from_quanta, money, to_quanta
from aicore_obs.model.events import CostRevision
from aicore_obs.model.filter import Filter
from aicore_obs.model.ids import new_id, utc_now
from aicore_obs.model.record import COST_VERSION, Record
from aicore_obs.model.usage import Usage
from aicore_obs.protocols import Address
from aicore_obs.query.reader import open_reader

# Rows that are priced at a time: what is held of them are their names and numbers, no texts.
RECOST_ROWS = 10_000
_USAGE = Usage.__struct_fields__
_SHOWN = ("cost_usd", "input_cost_usd", "output_cost_usd", "cost_source", "cost_reason", "price_id")
_FACTS = ("timestamp", "project", "provider", "model", "response_model", "api")
_READ = ("operation_id", "billing", "usage_source", *_FACTS, *_SHOWN, *_USAGE)
_MONEY = pl.Decimal(38, 12)
# What changed: a known cost, an unknown cost became known, a known cost became unknown.
CHANGED, NEWLY_PRICED, BECAME_UNKNOWN = "changed", "newly priced", "became unknown"
DIFFERENCES: dict[str, pl.DataType] = {
    "operation_id": pl.String(),
    "timestamp": pl.Datetime("us", "UTC"),
    "provider": pl.String(),
    "model": pl.String(),
    "change": pl.String(),
    "old_usd": _MONEY,
    "new_usd": _MONEY,
    "difference_usd": _MONEY,
    "old_source": pl.String(),
    "new_source": pl.String(),
    "old_reason": pl.String(),
    "new_reason": pl.String(),
    "old_price_id": pl.String(),
    "new_price_id": pl.String(),
}


class Prices(Protocol):
    """A price book, as far as it is needed here; :class:`aicore_obs.pricing.book.PriceBook` is one."""

    def cost(  # noqa: PLR0913 - what a price depends on
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
        """Return what a use cost at a time; never raises."""


class Recost(msgspec.Struct, frozen=True, kw_only=True):
    """How to cost again: by which book, and whether the new costs are kept.

    ``record`` is a collector's method of that name, and takes each revision to the store; None is a dry run. ``author``
    is kept with each revision, by default ``user@host``. ``tell`` is called with the number of operations looked at.
    """

    book: Prices
    record: Callable[[Record], str | None] | None = None
    author: str | None = None
    tell: Callable[[int], object] | None = None


class Recosted(msgspec.Struct, frozen=True, kw_only=True):
    """What costing again came to, or would come to.

    ``differences`` has a row for each operation whose cost is another one now, with the columns of
    :data:`DIFFERENCES`; ``difference_usd`` is null where either cost is unknown. ``old_total`` and ``new_total`` are
    the exact sums of the known costs of all operations looked at, ``bills`` included: that many were left alone, since
    the provider itself said what they cost. ``still_unknown`` of the ``unchanged`` have no cost. ``written`` revisions
    were accepted; it is 0 in a dry run.
    """

    differences: pl.DataFrame
    unchanged: int
    still_unknown: int
    changed: int
    newly_priced: int
    became_unknown: int
    bills: int
    old_total: Decimal
    new_total: Decimal
    written: int

    @property
    def difference(self) -> Decimal:
        """The new total less the old one; what became known or unknown is in it."""
        return EXACT.subtract(self.new_total, self.old_total)

    def by_model(self) -> pl.DataFrame:
        """Return the differences added up by provider, model and change, the largest first; unknown sums are null."""
        groups = self.differences.group_by("provider", "model", "change", maintain_order=True)
        amounts = ("old_usd", "new_usd", "difference_usd")
        known = [pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name) for name in amounts]
        return groups.agg(pl.len().alias("operations"), *known).sort(_size(), descending=True, maintain_order=True)

    def largest(self, count: int) -> pl.DataFrame:
        """Return the ``count`` largest differences; an unknown cost counts as nothing."""
        return self.differences.sort(_size(), descending=True, maintain_order=True).head(count)


def _size() -> pl.Expr:
    nothing = pl.lit(Decimal(0), dtype=_MONEY)
    return (pl.col("new_usd").fill_null(nothing) - pl.col("old_usd").fill_null(nothing)).abs()


def recost(
    address: Address,
    filters: Mapping[str, Any],
    how: Recost,
    *,
    before: Callable[[], object] | None = None,
    is_ours: bool = False,
) -> Recosted:
    """Cost the operations of one store that match again, and keep what is different if ``how`` says so.

    A cost is different when one of its amounts is, when it is known and was not or the other way round, or when it
    became a lower bound or stopped being one. Doing it twice changes nothing the second time. May be stopped at any
    moment and done again.

    Args:
        address: where the store is.
        filters: see :class:`~aicore_obs.model.filter.Filter`.
        how: the price book, and where revisions go.
        before: flushes the collectors of this process that write there.
        is_ours: a collector of this process writes there.

    Raises:
        FilterError: a filter name or value that does not exist, or ``cost_as_of``: the newest cost is what counts.
        StoreNotFoundError: there is no store.
        StoreError: the journal takes no more revisions, and a flush did not help; those accepted so far stay.
    """
    query = Filter.of(**filters)
    if query.cost_as_of is not None:
        raise FilterError("cost_as_of: what is costed again is compared with the newest cost, and not an earlier one")
    reader = open_reader(address, is_ours=is_ours)
    if before is not None:
        before()
    keep = _Keep(how, before) if how.record is not None else None
    run = _Run(how.book, keep)
    for frame in reader.batches(query, _READ, batch_rows=RECOST_ROWS):
        run.take(frame)
        if how.tell is not None:
            how.tell(run.seen)
    return run.result()


class _Operation(msgspec.Struct, frozen=True, gc=False):
    """One operation, as it is read: what its price depends on, and the cost that is shown for it."""

    id: str
    timestamp: datetime
    project: str | None
    provider: str | None
    model: str | None
    response_model: str | None
    api: str | None
    billing: Billing
    shown: Cost
    usage: Usage
    usage_source: str | None


class _Run:
    """One pass over a store."""

    def __init__(self, book: Prices, keep: _Keep | None) -> None:
        self._book = book
        self._keep = keep
        self._parts: list[pl.DataFrame] = []
        self._counts = dict.fromkeys((CHANGED, NEWLY_PRICED, BECAME_UNKNOWN), 0)
        self._old_quanta = self._new_quanta = 0
        self._unchanged = self._still_unknown = self._bills = 0
        self.seen = 0

    def take(self, frame: pl.DataFrame) -> None:
        """Cost the operations of one batch."""
        rows = list(self._differences(frame))
        if rows:
            self._parts.append(pl.DataFrame(rows, schema=DIFFERENCES, orient="row"))

    def result(self) -> Recosted:
        return Recosted(
            differences=pl.concat(self._parts) if self._parts else pl.DataFrame(schema=DIFFERENCES),
            unchanged=self._unchanged,
            still_unknown=self._still_unknown,
            changed=self._counts[CHANGED],
            newly_priced=self._counts[NEWLY_PRICED],
            became_unknown=self._counts[BECAME_UNKNOWN],
            bills=self._bills,
            old_total=from_quanta(self._old_quanta),
            new_total=from_quanta(self._new_quanta),
            written=0 if self._keep is None else self._keep.written,
        )

    def _differences(self, frame: pl.DataFrame) -> Iterator[tuple[Any, ...]]:
        for one in map(_operation, frame.iter_rows()):
            self.seen += 1
            new = self._costed(one)
            self._old_quanta += 0 if one.shown.total is None else to_quanta(one.shown.total)
            self._new_quanta += 0 if new.total is None else to_quanta(new.total)
            change = _change(one.shown, new)
            if change is None:
                self._unchanged += 1
                self._still_unknown += new.total is None
                continue
            self._counts[change] += 1
            if self._keep is not None:
                self._keep(one, new)
            yield _row(one, new, change)

    def _costed(self, one: _Operation) -> Cost:
        if one.shown.source == BILL:
            self._bills += 1
            return one.shown
        found = self._book.cost(
            provider=one.provider,
            model=one.model,
            response_model=one.response_model,
            usage=one.usage,
            billing=one.billing,
            at=one.timestamp,
            api=one.api,
        )
        cost = by_estimate(found, one.usage_source)
        # As every store keeps it, so that it equals itself when it is read again.
        amounts = {name: money(amount) for name in _AMOUNTS if (amount := getattr(cost, name)) is not None}
        return msgspec.structs.replace(cost, **amounts)


_AMOUNTS = ("total", "input", "output")


class _Keep:
    """Takes revisions to the road that leads to the store."""

    def __init__(self, how: Recost, flush: Callable[[], object] | None) -> None:
        self._record = how.record
        self._flush = flush
        self._author = how.author or default_author()
        self.written = 0

    def __call__(self, one: _Operation, cost: Cost) -> None:
        revision = CostRevision(
            id=new_id(),
            timestamp=utc_now(),
            v=COST_VERSION,
            project=one.project,
            operation_id=one.id,
            cost=cost,
            author=self._author,
        )
        if not self._accepted(revision):
            # The journal is full: what is in it goes into the store first.
            if self._flush is not None:
                self._flush()
            if not self._accepted(revision):
                raise StoreError(
                    f"{self.written} new costs were accepted, the next one was refused: the store takes nothing now, "
                    "or recording is switched off; do it again later, what is done stays done"
                )
        self.written += 1

    def _accepted(self, revision: CostRevision) -> bool:
        if self._record is None:
            return False
        try:
            return self._record(revision) is not None
        except JournalFull:
            return False


def default_author() -> str:
    """Return ``user@host`` of this process; a user without a name has none."""
    return f"{attempt(getpass.getuser).value or ''}@{platform.node()}"


def _operation(row: tuple[Any, ...]) -> _Operation:
    values = dict(zip(_READ, row, strict=True))
    return _Operation(
        id=values["operation_id"],
        **{name: values[name] for name in _FACTS},
        billing=_billing(values["billing"]),
        shown=Cost(
            total=values["cost_usd"],
            input=values["input_cost_usd"],
            output=values["output_cost_usd"],
            source=values["cost_source"],
            reason=values["cost_reason"],
            price_id=values["price_id"],
        ),
        usage=Usage(**{name: values[name] for name in _USAGE}),
        usage_source=values["usage_source"],
    )


def _billing(text: str | None) -> Billing:
    """Return what was kept; what cannot be read (a newer program's) is as good as nothing."""
    if text is None:
        return NO_BILLING
    return attempt(_decoder.decode, text.encode()).value or NO_BILLING


_decoder = msgspec.json.Decoder(Billing)


def _change(old: Cost, new: Cost) -> str | None:
    """Return what changed, None when nothing did that matters: which row or book said the same does not."""
    if old.total is None or new.total is None:
        if (old.total is None) is (new.total is None):
            return None
        return NEWLY_PRICED if old.total is None else BECAME_UNKNOWN
    same = all(getattr(old, name) == getattr(new, name) for name in _AMOUNTS)
    return None if same and (old.reason is None) is (new.reason is None) else CHANGED


def _row(one: _Operation, new: Cost, change: str) -> tuple[Any, ...]:
    old = one.shown
    difference = None if old.total is None or new.total is None else EXACT.subtract(new.total, old.total)
    return (
        *(one.id, one.timestamp, one.provider, one.model, change),
        *(old.total, new.total, difference),
        *(old.source, new.source, old.reason, new.reason, old.price_id, new.price_id),
    )
