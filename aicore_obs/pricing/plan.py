"""This module is where the rates of a price are made ready for the arithmetic: once per price, not once per record."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from aicore_obs.model.cost import EXACT, QUANTUM, CostLine
from aicore_obs.pricing.price import Price
from aicore_obs.pricing.units import COUNT_UNITS, MILLION, UNITS

# Looked up once: these run for every line of every record.
_multiply = EXACT.multiply
_quantize = EXACT.quantize
_MTOK_PLACES = -6
# Writes that last an hour: https://platform.claude.com/docs/en/build-with-claude/prompt-caching, 2026-11-21.
_CLAUDE_1H = 2


class Charge(msgspec.Struct, frozen=True, gc=False):
    """One rate, ready: ``each`` is the price of one, None where it may have no end (an hour's price)."""

    unit: str
    side: str
    field: str
    per: int
    price: Decimal
    each: Decimal | None

    def line(self, quantity: float) -> CostLine:
        """Return the line for a quantity: rounded to twelve places, half to even."""
        each = self.each
        count = quantity if type(quantity) is int else Decimal(repr(quantity))
        if each is None:
            amount = EXACT.divide(_multiply(self.price, count), self.per)
        else:
            amount = _multiply(each, count)
        return CostLine(
            unit=self.unit,
            amount=_quantize(amount, QUANTUM),
            side=self.side,
            quantity=quantity,
            price=self.price,
            per=self.per,
        )


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The charges of one price by what they charge; None: not priced apart, so it costs what its whole costs."""

    price: Price
    input: Charge | None = None
    cache_read: Charge | None = None
    cache_write: Charge | None = None
    cache_write_5m: Charge | None = None
    cache_write_1h: Charge | None = None
    input_audio: Charge | None = None
    cache_read_audio: Charge | None = None
    input_image: Charge | None = None
    input_video: Charge | None = None
    tool_prompt: Charge | None = None
    output: Charge | None = None
    reasoning: Charge | None = None
    output_audio: Charge | None = None
    output_image: Charge | None = None
    counts: tuple[Charge, ...] = ()
    # Whether parts of the input, or of the output, other than cache have a price of their own.
    has_input_parts: bool = False
    has_output_parts: bool = False
    has_tokens: bool = False
    # Whether a call can only be priced when its input tokens, or its output tokens, were reported.
    needs_input: bool = False
    needs_output: bool = False


def plan_of(price: Price) -> Plan:
    """Return the charges of a price; a part without a price takes the nearest whole's."""
    charges = {unit: _charge(unit, rate) for unit, rate in price.rates.items()}
    by_field = {unit.removesuffix("_mtok"): charge for unit, charge in charges.items() if unit not in COUNT_UNITS}
    # Five minutes is what a cache lasts when nothing else was asked for.
    written = by_field.get("cache_write") or by_field.get("cache_write_5m")
    if written is not None:
        by_field = {"cache_write": written, "cache_write_5m": written, **by_field}
        by_field.setdefault("cache_write_1h", _hour_writes(price) or written)
    if "input_audio" in by_field:
        # Cached audio is audio first: the cache's rate is one for text.
        by_field.setdefault("cache_read_audio", by_field["input_audio"])
    input_parts = {"input_audio", "input_image", "input_video", "tool_prompt"}
    output_parts = {"reasoning", "output_audio", "output_image"}
    return Plan(
        price=price,
        **by_field,
        counts=tuple(charge for unit, charge in charges.items() if unit in COUNT_UNITS),
        has_input_parts=bool(input_parts & by_field.keys()),
        has_output_parts=bool(output_parts & by_field.keys()),
        has_tokens=bool(by_field),
        needs_input=bool(price.rates.get("input_mtok")),
        needs_output=bool(price.rates.get("output_mtok")),
    )


def _hour_writes(price: Price) -> Charge | None:
    """Return what writes to the one-hour cache cost on Claude where only the others are listed."""
    rate = price.rates.get("input_mtok")
    if rate is None or "claude" not in price.model.lower():
        return None
    return _charge("cache_write_1h_mtok", EXACT.multiply(rate, _CLAUDE_1H))


def _charge(unit: str, rate: Decimal) -> Charge:
    known = UNITS[unit]
    each = {1: rate, MILLION: rate.scaleb(_MTOK_PLACES, context=EXACT)}.get(known.per)
    return Charge(known.name, known.side, known.field, known.per, rate, each)
