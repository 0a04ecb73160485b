"""This module is where answers of every provider are read: small ones, made from the members that its SDK documents.

A line of ``tests/fixtures/providers/<name>/shapes.jsonl`` has what was asked and answered, the usage that must come out
(nothing else may be known, or other than 0), and under ``read`` what else is said.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aicore_obs.derivation import derive, read_text
from aicore_obs.descriptions import OURS
from aicore_obs.model.operation import Derived
from tests.captures import capture
from tests.usages import check_laws

FIXTURES = Path(__file__).parents[1] / "fixtures/providers"
CASES = [
    {"file": path.parent.name, **json.loads(line)}
    for path in sorted(FIXTURES.glob("*/shapes.jsonl"))
    for line in path.read_text("utf-8").splitlines()
]


def read(case: dict[str, Any]) -> Derived:
    """Return what is derived from a case; nothing at all is as good as an empty answer."""
    operation = capture(case.get("request"), case["response"], provider=case["provider"], api=case["api"])
    return derive(operation) or Derived()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['file']}-{case['id']}")
def test_usage(case: dict[str, Any]) -> None:
    """What was reported, in the normal form; what was not is unknown, or the 0 that was reported."""
    found = read(case).usage
    check_laws(found)
    known = {name: value for name, value in msgspec.structs.asdict(found).items() if value or name in case["usage"]}
    assert known == case["usage"]


@pytest.mark.parametrize(
    "case", [one for one in CASES if "read" in one], ids=lambda case: f"{case['file']}-{case['id']}"
)
def test_what_else_is_said(case: dict[str, Any]) -> None:
    """Model, identity, end and text; and what the price depends on."""
    expected, found = dict(case["read"]), read(case)
    told = {
        "model": found.model,
        "id": found.response_id,
        "finish_reason": found.finish_reason,
        "usage_source": found.usage_source,
        "server_address": found.server_address,
        "max_tokens": found.max_tokens,
        "temperature": found.temperature,
        "conditions": found.billing.conditions,
        "bills": found.billing.provider,
        "text": read_text(case["provider"], json.dumps(case["response"]).encode()),
        "usage_raw": None if found.usage_raw is msgspec.UNSET else json.loads(bytes(found.usage_raw)),
    }
    bill = expected.pop("bill", None)
    assert {name: told[name] for name in expected} == expected
    amounts = {} if found.billing.bill is None else msgspec.to_builtins(found.billing.bill)
    for name in ("total", "input", "output"):
        given = (bill or {}).get(name)
        assert amounts.get(name) is None if given is None else Decimal(amounts[name]) == Decimal(given)
    assert (amounts.get("path"), amounts.get("is_estimate", False)) == (
        (bill or {}).get("path"),
        (bill or {}).get("is_estimate", False),
    )


def test_every_provider_has_answers() -> None:
    """A description without an answer that it reads is a guess."""
    assert {case["file"] for case in CASES} >= set(OURS)
