"""This module is where two price books are compared: rows, deployments, and the prices that follow from them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

import msgspec

from aicore_obs.model.cost import Billing
from aicore_obs.pricing.book import PriceBook
from aicore_obs.pricing.price import Price
from aicore_obs.pricing.rows import PriceRow


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that differs: a row that one book has, a deployment, or a rate at the time that was asked for."""

    what: str
    provider: str | None
    model: str | None
    item: str
    first: str | None
    second: str | None


def differences(first: PriceBook, second: PriceBook, at: datetime) -> list[Difference]:
    """Return what differs: rows of one book only, deployments, and rates of exactly named models at a time."""
    return [*_rows(first, second), *_deployments(first, second), *_rates(first, second, at)]


def _rows(first: PriceBook, second: PriceBook) -> Iterator[Difference]:
    ours, theirs = ({row.id: row for row in book.rows} for book in (first, second))
    for name in [*ours, *(one for one in theirs if one not in ours)]:
        if ours.get(name) != theirs.get(name):
            row = ours.get(name) or theirs[name]
            sides = (_told(ours.get(name)), _told(theirs.get(name)))
            yield Difference(
                what="row", provider=row.provider, model=row.model, item=name, first=sides[0], second=sides[1]
            )


def _told(row: PriceRow | None) -> str | None:
    if row is None:
        return None
    if row.as_model is not None:
        return f"as {row.as_model}"
    if row.multiply is not None:
        return f"× {row.multiply:f}"
    return " ".join(f"{unit}={rate:f}" for unit, rate in row.prices.items())


def _deployments(first: PriceBook, second: PriceBook) -> Iterator[Difference]:
    for name in dict.fromkeys([*first.deployments, *second.deployments]):
        ours, theirs = first.deployments.get(name), second.deployments.get(name)
        if ours != theirs:
            yield Difference(what="deployment", provider=None, model=None, item=name, first=ours, second=theirs)


def _rates(first: PriceBook, second: PriceBook, at: datetime) -> Iterator[Difference]:
    asked = dict.fromkeys(
        (row.provider, row.model, row.conditions.words, row.conditions.min_input_tokens)
        for row in (*first.rows, *second.rows)
        if row.match == "exact"
    )
    for provider, model, words, tokens in asked:
        ours, theirs = (_prices(book, provider, model, dict(words), at, tokens) for book in (first, second))
        said = "".join(f" +{name}={value}" for name, value in words) + (f" from {tokens:,} tokens" if tokens else "")
        for unit in dict.fromkeys([*ours, *theirs]):
            if ours.get(unit) != theirs.get(unit):
                sides = [None if rate is None else f"{rate:f}" for rate in (ours.get(unit), theirs.get(unit))]
                item = f"{unit}{said}"
                yield Difference(
                    what="rate", provider=provider, model=model, item=item, first=sides[0], second=sides[1]
                )


def _prices(
    book: PriceBook, provider: str | None, model: str, words: dict[str, str], at: datetime, tokens: int
) -> dict[str, Decimal]:
    price = book.price(provider=provider, model=model, billing=Billing(conditions=words), at=at, input_tokens=tokens)
    return {unit: rate.normalize() for unit, rate in price.rates.items()} if isinstance(price, Price) else {}
