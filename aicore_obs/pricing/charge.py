"""This module is where usage times price is worked out: disjoint parts, line by line, never negative.

A part is charged by itself where it has a price of its own, and with its whole where it has none. Where parts may
overlap and nobody said by how much (cached and audio), they are taken to overlap as little as they can.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from aicore_obs.model.cost import EXACT, LOCAL, Cost, CostLine, OtherUsage
from aicore_obs.model.usage import Usage
from aicore_obs.pricing.plan import Charge, Plan
from aicore_obs.pricing.price import NoPrice
from aicore_obs.pricing.units import INPUT, OTHER, OUTPUT

ZERO = Decimal("0.000000000000")
NOTHING_REPORTED = "no usage reported"
# The most that one operation is believed to cost; stores keep 9.2 million.
MAX_USD = Decimal(9_000_000)
NOT_BELIEVED = f"more than {MAX_USD:,} USD for one call is not believed"
_MAX_COUNT = 2**62
_NOTHING = Usage()
# Looked up once: it runs for every line of every record.
_add = EXACT.add
_COUNTED = ("web_searches", "images", "audio_seconds", "video_seconds", "input_characters", "search_units")


def charged(plan: Plan, usage: Usage, book: str | None = None) -> Cost:
    """Return what usage costs by a price.

    Unknown, with a reason, where a side that is charged by tokens was not reported; a lower bound, with a reason, where
    something was counted that has no price.
    """
    lines: list[CostLine] = []
    reason = _tokens(plan, usage, lines)
    if reason is None and plan.counts:
        _counts(plan, usage, lines)
    if reason is None and not lines and plan.price.layer != LOCAL and not _is_reported(usage):
        reason = NOTHING_REPORTED
    price = plan.price
    if reason is not None:
        return Cost(reason=reason, model=price.model, price_id=price.id, book=book)
    read = made = other = ZERO
    for line in lines:
        side = line.side
        if side == INPUT:
            read = _add(read, line.amount)
        elif side == OUTPUT:
            made = _add(made, line.amount)
        else:
            other = _add(other, line.amount)
    total = _add(read, made) if other is ZERO else _add(_add(read, made), other)
    if total > MAX_USD:
        return Cost(reason=NOT_BELIEVED, model=price.model, book=book)
    return Cost(
        total=total,
        input=read,
        output=made,
        source=price.layer,
        reason=_unpriced(plan, usage, lines) if _has_counts(usage) else None,
        model=price.model,
        price_id=price.id,
        book=book,
        lines=tuple(lines),
    )


def _tokens(plan: Plan, usage: Usage, lines: list[CostLine]) -> str | None:
    """Add the lines of tokens; return why they cannot be priced, if so."""
    if not plan.has_tokens:
        return _missing_counts(plan, usage)
    rest = usage.input_tokens
    if rest is None:
        if plan.needs_input and not _is_paid_by_count(plan, usage):
            return "input tokens were not reported" if _is_reported(usage) else NOTHING_REPORTED
    elif rest > 0:
        rest = _parts_read(plan, usage, rest, lines)
        if rest > 0:
            if plan.input is not None:
                lines.append(plan.input.line(rest))
            elif not plan.price.rest_is_free:
                return "the price row has no price of input tokens"
    return _made(plan, usage, lines)


def _parts_read(plan: Plan, usage: Usage, rest: int, lines: list[CostLine]) -> int:
    """Add the lines of the parts of the input; return what is left of it."""
    if usage.cache_read_tokens or usage.cache_write_tokens:
        rest = _cached(plan, usage, rest, lines)
    return _input_parts(plan, usage, rest, lines) if plan.has_input_parts else rest


def _missing_counts(plan: Plan, usage: Usage) -> str | None:
    """Return what a price without tokens misses in the usage."""
    fields = [charge.field for charge in plan.counts if charge.side != OTHER]
    if "video_seconds" in fields:
        fields.append("audio_seconds")
    if not fields or any(getattr(usage, field) is not None for field in fields):
        return None
    return f"{fields[0]} were not reported" if _is_reported(usage) else NOTHING_REPORTED


def _made(plan: Plan, usage: Usage, lines: list[CostLine]) -> str | None:
    rest = usage.output_tokens
    if rest is None:
        if plan.needs_output and not _is_paid_by_count(plan, usage):
            return "output tokens were not reported"
        return None
    if rest > 0 and plan.has_output_parts:
        rest = _take(plan.output_audio, usage.output_audio_tokens, rest, lines)
        rest = _take(plan.output_image, usage.output_image_tokens, rest, lines)
        rest = _take(plan.reasoning, usage.reasoning_tokens, rest, lines)
    if rest > 0:
        if plan.output is not None:
            lines.append(plan.output.line(rest))
        elif not plan.price.rest_is_free:
            return "the price row has no price of output tokens"
    return None


def _cached(plan: Plan, usage: Usage, rest: int, lines: list[CostLine]) -> int:
    """Add the lines of what was read from and written to the cache; return the input that is left."""
    read = usage.cache_read_tokens or 0
    if plan.cache_read_audio is not None:
        audio = min(_cached_audio(usage), read)
        rest = _take(plan.cache_read_audio, audio, rest, lines)
        read -= audio
    rest = _take(plan.cache_read, read, rest, lines)
    written = usage.cache_write_tokens or 0
    if written > 0:
        hour = min(usage.cache_write_1h_tokens or 0, written)
        short = min(usage.cache_write_5m_tokens or 0, written - hour)
        rest = _take(plan.cache_write_1h, hour, rest, lines)
        rest = _take(plan.cache_write_5m, short, rest, lines)
        rest = _take(plan.cache_write, written - hour - short, rest, lines)
    return rest


def _cached_audio(usage: Usage) -> int:
    """Return the audio among what was read from the cache: as reported, else the least that it can be."""
    if usage.cache_read_audio_tokens is not None:
        return max(0, usage.cache_read_audio_tokens)
    parts = (usage.cache_read_tokens or 0) + (usage.input_audio_tokens or 0)
    return max(0, parts - (usage.input_tokens or 0))


def _input_parts(plan: Plan, usage: Usage, rest: int, lines: list[CostLine]) -> int:
    audio = usage.input_audio_tokens or 0
    if audio > 0:
        rest = _take(plan.input_audio, audio - min(_cached_audio(usage), audio), rest, lines)
    rest = _take(plan.input_image, usage.input_image_tokens, rest, lines)
    rest = _take(plan.input_video, usage.input_video_tokens, rest, lines)
    return _take(plan.tool_prompt, usage.tool_prompt_tokens, rest, lines)


def _take(charge: Charge | None, count: int | None, rest: int, lines: list[CostLine]) -> int:
    """Add a line for a part, no more of it than is left; return what is left after it."""
    if charge is None or not count or count < 0 or rest <= 0:
        return rest
    part = count if count < rest else rest
    lines.append(charge.line(part))
    return rest - part


def _counts(plan: Plan, usage: Usage, lines: list[CostLine]) -> None:
    """Add the lines of what is counted and is no token."""
    for charge in plan.counts:
        quantity = _quantity(plan, charge, usage)
        if quantity:
            lines.append(charge.line(quantity))


def _quantity(plan: Plan, charge: Charge, usage: Usage) -> float:
    if charge.unit == "per_request":
        return 1 if _is_reported(usage) else 0
    count = getattr(usage, charge.field) or 0
    if charge.unit == "per_second":
        count = count or usage.audio_seconds or 0
    if charge.unit == "per_searching_request":
        return 1 if count > 0 else 0
    least = plan.price.min_audio_seconds
    if least is not None and charge.field == "audio_seconds" and 0 < count < least:
        return float(least)
    return count if 0 < count < _MAX_COUNT else 0


def _is_reported(usage: Usage) -> bool:
    """Return whether anything was counted that a price may be for."""
    return usage != _NOTHING


def _is_paid_by_count(plan: Plan, usage: Usage) -> bool:
    """Return whether what was counted pays for the call, so that its tokens are not missed."""
    return any(charge.field and getattr(usage, charge.field) for charge in plan.counts if charge.side != OTHER)


def _has_counts(usage: Usage) -> bool:
    """Return whether anything was counted besides tokens."""
    read = usage.web_searches or usage.audio_seconds or usage.input_characters or usage.search_units
    return bool(read or usage.images or usage.video_seconds)


def _unpriced(plan: Plan, usage: Usage, lines: list[CostLine]) -> str | None:
    """Return what was counted and has no price, None when all has."""
    found = [name for name in _COUNTED if (getattr(usage, name) or 0) > 0 and not _is_covered(plan, usage, name, lines)]
    return f"no price is known for {', '.join(found)}" if found else None


def _is_covered(plan: Plan, usage: Usage, name: str, lines: list[CostLine]) -> bool:
    """Return whether a line pays for what was counted: its own, one per request, or its tokens."""
    if plan.price.rest_is_free and not plan.price.rates:
        return True
    units = {line.unit for line in lines}
    own = {charge.unit for charge in plan.counts if charge.field == name or charge.unit == "per_second"}
    if units & own:
        return True
    if name == "web_searches":
        return "per_request" in units
    whole = usage.output_tokens if name in ("images", "video_seconds") else usage.input_tokens
    return whole is not None and plan.has_tokens


def made_of(cost: Cost, others: Iterable[tuple[OtherUsage, Plan | NoPrice]]) -> Cost:
    """Return the cost of a call whose usage is shared out among models: each part by its own model's price."""
    lines: list[CostLine] = []
    sums = {INPUT: ZERO, OUTPUT: ZERO, OTHER: ZERO}
    ids: list[str | None] = []
    source = None
    for other, plan in others:
        part = charged(plan, other.usage) if isinstance(plan, Plan) else Cost(reason=plan.reason)
        if part.total is None:
            return Cost(reason=f"{other.model}: {part.reason}", model=cost.model, book=cost.book)
        for line in part.lines:
            lines.append(msgspec.structs.replace(line, model=other.model))
            sums[line.side] = EXACT.add(sums[line.side], line.amount)
        ids.append(part.price_id)
        source = part.source
    return Cost(
        total=EXACT.add(EXACT.add(sums[INPUT], sums[OUTPUT]), sums[OTHER]),
        input=sums[INPUT],
        output=sums[OUTPUT],
        source=source,
        model=cost.model,
        price_id=" ".join(dict.fromkeys(filter(None, ids))),
        book=cost.book,
        lines=tuple(lines),
    )


def with_others(cost: Cost, others: Iterable[tuple[OtherUsage, Plan | NoPrice]]) -> Cost:
    """Return a cost with what other models used inside the same call: lines of the side other, each with its model."""
    lines = list(cost.lines)
    added = ZERO
    reasons = [cost.reason] if cost.reason else []
    for other, plan in others:
        part = charged(plan, other.usage) if isinstance(plan, Plan) else Cost(reason=plan.reason)
        if part.reason:
            reasons.append(f"{other.model}: {part.reason}")
        for line in part.lines:
            lines.append(msgspec.structs.replace(line, side=OTHER, model=other.model))
            added = EXACT.add(added, line.amount)
    total = None if cost.total is None else EXACT.add(cost.total, added)
    if total is not None and total > MAX_USD:
        return Cost(reason=NOT_BELIEVED, model=cost.model, book=cost.book)
    kept = tuple(lines) if total is not None else ()
    return msgspec.structs.replace(cost, total=total, reason="; ".join(reasons) or None, lines=kept)
