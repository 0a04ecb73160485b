"""This module is where tests of prices make calls: usage, a book and the time of a call in a few words."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from aicore_obs.model.cost import Bill, Billing, Cost
from aicore_obs.model.usage import Usage, settled
from aicore_obs.pricing.book import PriceBook

BOOK = PriceBook()
NEW_YEAR = "2026-01-01"


def usage(read: int | None = None, made: int | None = None, **counts: Any) -> Usage:
    """Return settled usage: input tokens, output tokens, and fields by their name."""
    return settled(Usage(input_tokens=read, output_tokens=made, **counts))


def cost(who: str | None, model: str | None, used: Usage, at: str = NEW_YEAR, **options: Any) -> Cost:
    """Return what a call costs; ``book``, ``response_model`` and the fields of a Billing by their names."""
    book = options.pop("book", BOOK)
    response_model = options.pop("response_model", None)
    return book.cost(
        provider=who,
        model=model,
        response_model=response_model,
        usage=used,
        billing=Billing(**options),
        at=datetime.fromisoformat(at),
    )


def bill(total: str, read: str | None = None, made: str | None = None, *, is_estimate: bool = False) -> Bill:
    """Return a provider's bill."""
    return Bill(
        total=Decimal(total),
        path="usage.cost",
        input=None if read is None else Decimal(read),
        output=None if made is None else Decimal(made),
        is_estimate=is_estimate,
    )


def other(one: Cost) -> Decimal:
    """Return the sum of the lines that are neither input nor output."""
    return sum((line.amount for line in one.lines if line.side == "other"), Decimal(0))
