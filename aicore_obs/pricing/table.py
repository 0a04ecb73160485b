"""This module is where the bundled price table, ``genai-prices``, is read: the only place that knows the package.

It is loaded by :func:`load`, once, when the first price is looked up. Its models and dated prices are turned into
rates of ours; its calculator is never called, since it raises on usage that providers really send (more cached tokens
than input tokens, for one). What is wrong in its data is mended in :mod:`aicore_obs.pricing.corrections`, what is wrong
in its form, here:

- Prices of tiers and of batch carry the day on which they were collected (2026-10-12, -14, -15) and not the day from
  which they hold. They hold before it too, as long as the standard price was the same.
- Prices by time of day stand behind the dated ones, and would hold for all time. They hold from the last date on.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from importlib.metadata import version as distribution_version
from typing import TYPE_CHECKING, Any

import msgspec

from aicore_obs.guard import attempt, log_window
from aicore_obs.model.cost import EXACT
from aicore_obs.pricing.price import TABLE, NoPrice, Price

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

# The days on which the variants of 0.2.3 were collected.
_COLLECTED = frozenset({date(2026, 10, 12), date(2026, 10, 14), date(2026, 10, 15)})
# Its names of units → ours, and how many of ours one of its is.
_UNITS: dict[str, tuple[str, int]] = {
    **{
        name: (name, 1)
        for name in (
            "input_mtok",
            "output_mtok",
            "cache_read_mtok",
            "cache_write_mtok",
            "cache_write_5m_mtok",
            "cache_write_1h_mtok",
            "input_audio_mtok",
            "input_image_mtok",
            "input_video_mtok",
            "output_audio_mtok",
            "output_image_mtok",
            "input_mchars",
            "audio_hours",
        )
    },
    "cache_audio_read_mtok": ("cache_read_audio_mtok", 1),
    "input_tool_mtok": ("tool_prompt_mtok", 1),
    "output_reasoning_mtok": ("reasoning_mtok", 1),
    "input_audio_hours": ("audio_hours", 1),
    "web_searches_kcount": ("per_search", 1000),
    "requests_kcount": ("per_request", 1000),
    "rerank_searches_kcount": ("per_search_unit", 1000),
}
# The conditions of a call → the words of its variants.
_WORDS = {"tier": "service_tier", "batch": "processing", "speed": "speed", "search_type": "search_type"}
# Where a model that is listed without any price is free; elsewhere the price is only missing.
_FREE = frozenset({"google", "openai", "github-copilot", "openrouter"})
# Groq bills at least ten seconds of audio: https://console.groq.com/docs/speech-to-text, 2026-11-21.
_GROQ_SECONDS = Decimal(10)


class Rate(msgspec.Struct, frozen=True):
    """US dollars for one unit; ``steps`` are (tokens, US dollars): the price of everything when input is above."""

    base: Decimal
    steps: tuple[tuple[int, Decimal], ...] = ()

    def at(self, tokens: int) -> Decimal:
        """Return the rate for a request with so many input tokens."""
        return next((price for above, price in reversed(self.steps) if tokens > above), self.base)


Rates = Mapping[str, Rate]


class Dated(msgspec.Struct, frozen=True):
    """Rates that hold from a day on, or every day between two times."""

    rates: Rates
    since: date | None = None
    window: tuple[time, time] | None = None
    words: tuple[tuple[str, str], ...] = ()

    def holds(self, at: datetime) -> bool:
        """Return whether the rates hold at a time in UTC."""
        if self.since is not None and at.date() < self.since:
            return False
        if self.window is None:
            return True
        (start, end), now = self.window, at.time()
        return start <= now < end if start <= end else now >= start or now < end


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One model of one provider, with all its prices."""

    provider: str
    model: str
    standard: tuple[Dated, ...]
    variants: tuple[Dated, ...] = ()
    is_free: bool = False
    source: str | None = None

    def token_steps(self) -> set[int]:
        """Return the counts of input tokens above which a price changes."""
        every = (*self.standard, *self.variants)
        return {above for dated in every for rate in dated.rates.values() for above, _ in rate.steps}

    def moments(self) -> set[time]:
        """Return the times of the day at which a price changes."""
        return {moment for dated in self.standard if dated.window for moment in dated.window}

    def price(self, at: datetime, tokens: int, words: Mapping[str, str]) -> Price | NoPrice:
        """Return the price at a time in UTC, for so many input tokens, under the conditions of a call."""
        standard = self._standard(at)
        asked = {_WORDS[name]: "batch" if name == "batch" else words[name] for name in _WORDS if name in words}
        rates = dict(standard.rates)
        variants = self._variants(at, asked)
        named = {name for dated in variants for name, _ in dated.words}
        if asked.keys() - named - {"search_type"}:
            return NoPrice(f"no price is known for {_said(words)} of model {self.model!r}", is_known=True)
        for dated in reversed(variants):
            rates |= dated.rates
        if not rates and not self.is_free:
            return NoPrice(f"model {self.model!r} is listed without a price that can be charged", is_known=True)
        return self._price(standard, variants, rates, tokens)

    def _variants(self, at: datetime, asked: Mapping[str, str]) -> list[Dated]:
        """Return the variants that hold, the first wins; those that were only collected later hold before, too."""
        fitting = [one for one in self.variants if all(asked.get(name) == value for name, value in one.words)]
        active = [one for one in fitting if one.holds(at)]
        if active or not fitting:
            return active
        first = min(one.since for one in fitting if one.since is not None)
        then = _midnight(first)
        if then is None or first not in _COLLECTED or self._standard(at).rates != self._standard(then).rates:
            return []
        return [one for one in fitting if one.since == first]

    def _standard(self, at: datetime) -> Dated:
        return next((dated for dated in reversed(self.standard) if dated.holds(at)), self.standard[0])

    def _price(self, standard: Dated, variants: Sequence[Dated], rates: Rates, tokens: int) -> Price:
        since = "" if standard.since is None else f"@{standard.since}"
        window = "" if standard.window is None else f"/{standard.window[0]:%H:%M}"
        words = "".join(f"+{name}={value}" for dated in variants for name, value in dated.words)
        steps = [above for rate in rates.values() for above, _ in rate.steps if tokens > above]
        return Price(
            id=f"{TABLE}:{self.provider}/{self.model}{since}{window}{words}",
            layer=TABLE,
            model=self.model,
            provider=self.provider,
            rates={unit: rate.at(tokens) for unit, rate in rates.items()},
            effective_from=_midnight(standard.since),
            above_input_tokens=max(steps, default=0),
            min_audio_seconds=_GROQ_SECONDS if self.provider == "groq" and "audio_hours" in rates else None,
            rest_is_free=True,
            source=self.source,
        )


class Table:
    """The price table, read; entries are made when they are first asked for."""

    def __init__(self, providers: Sequence[Provider], version: str) -> None:
        self.version = version
        self._all = list(providers)
        self._providers = {provider.id: provider for provider in providers}
        self._entries: dict[tuple[str, str], Entry | None] = {}

    def entry(self, provider: str, name: str) -> Entry | None:
        """Return a model of a provider by a name in lower case, None when it is not listed there."""
        listed = self._providers.get(provider)
        # OpenAI does not serve these; the table has their price from elsewhere.
        if listed is None or (provider == "openai" and name.startswith("gpt-oss")):
            return None
        model = listed.find_model(name, all_providers=self._all)
        # A fine-tuned model never has the price of the model that it was made from.
        if model is None or (name.startswith("ft:") and not model.id.startswith("ft:")):
            return None
        key = (provider, model.id)
        if key not in self._entries:
            self._entries[key] = _entry(listed, model)
        return self._entries[key]

    def owner(self, name: str) -> str | None:
        """Return the provider whose model it is by its name alone."""
        for provider in self._all:
            if provider.model_match is not None and provider.model_match.is_match(name):
                return provider.id
        return None

    def served_by(self, base_url: str) -> str | None:
        """Return the provider whose interface is at an address."""
        for provider in self._all:
            if attempt(re.match, provider.api_pattern, base_url).value is not None:
                return provider.id
        return None

    def newest(self, today: date) -> date | None:
        """Return the newest day, up to today, from which on the table has a price: how far it has been kept up."""
        entries = (_entry(provider, model) for provider in self._all for model in provider.models)
        dated = (one for entry in entries if entry is not None for one in (*entry.standard, *entry.variants))
        return max((one.since for one in dated if one.since is not None and one.since <= today), default=None)

    def every(self) -> list[tuple[str, str]]:
        """Return (provider, model) of everything that is listed."""
        return [(provider.id, model.id) for provider in self._all for model in provider.models]


NO_TABLE = Table((), "none")


def load() -> Table:
    """Return the table; one without anything, and a warning in the log, when the package cannot be used.

    It imports the package (about 0.3 s), so it is called on the road or on a thread that may wait.
    """
    outcome = attempt(_load)
    if outcome.value is None:
        log_window.warn("price-table", f"the price table genai-prices cannot be used: {outcome.error!r}")
        return NO_TABLE
    return outcome.value


@cache
def shared_table() -> Table:
    """Return the table of this process, loaded at the first call."""
    return load()


@cache
def table_version() -> str:
    """Return the version of the installed table without loading it."""
    return attempt(distribution_version, "genai-prices").value or "none"


def _load() -> Table:
    # The bundled prices only: what `UpdatePrices` of that package puts in their place is not of the version we name.
    return Table(importlib.import_module("genai_prices.data").providers, table_version())


def _entry(provider: Provider, model: ModelInfo) -> Entry | None:
    """Return what is listed for a model; None when its form is not the one we know."""
    return attempt(_read_entry, provider, model).value


def _read_entry(provider: Provider, model: ModelInfo) -> Entry:
    listed: list[Any] = model.prices if isinstance(model.prices, list) else []
    dated = [(getattr(one.constraint, "start_date", None), one) for one in listed]
    # A model that is found by way of another provider has that one's list price and none of its tiers.
    is_own = any(one is model for one in provider.models)
    last = max((since for since, _ in dated if since is not None), default=None)
    standard = [
        Dated(_rates(provider.id, model.id, one.prices), last, _window(one.constraint))
        if _window(one.constraint)
        else Dated(_rates(provider.id, model.id, one.prices), since)
        for since, one in dated
    ]
    if not listed:
        standard = [Dated(_rates(provider.id, model.id, model.prices))]  # type: ignore[arg-type]
    variants = [
        Dated(
            _rates(provider.id, model.id, one.prices),
            getattr(one.constraint, "start_date", None),
            words=tuple(sorted(one.when.items())),
        )
        for one in model.price_variants or ()
        if one.when != {"service_tier": "default"} and is_own
    ]
    empty = not listed and not _raw(model.prices)  # type: ignore[arg-type]
    return Entry(
        provider=provider.id,
        model=model.id,
        standard=tuple(standard),
        variants=tuple(variants),
        is_free=empty and (provider.id in _FREE or model.id.endswith(":free")),
        source=next(iter(provider.pricing_urls or ()), None),
    )


def _raw(prices: ModelPrice) -> dict[str, Any]:
    return {name: value for name, value in vars(prices).items() if value is not None}


def _window(constraint: Any) -> tuple[time, time] | None:
    start, end = getattr(constraint, "start_time", None), getattr(constraint, "end_time", None)
    return None if start is None or end is None else (start.replace(tzinfo=None), end.replace(tzinfo=None))


def _rates(provider: str, model: str, prices: ModelPrice) -> Rates:
    found: dict[str, Rate] = {}
    for name, value in _raw(prices).items():
        unit, many = _UNITS.get(name, (None, 1))
        if unit is None:
            continue
        if unit == "per_search" and provider == "google" and model.startswith("gemini-2."):
            # By grounded prompt; from Gemini 3 on by query. https://ai.google.dev/gemini-api/docs/pricing (2026-11-21).
            unit = "per_searching_request"
        found[unit] = _rate(value, many)
    return found


def _rate(value: Any, many: int) -> Rate:
    if isinstance(value, Decimal):
        return Rate(EXACT.divide(value, many))
    tiers = sorted(value.tiers, key=lambda tier: tier.start)
    return Rate(EXACT.divide(value.base, many), tuple((tier.start, EXACT.divide(tier.price, many)) for tier in tiers))


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)


def _said(words: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in words.items() if name in _WORDS)
