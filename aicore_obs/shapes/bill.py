"""This module is where a provider's own bill is read, wherever a body says what it cost.

- OpenRouter (openrouter.ai/docs, usage accounting, read 2026-11-21): ``usage.cost`` in dollars. With the user's own key
  at the upstream (``is_byok``) it is only OpenRouter's fee, and ``cost_details.upstream_inference_cost`` comes on top.
- xAI (xai-sdk 1.21.0, ``SamplingUsage.cost_in_usd_ticks``): units of 1e-10 dollars, as a number or as text.
- Perplexity (docs.perplexity.ai, read 2026-11-21): ``usage.cost`` is an object with ``total_cost``.
- Pydantic's gateway: ``usage.pydantic_ai_gateway.cost_estimate``, an estimate by a price table.

Amounts are the digits of the JSON text: no float stands between.
"""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec

from aicore_obs.model.cost import Bill
from aicore_obs.model.record import Payload
from aicore_obs.shapes.body import Members

_TICK = Decimal("1e-10")
# More than any call costs; and no more digits than arithmetic with them stays cheap.
_MOST = Decimal(10) ** 12
_AMOUNT = re.compile(rb"[0-9]{1,30}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?")


class _Costs(msgspec.Struct):
    """OpenRouter's ``cost_details`` or Perplexity's ``cost``."""

    upstream_inference_cost: Payload = msgspec.UNSET
    upstream_inference_prompt_cost: Payload = msgspec.UNSET
    upstream_inference_input_cost: Payload = msgspec.UNSET
    upstream_inference_completions_cost: Payload = msgspec.UNSET
    upstream_inference_output_cost: Payload = msgspec.UNSET
    total_cost: Payload = msgspec.UNSET
    input_tokens_cost: Payload = msgspec.UNSET
    output_tokens_cost: Payload = msgspec.UNSET
    cost_estimate: Payload = msgspec.UNSET


class _Billed(msgspec.Struct):
    cost: Payload = msgspec.UNSET
    cost_details: Payload = msgspec.UNSET
    is_byok: Payload = msgspec.UNSET
    cost_in_usd_ticks: Payload = msgspec.UNSET
    ticks: Payload = msgspec.field(name="costInUsdTicks", default=msgspec.UNSET)
    pydantic_ai_gateway: Payload = msgspec.UNSET


_billed = Members(_Billed)
_costs = Members(_Costs)


def bill_of(usage: Payload, *, is_openrouter: bool = False) -> Bill | None:
    """Return the bill in a usage object. A bare ``cost`` is dollars only where OpenRouter wrote it."""
    if usage is msgspec.UNSET or b"cost" not in bytes(usage):
        return None
    found = _billed.of(usage)
    if found is None:
        return None
    return _ticks(found) or _itemised(found) or _openrouter(found, is_openrouter) or _gateway(found)


def _ticks(found: _Billed) -> Bill | None:
    ticks = _first(found.cost_in_usd_ticks, found.ticks)
    return None if ticks is None else Bill(total=ticks * _TICK, path="usage.cost_in_usd_ticks")


def _itemised(found: _Billed) -> Bill | None:
    costs = _costs.of(found.cost)
    total = amount(costs.total_cost) if costs is not None else None
    if costs is None or total is None:
        return None
    return Bill(
        total=total,
        input=amount(costs.input_tokens_cost),
        output=amount(costs.output_tokens_cost),
        path="usage.cost.total_cost",
    )


def _openrouter(found: _Billed, is_openrouter: bool) -> Bill | None:
    total = amount(found.cost)
    is_marked = found.cost_details is not msgspec.UNSET or found.is_byok is not msgspec.UNSET
    if total is None or not (is_openrouter or is_marked):
        return None
    costs = _costs.of(found.cost_details) or _NO_COSTS
    path = "usage.cost"
    if found.is_byok is not msgspec.UNSET and bytes(found.is_byok) == b"true":
        upstream = amount(costs.upstream_inference_cost)
        if upstream is None:  # the fee alone is no cost
            return None
        total, path = total + upstream, "usage.cost + usage.cost_details.upstream_inference_cost"
    return Bill(
        total=total,
        input=_first(costs.upstream_inference_prompt_cost, costs.upstream_inference_input_cost),
        output=_first(costs.upstream_inference_completions_cost, costs.upstream_inference_output_cost),
        path=path,
    )


def _gateway(found: _Billed) -> Bill | None:
    costs = _costs.of(found.pydantic_ai_gateway) or _NO_COSTS
    return estimate(costs.cost_estimate, "usage.pydantic_ai_gateway.cost_estimate")


def estimate(raw: Payload, path: str) -> Bill | None:
    """Return the bill of somebody who only looked into a price table."""
    total = amount(raw)
    return None if total is None else Bill(total=total, path=path, is_estimate=True)


def amount(raw: Payload) -> Decimal | None:
    """Return an amount of 0 or more from the digits of a JSON number, or of a text that holds one."""
    if raw is msgspec.UNSET:
        return None
    digits = bytes(raw).strip(b'"')
    if len(digits) > _LONGEST or not _AMOUNT.fullmatch(digits):
        return None
    found = Decimal(digits.decode())
    return found if found < _MOST else None


def _first(*given: Payload) -> Decimal | None:
    return next((found for one in given if (found := amount(one)) is not None), None)


_LONGEST = 80
_NO_COSTS = _Costs()
