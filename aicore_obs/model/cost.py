"""This module is where money is defined: what one operation cost, line by line, and what its price depends on.

Amounts are US dollars as :class:`~decimal.Decimal` with twelve places, rounded half to even, each line by itself and
then summed. ``None`` means unknown, and ``reason`` says why; 0 means that it was free.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal

import msgspec

from aicore_obs.model.usage import Usage

# The smallest amount that is kept: 1e-12 USD.
QUANTUM = Decimal("1e-12")
# Wide enough for any product of a price and a count before it is rounded; no caller's context is looked at.
EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)

# Where a cost comes from.
BILL = "provider"
ESTIMATE = "provider-estimate"
LOCAL = "local"


def money(amount: Decimal) -> Decimal:
    """Return an amount in US dollars with twelve places, half to even."""
    return amount.quantize(QUANTUM, context=EXACT)


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
    used that has no price. ``input`` and ``output`` may be unknown where a provider's bill gives only a total;
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


NO_BILLING = Billing()
