"""This module is where rows are found: those of one layer for one model, the most specific first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from aicore_obs.guard import attempt
from aicore_obs.pricing.names import canonical
from aicore_obs.pricing.rows import PriceRow

_RANKS = {"exact": 0, "prefix": 1, "regex": 2}
_EARLIEST = datetime.min.replace(tzinfo=UTC)


class Layer:
    """The rows of one layer of the price book, in the order in which they were given."""

    def __init__(self, rows: Iterable[PriceRow]) -> None:
        self.rows = tuple(rows)
        self._exact: dict[str, list[int]] = {}
        self._others: list[int] = []
        for number, row in enumerate(self.rows):
            if row.match == "exact":
                self._exact.setdefault(row.model.lower(), []).append(number)
            else:
                self._others.append(number)

    def matching(self, names: Sequence[str], billers: Sequence[str]) -> list[PriceRow]:
        """Return the rows for a model, the most specific first, whatever their dates and conditions.

        ``names`` are spellings of the model in lower case; ``billers`` canonical names of providers, first hit first.
        Exact comes before prefix (a longer one first) and prefix before regex; then a row that names a provider; then
        more conditions; then the later ``effective_from``; then the later in the list.
        """
        numbers = [number for name in names for number in self._exact.get(name, ())]
        numbers += [number for number in self._others if any(_fits(self.rows[number], name) for name in names)]
        ranked = []
        for number in dict.fromkeys(numbers):
            row = self.rows[number]
            who = _rank_of(row.provider, billers)
            if who is not None:
                ranked.append((_key(row, who), -number, row))
        return [row for _, _, row in sorted(ranked, key=lambda one: one[:2])]


def first_that_holds(rows: Iterable[PriceRow], at: datetime, tokens: int, words: Mapping[str, str]) -> PriceRow | None:
    """Return the first of some rows whose dates and conditions hold; ``at`` in UTC."""
    for row in rows:
        conditions = row.conditions
        is_meant = row.covers(at) and conditions.holds_for(words, is_led=row.as_model is not None)
        if is_meant and conditions.holds_at(at) and conditions.holds_with(tokens):
            return row
    return None


def _fits(row: PriceRow, name: str) -> bool:
    if row.match == "prefix":
        return name.startswith(row.model.lower())
    return attempt(re.search, row.model, name, re.IGNORECASE).value is not None


def _rank_of(provider: str | None, billers: Sequence[str]) -> int | None:
    """Return the place of a row's provider among the billers; after them when it names none, None when another."""
    if provider is None:
        return len(billers)
    name = canonical(provider)
    return billers.index(name) if name in billers else None


def _key(row: PriceRow, who: int) -> tuple[float, ...]:
    start = row.effective_from or _EARLIEST
    length = len(row.model) if row.match == "prefix" else 0
    return _RANKS[row.match], -length, who, -row.conditions.count, -(start - _EARLIEST).total_seconds()
