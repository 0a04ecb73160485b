"""This module is where the laws of prices are tested: sums, signs, proportion, dates, and that nothing raises."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aicore_obs.errors import PriceError
from aicore_obs.model.cost import Bill, Billing, Cost, OtherUsage, money
from aicore_obs.model.usage import FRACTION_FIELDS, Usage, settled
from aicore_obs.pricing.book import PriceBook
from aicore_obs.pricing.rows import row_of
from aicore_obs.pricing.units import UNITS
from tests.prices import BOOK, other

AT = datetime(2026, 3, 1, tzinfo=UTC)
counts = st.none() | st.integers(0, 10**7)
fields = {name: counts for name in Usage.__struct_fields__ if name not in FRACTION_FIELDS}
fractions = {name: st.none() | st.floats(0, 10**6) for name in FRACTION_FIELDS}
usages = st.builds(Usage, **fields, **fractions).map(settled)
wild_counts = st.none() | st.integers() | st.floats() | st.just(10**80)
wild_usages = st.builds(Usage, **dict.fromkeys(Usage.__struct_fields__, wild_counts))
WHO = "openai azure anthropic bedrock google vertex deepseek xai cohere litellm ollama acme"
names = st.sampled_from(WHO.split())
models = st.sampled_from(
    [
        "gpt-4o", "gpt-5.5", "gpt-4o-audio-preview", "claude-sonnet-4-5", "gemini-2.5-flash", "deepseek-v4-flash",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "rerank-v3.5", "whisper-1", "tts-1", "dall-e-3", "grok-4",
        "gpt-image-1.5", "gpt-realtime", "sonar-deep-research", "veo-3.1-generate-preview", "voxtral-small-2507",
    ]
)  # fmt: skip
words = st.dictionaries(
    st.sampled_from(["tier", "batch", "speed", "region", "size", "quality", "audio", "search_context", "x"]),
    st.sampled_from(["flex", "priority", "true", "fast", "us", "1024x1024", "hd", "low", "", "default", "\x00"]),
    max_size=3,
)
times = st.datetimes(datetime(2022, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
prices = st.decimals(0, 10**6, places=12, allow_nan=False, allow_infinity=False)


def _cost(who: str | None, model: str | None, usage: Usage, at: datetime = AT, **billing: Any) -> Cost:
    return BOOK.cost(provider=who, model=model, usage=usage, billing=Billing(**billing), at=at)


@settings(deadline=None)
@given(names, models, usages, times, words)
def test_the_parts_of_a_cost_are_the_whole(
    provider: str, model: str, usage: Usage, at: datetime, conditions: dict[str, str]
) -> None:
    """Lines add up to the total, input and output to theirs; nothing is negative, all has twelve places."""
    cost = _cost(provider, model, usage, at, conditions=conditions)
    assert "pricing failed" not in (cost.reason or "")
    if cost.total is None:
        assert cost.reason
        return
    assert cost.input is not None
    assert cost.output is not None
    assert cost.total == sum((line.amount for line in cost.lines), Decimal(0))
    assert cost.total == cost.input + cost.output + other(cost)
    assert all(line.amount >= 0 and line.amount == money(line.amount) for line in cost.lines)
    assert all((line.quantity or 0) > 0 for line in cost.lines)


@settings(deadline=None)
@given(names, models, usages)
def test_no_token_is_charged_twice_or_left_out(provider: str, model: str, usage: Usage) -> None:
    """The quantities of the token lines of a side are its tokens, where the side has a price of its own."""
    cost = _cost(provider, model, usage)
    units = {line.unit for line in cost.lines}
    for side, whole in (("input", usage.input_tokens), ("output", usage.output_tokens)):
        charged = [line.quantity or 0 for line in cost.lines if line.side == side and line.unit.endswith("_mtok")]
        assert sum(charged) <= (whole or 0)
        if f"{side}_mtok" in units:
            assert sum(charged) == whole


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 100))
def test_a_cost_is_proportional_to_its_usage(read: int, made: int, times_more: int) -> None:
    """Where there is no step, n times the tokens cost n times as much."""
    once = _cost("openai", "gpt-4o", settled(Usage(input_tokens=read, output_tokens=made)))
    more = _cost("openai", "gpt-4o", settled(Usage(input_tokens=read * times_more, output_tokens=made * times_more)))
    assert once.total is not None
    assert more.total == once.total * times_more


@settings(deadline=None)
@given(prices, st.integers(0, 10**9))
def test_money_is_exact(price: Decimal, tokens: int) -> None:
    """A line is price times count over a million, rounded once, half to even, whatever the size."""
    book = PriceBook([{"model": "m", "input_mtok": price, "output_mtok": 0}])
    cost = book.cost(provider="p", model="m", usage=Usage(input_tokens=tokens, output_tokens=0), at=AT)
    exact = money(Decimal(str(price)).scaleb(-6) * tokens) if tokens < 10**6 else None
    if exact is not None:
        assert cost.total == exact
    assert cost.total is not None or "not believed" in (cost.reason or "")


@settings(deadline=None)
@given(st.lists(times, min_size=2, max_size=5, unique=True), times)
@example([datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)], datetime(2026, 1, 2, tzinfo=UTC))
def test_of_rows_with_dates_the_latest_that_has_begun_holds(starts: list[datetime], at: datetime) -> None:
    """Also within one day, at the first microsecond and one before it."""
    ordered = sorted(starts)
    rows = [
        {"model": "m", "input_mtok": number + 1, "output_mtok": 0, "effective_from": start}
        for number, start in enumerate(ordered)
    ]
    book = PriceBook(rows)
    for moment in (at, *ordered, *(start - timedelta(microseconds=1) for start in ordered)):
        begun = sum(start <= moment for start in ordered)
        cost = book.cost(provider="p", model="m", usage=Usage(input_tokens=10**6, output_tokens=0), at=moment)
        assert cost.total == (None if begun == 0 else begun)


@settings(deadline=None)
@given(names, models, wild_usages, st.datetimes(), words, st.none() | st.text(max_size=20))
def test_pricing_never_raises(
    provider: str, model: str, usage: Usage, at: datetime, conditions: dict[str, str], text: str | None
) -> None:
    """Whatever was counted, whenever, under whatever name."""
    for who, what in ((provider, model), (text, model), (provider, text), (text, text)):
        cost = _cost(who, what, usage, at, conditions=conditions, base_url=text, asked_model=text, provider=text)
        assert cost.total is None or cost.total >= 0
        assert cost.total is not None or cost.reason
        msgspec.json.encode(cost)


@settings(deadline=None)
@given(
    st.decimals(),
    st.none() | st.decimals(),
    st.none() | st.decimals(),
    usages,
    st.lists(st.builds(OtherUsage, model=models, usage=usages), max_size=2),
)
def test_no_bill_raises_and_a_bill_that_is_used_stands(
    total: Decimal, read: Decimal | None, made: Decimal | None, usage: Usage, others: list[OtherUsage]
) -> None:
    """The total of a bill is the total, and its parts never exceed it."""
    bill = Bill(total=total, path="p", input=read, output=made)
    cost = _cost("openai", "gpt-4o", usage, bill=bill, others=tuple(others))
    if cost.source == "provider":
        assert cost.total == money(total)
        if cost.input is not None and cost.output is not None:
            assert cost.input + cost.output + other(cost) == cost.total


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
own = "provider model match effective_from effective_to currency conditions source id as_model multiply unchanged"
keys = st.sampled_from([*own.split(), "min_audio_seconds", *UNITS])
values = json | st.sampled_from(["exact", "regex", "prefix", "2026-01-01", "(", "USD", 1, "0.5", math.nan, 10**5000])


@settings(deadline=None)
@given(st.dictionaries(keys | st.text(max_size=5), values, max_size=6) | json)
def test_a_row_is_right_or_an_error_of_ours(row: Any) -> None:
    """Nothing else is raised for what a user writes, and what is accepted can be used."""
    try:
        made = row_of(row)
    except PriceError:
        return
    cost = PriceBook([made]).cost(provider=made.provider, model=made.model, usage=Usage(), at=AT)
    assert cost.total is None or cost.total >= 0
