"""This module is where the price book is: the user's rows over our corrections over the bundled table.

Layers, first hit first: the provider's own bill; the user's rows; servers that the user runs (free); our corrections;
the table ``genai-prices``. What none of them knows is unknown, with a reason, and never 0.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import msgspec

from aicore_obs.errors import PriceError
from aicore_obs.guard import attempt, rescued
from aicore_obs.model.cost import NO_BILLING, Billing, Cost
from aicore_obs.model.usage import Usage
from aicore_obs.pricing.bill import billed, is_usable
from aicore_obs.pricing.charge import charged, made_of, with_others
from aicore_obs.pricing.conditions import in_utc
from aicore_obs.pricing.corrections import corrections
from aicore_obs.pricing.files import read_book
from aicore_obs.pricing.layers import Layer
from aicore_obs.pricing.lookup import Call, Candidates, Layers
from aicore_obs.pricing.plan import Plan, plan_of
from aicore_obs.pricing.price import NoPrice, Price
from aicore_obs.pricing.rows import PriceRow, row_of
from aicore_obs.pricing.table import shared_table, table_version

# So many kinds of calls (provider, model, conditions, day) are remembered; then all are forgotten and learned again.
MAX_REMEMBERED = 4096
# A kind with longer names than this is looked up each time: they are nobody's models, and there may be many.
MAX_NAMES = 2000
_MAX_REASON = 500
_NO_CONDITIONS: tuple[tuple[str, str], ...] = ()


class Day(msgspec.Struct, frozen=True):
    """What one kind of call costs on one day: from each of ``moments`` on, by ``steps`` of input tokens."""

    moments: tuple[datetime, ...]
    steps: tuple[int, ...]
    plans: tuple[tuple[Plan | NoPrice, ...], ...]

    def plan(self, at: datetime, input_tokens: int | None) -> Plan | NoPrice:
        """Return the price at a time of this day."""
        bands = self.plans[bisect_right(self.moments, at) - 1]
        return bands[0] if len(bands) == 1 else bands[max(0, bisect_right(self.steps, input_tokens or 0) - 1)]


class PriceBook:
    """Prices by provider, model, time and conditions.

    ``rows`` are rows of the user (mappings or :class:`PriceRow`); they lie over the bundled layers and do not replace
    them. ``deployments`` maps a deployment's name, as on Azure, to the model behind it. It may be used from any thread.

    Raises:
        PriceError: a row or a deployment cannot be used; it is a ConfigurationError.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any] | PriceRow] = (),
        deployments: Mapping[str, str] | None = None,
    ) -> None:
        if isinstance(rows, Mapping | str) or not isinstance(rows, Iterable):
            raise PriceError(f"rows={type(rows).__name__}: a list of price rows is needed")
        self.rows = tuple(row_of(row, number) for number, row in enumerate(rows))
        self.deployments = _deployments(deployments)
        self._user = Layer(self.rows)
        self._days: dict[tuple[Any, ...], Day] = {}

    @classmethod
    def from_file(cls, path: str | Path) -> PriceBook:
        """Return the book of a ``.toml`` file (``[[rows]]``, ``[deployments]``) or a ``.json`` file of that shape.

        Raises:
            PriceError: the file, a row or a deployment cannot be used.
        """
        rows, deployments = read_book(path)
        return cls(rows, deployments)

    @cached_property
    def version(self) -> str:
        """All layers together, such as ``user:1a2b3c4d corrections:2026-11-21 genai-prices:0.2.3``."""
        layers = [f"corrections:{corrections().checked}", f"genai-prices:{table_version()}"]
        if self.rows or self.deployments:
            content = msgspec.json.encode([[row.id for row in self.rows], self.deployments], order="sorted")
            layers.insert(0, f"user:{hashlib.sha256(content).hexdigest()[:8]}")
        return " ".join(layers)

    def cost(  # noqa: PLR0913 - what a call is priced by; all by name
        self,
        *,
        provider: str | None,
        model: str | None,
        response_model: str | None = None,
        usage: Usage,
        billing: Billing = NO_BILLING,
        at: datetime,
        api: str | None = None,  # noqa: ARG002 - of the contract; no price depends on it yet
    ) -> Cost:
        """Return what a call cost; never raises: what goes wrong makes the cost unknown, and is its reason.

        ``at`` is when the call was made (naive: UTC), ``model`` the one that was asked for, ``response_model`` the one
        that answered, by which it is priced where its name is known.
        """
        return rescued(self._cost, self._failed, provider, model, response_model, usage, billing, at)

    def price(
        self,
        *,
        provider: str | None,
        model: str | None,
        response_model: str | None = None,
        billing: Billing = NO_BILLING,
        at: datetime,
        input_tokens: int = 0,
    ) -> Price | NoPrice:
        """Return the price by which such a call is charged, or why there is none; never raises."""
        outcome = attempt(lambda: self._plan(provider, model, response_model, billing, in_utc(at), input_tokens))
        if outcome.value is None:
            return NoPrice(f"the price cannot be looked up: {outcome.error!r}")
        return outcome.value.price if isinstance(outcome.value, Plan) else outcome.value

    def bands(
        self, *, provider: str | None, model: str | None, billing: Billing = NO_BILLING, at: datetime
    ) -> list[tuple[int, Price | NoPrice]]:
        """Return (input tokens, price from so many on) of a kind of call at one time; never raises."""
        found = [(0, self.price(provider=provider, model=model, billing=billing, at=at))]
        for step in attempt(self._steps_of, provider, model, billing, at).value or ():
            price = self.price(provider=provider, model=model, billing=billing, at=at, input_tokens=step)
            if price != found[-1][1]:
                found.append((step, price))
        return found

    def _steps_of(self, provider: str | None, model: str | None, billing: Billing, at: datetime) -> tuple[int, ...]:
        day = self._days.get(_key(provider, model, None, billing, in_utc(at)))
        return () if day is None else day.steps[1:]

    def _cost(
        self,
        provider: str | None,
        model: str | None,
        response_model: str | None,
        usage: Usage,
        billing: Billing,
        at: datetime,
    ) -> Cost:
        if at.tzinfo is not UTC:
            at = in_utc(at)
        plan = self._plan(provider, model, response_model, billing, at, usage.input_tokens)
        if isinstance(plan, Plan):
            cost = charged(plan, usage, self.version)
        else:
            cost = Cost(reason=plan.reason, model=response_model or model, book=self.version)
        if billing.bill is not None and is_usable(billing.bill):
            return billed(billing.bill, cost)
        if billing.others:
            others = [
                (other, self._plan(provider, other.model, None, billing, at, other.usage.input_tokens))
                for other in billing.others
            ]
            if billing.is_made_of_others and cost.total is None:
                return made_of(cost, others)
            return with_others(cost, others)
        return cost

    def _failed(self, error: Exception, *_call: object) -> Cost:
        return Cost(
            reason=f"pricing failed: {type(error).__name__}: {error}", book=attempt(getattr, self, "version").value
        )

    def _plan(
        self,
        provider: str | None,
        model: str | None,
        response_model: str | None,
        billing: Billing,
        at: datetime,
        input_tokens: int | None,
    ) -> Plan | NoPrice:
        key = _key(provider, model, response_model, billing, at)
        day = self._days.get(key)
        if day is None:
            day = self._learned(key, at)
        if len(day.plans) == 1 and len(day.steps) == 1:
            return day.plans[0][0]
        return day.plan(at, input_tokens)

    def _learned(self, key: tuple[Any, ...], at: datetime) -> Day:
        """Look a kind of call up for a whole day, and remember it."""
        provider, model, response_model, billing_provider, asked_model, base_url, conditions, _ = key
        call = Call(
            provider=provider,
            model=model,
            response_model=response_model,
            billing_provider=billing_provider,
            asked_model=asked_model,
            base_url=base_url,
            conditions=dict(conditions),
        )
        layers = Layers(self._user, _corrections_layer(), shared_table(), self.deployments)
        candidates = Candidates(layers, call)
        start = datetime.combine(at.date(), time(), UTC)
        moments = (start, *sorted(candidates.moments(start)))
        steps = tuple(sorted({0, *candidates.steps()}))
        plans = tuple(tuple(_ready(candidates.price(moment, tokens)) for tokens in steps) for moment in moments)
        if len(self._days) >= MAX_REMEMBERED:
            self._days.clear()
        day = Day(moments, steps, plans)
        if sum(len(name) for name in key if isinstance(name, str)) <= MAX_NAMES:
            self._days[key] = day
        return day


def _key(
    provider: str | None, model: str | None, response_model: str | None, billing: Billing, at: datetime
) -> tuple[Any, ...]:
    """Return what makes two calls of one kind: everything that their price depends on but time and tokens of a day."""
    return (
        provider,
        model,
        response_model,
        billing.provider,
        billing.asked_model,
        billing.base_url,
        tuple(billing.conditions.items()) if billing.conditions else _NO_CONDITIONS,
        at.toordinal(),
    )


@cache
def _corrections_layer() -> Layer:
    return Layer(corrections().rows)


def _ready(price: Price | NoPrice) -> Plan | NoPrice:
    if isinstance(price, Price):
        return plan_of(price)
    # A reason is kept with every record; a name in it may be as long as its caller likes.
    return NoPrice(price.reason[:_MAX_REASON], price.is_known)


def _deployments(given: object) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(text, str) for pair in given.items() for text in pair):
        raise PriceError('deployments must map names to models, such as {"my-deployment": "gpt-4o"}')
    return {name.strip().lower(): model.strip() for name, model in given.items()}
