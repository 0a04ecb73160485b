"""This module is where usage and cost of 86 recorded and made-up answers are compared with what was worked out by hand.

``fixtures/cost_cases.jsonl``: what was asked and answered, when, and what is expected; unlisted counts are None or 0.
"""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

import aicore_obs
from aicore_obs.costing import CostAnswer
from aicore_obs.model.usage import Usage

CASES = [
    json.loads(line) for line in (Path(__file__).parents[1] / "fixtures" / "cost_cases.jsonl").read_text().splitlines()
]
# What a case's request says for a price book and not for the provider.
_FOR_THE_BOOK = {"price_overrides": "rows", "deployment_map": "deployments"}


def answer(case: dict[str, Any]) -> CostAnswer:
    """Ask what the case's call used and cost."""
    request = dict(case.get("request", {}))
    book = {ours: request.pop(theirs) for theirs, ours in _FOR_THE_BOOK.items() if theirs in request}
    return aicore_obs.cost_of(
        case["response"],
        provider=case["provider"],
        model=case["model"],
        request=request or None,
        api=case["api"],
        at=case["as_of"],
        prices=aicore_obs.PriceBook(**book) if book else None,
    )


def usages(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the usage that is expected, and what else would be right."""
    others = [one["expected_usage"] for one in case.get("accept_also") or () if "expected_usage" in one]
    return [case["expected_usage"], *({**case["expected_usage"], **one} for one in others)]


def is_usage(found: Usage, expected: dict[str, Any]) -> bool:
    """Return whether a usage is what is expected: null is None, what is not listed is None or 0."""
    return all(
        value == expected[name] if name in expected else not value
        for name, value in msgspec.structs.asdict(found).items()
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_usage_is_what_was_worked_out(case: dict[str, Any]) -> None:
    """Every count, each unreported one as None."""
    found = answer(case).usage
    assert any(is_usage(found, expected) for expected in usages(case)), (found, case["expected_usage"], case["trap"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_cost_is_what_was_worked_out(case: dict[str, Any]) -> None:
    """To the last place: input, output and total; an unknown one is None with a reason."""
    found = answer(case)
    expected = case["expected_cost_usd"]
    if expected is None:
        assert found.cost is None, case["trap"]
        assert found.reason
        return
    assert found.cost is not None, (found.reason, case["trap"])
    for part in ("input", "output", "total"):
        assert getattr(found.cost, part) == Decimal(str(expected[part])), (part, found.cost, case["trap"])
    others = sum((line.amount for line in found.cost.lines if line.side == "other"), Decimal(0))
    assert others == Decimal(str(expected.get("other", 0))), found.cost.lines


def test_a_cost_says_where_it_comes_from() -> None:
    """Each priced case has a source and a book, and a price row unless the provider's own bill or a local server."""
    for case in CASES:
        cost = answer(case).cost
        if cost is not None:
            assert cost.source, case["id"]
            assert cost.book, case["id"]
            assert cost.price_id or cost.source in ("provider", "provider-estimate", "local"), case["id"]


def test_a_system_of_several_models_costs_what_its_models_cost() -> None:
    """Groq's compound says which model used how much; each has its own price, and the whole is not counted again."""
    shares = {"llama-3.3-70b-versatile": (600, 500), "openai/gpt-oss-120b": (400, 500)}
    answered = aicore_obs.cost_of(
        {
            "object": "chat.completion",
            "model": "groq/compound",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 1000, "total_tokens": 2000},
            "usage_breakdown": {
                "models": [
                    {"model": model, "usage": {"prompt_tokens": asked, "completion_tokens": said}}
                    for model, (asked, said) in shares.items()
                ]
            },
        },
        provider="groq",
        at="2026-03-01",
    )
    assert answered.usage.total_tokens == 2000
    assert answered.cost is not None
    # 0.59 and 0.79, 0.15 and 0.60 US dollars per million tokens.
    assert answered.cost.input == Decimal("0.000414")
    assert answered.cost.output == Decimal("0.000695")
    assert {line.model for line in answered.cost.lines} == set(shares)


@pytest.mark.parametrize("at", ["2026-13-01", "", "tomorrow", float("nan")])
def test_a_time_that_is_none_is_not_taken_for_now(at: Any) -> None:
    """Today's price would be a wrong one, and look like any other."""
    with pytest.raises(aicore_obs.ConfigurationError, match=f"at={at!r}: a time such as"):
        aicore_obs.cost_of({"model": "gpt-4o", "usage": None}, provider="openai", at=at)


def test_prices_of_the_environment_are_used_where_none_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And read again when the file has changed."""
    file = tmp_path / "prices.toml"
    row = '[[rows]]\nprovider = "acme"\nmodel = "acme-1"\ninput_mtok = "{}"\noutput_mtok = "2"\n'
    monkeypatch.setenv("AICORE_OBS_PRICES", str(file))
    body = b'{"model": "acme-1", "usage": {"prompt_tokens": 1000000, "completion_tokens": 0}}'
    for number, price in enumerate(("1.5", "3")):
        file.write_text(row.format(price))
        os.utime(file, ns=(number, number))
        cost = aicore_obs.cost_of(body, provider="acme").cost
        assert cost is not None
        assert cost.total == Decimal(price)
