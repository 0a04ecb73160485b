"""This module is where money is defined: what one operation cost, line by line, and what its price depends on.

Amounts are US dollars as :class:`~decimal.Decimal` with twelve places, rounded half to even, each line by itself and
then summed. ``None`` means unknown, and ``reason`` says why; 0 means that it was free.
"""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal

import msgspec

from aicore_obs.model.usage import ESTIMATE as ESTIMATE_OF_TOKENS
from aicore_obs.model.usage import Usage

# The smallest amount that is kept: 1e-12 USD.
QUANTUM = Decimal("1e-12")
# Wide enough for any product of a price and a count before it is rounded; no caller's context is looked at.
EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
# Wide enough for the sum of any number of amounts.
_WIDE = Context(prec=400)
# 26 digits before the point and twelve behind it are what PostgreSQL's and Polars' columns hold.
_TOO_LARGE = Decimal("1e26")
_TOO_LARGE_ADJUSTED = _TOO_LARGE.adjusted()
# Looked up once: it runs for every amount of every record.
_scaleb = EXACT.scaleb

# Where a cost comes from.
BILL = "provider"
ESTIMATE = "provider-estimate"
LOCAL = "local"


def money(amount: Decimal) -> Decimal:
    """Return an amount in US dollars with twelve places, half to even."""
    return amount.quantize(QUANTUM, context=EXACT)


def to_quanta(amount: Decimal) -> int:
    """Return an amount in US dollars as a whole number of 1e-12 USD, rounded half to even.

    Raises:
        OverflowError: it is no number, or has more digits than any store holds.
    """
    # As our own arithmetic leaves amounts: nothing is left to round.
    if amount.same_quantum(QUANTUM) and amount.adjusted() < _TOO_LARGE_ADJUSTED:
        return int(_scaleb(amount, 12))
    # Also keeps an exponent of millions from being written out; abs() would calculate with it.
    if not amount.is_finite() or amount.copy_abs() >= _TOO_LARGE:
        raise OverflowError(f"{amount} USD is no amount that can be kept")
    return int(money(amount).scaleb(12, context=EXACT))


def from_quanta(quanta: int) -> Decimal:
    """Return a whole number of 1e-12 USD as an amount in US dollars, exactly and with twelve places."""
    return Decimal(quanta).scaleb(-12, context=_WIDE)


class CostLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One unit of one price: ``amount = price * quantity / per``, rounded; ``side`` is input, output or other."""

    unit: str
    amount: Decimal
    side: str
    quantity: int | float | None = None
    price: Decimal | None = None
    per: int = 1
    # Set where another model than the operation's own made this line.
    model: str | None = None


class Cost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one operation cost, by which price.

    ``total`` None: unknown, and ``reason`` says why. A ``total`` beside a ``reason`` is a lower bound: something was
    used that has no price; or it is made of an estimate of the tokens, and the reason says
    that. ``input`` and ``output`` may be unknown where a provider's bill gives only a total;
    what is neither (searches, fees, other models) is in ``lines``. ``source`` is ``provider`` (its own bill),
    ``provider-estimate``, ``local``, or the name of the layer of the price book; ``price_id`` names the row, ``book``
    the version of all layers together.
    """

    total: Decimal | None = None
    input: Decimal | None = None
    output: Decimal | None = None
    source: str | None = None
    reason: str | None = None
    model: str | None = None
    price_id: str | None = None
    book: str | None = None
    lines: tuple[CostLine, ...] = ()


def by_estimate(cost: Cost, usage_source: str | None) -> Cost:
    """Return a cost that says so where its usage was estimated."""
    if usage_source is None or not usage_source.startswith(ESTIMATE_OF_TOKENS):
        return cost
    told = f"tokens are an estimate by {usage_source.removeprefix(ESTIMATE_OF_TOKENS)}"
    return msgspec.structs.replace(cost, reason=told if cost.reason is None else f"{cost.reason}; {told}")


class CostSum(msgspec.Struct, frozen=True, kw_only=True):
    """What the operations cost together that match a filter, as far as it is known, and how far that is.

    ``total`` is the exact sum of the costs shown. ``priced`` operations have one; ``partial`` of these are lower bounds
    (they have a reason too: something was used that has no price). ``unpriced`` operations have none; they used
    ``unpriced_tokens`` tokens in all, as far as that is known. ``as_of``: when the store was looked at.
    """

    total: Decimal
    priced: int
    partial: int
    unpriced: int
    unpriced_tokens: int
    as_of: datetime


def no_costs(as_of: datetime) -> CostSum:
    """Return the sum over no operation."""
    return CostSum(total=Decimal(0), priced=0, partial=0, unpriced=0, unpriced_tokens=0, as_of=as_of)


class Bill(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the provider says it charged, in US dollars; ``path`` is where in the body it says so."""

    total: Decimal
    path: str
    input: Decimal | None = None
    output: Decimal | None = None
    is_estimate: bool = False


class OtherUsage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What another model used inside the same operation and is billed beside it."""

    model: str
    usage: Usage


class Billing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the price of an operation depends on besides its usage, as read from request and response.

    ``provider`` is who bills, where that is not the operation's own provider. ``conditions`` are words such as
    ``{"tier": "flex", "batch": "true", "region": "us", "size": "1024x1024"}``; see :mod:`aicore_obs.pricing`.
    """

    provider: str | None = None
    # The model that the request named, where the response names another one or none.
    asked_model: str | None = None
    base_url: str | None = None
    conditions: dict[str, str] = {}
    bill: Bill | None = None
    others: tuple[OtherUsage, ...] = ()
    # ``others`` are not beside the operation's usage: they are what it is made of, model by model.
    is_made_of_others: bool = False


NO_BILLING = Billing()
