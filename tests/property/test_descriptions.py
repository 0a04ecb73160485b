"""This module is where every provider's description is given anything at all: it raises nothing and invents nothing."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aicore_obs.derivation import derive, read_text
from aicore_obs.descriptions import OURS, described
from aicore_obs.model.cost import Bill
from aicore_obs.model.operation import Derived
from aicore_obs.model.usage import settled
from aicore_obs.protocols import Provider, RequestFacts, ResponseFacts
from aicore_obs.shapes import (
    anthropic,
    bedrock,
    bill,
    cohere,
    google,
    google_media,
    langchain,
    ollama,
    openai,
    openai_usage,
    pydantic_ai,
    request,
    spans,
    tgi,
)
from tests.captures import capture
from tests.usages import check_laws

_MODULES = (
    anthropic, bedrock, bill, cohere, google, google_media, langchain, ollama, openai, openai_usage, pydantic_ai,
    request, tgi,
)  # fmt: skip
# Every member that any shape looks at: from random words alone, no usage would ever come out.
MEMBERS = sorted(
    {
        field.encode_name
        for module in _MODULES
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        for field in msgspec.structs.fields(kind)
    }
    | {name for names in spans._NAMES.values() for name in names}
    | {"usageMetadata", "promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "cachedContentTokenCount"}
)
WORDS = ["message", "message_start", "message_delta", "response.done", "message-end", "stream-end", "advisor_message",
         "text", "1h", "5m", "AUDIO", "completed", "video", "list", "[DONE]", "models/m/operations/o", "data: {}",
         "web_search_call", "response.output_item.done", "content_block_delta", "true"]  # fmt: skip
NUMBERS = st.integers(0, 9) | st.integers(-5, 2**70) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.sampled_from(WORDS) | st.text(max_size=4)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=8),
    max_leaves=30,
)
USAGES = st.dictionaries(
    st.sampled_from([name for name in MEMBERS if "oken" in name or "ount" in name or "ost" in name]),
    NUMBERS | st.dictionaries(st.sampled_from(MEMBERS), NUMBERS, max_size=4) | st.none(),
    max_size=9,
)
AROUND = st.sampled_from(["usage", "usageMetadata", "usage_metadata", "meta", "details", "message", "metadata"])
BODIES = JSON | st.builds(lambda rest, name, usage: {**rest, name: usage},
                          st.dictionaries(st.sampled_from(MEMBERS), SCALARS, max_size=4), AROUND, USAGES)  # fmt: skip
ANSWERS = BODIES | st.lists(BODIES, max_size=4)
DESCRIPTIONS = [described(name) for name in OURS]
slow = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def check_facts(found: ResponseFacts) -> None:
    """Assert what holds of anything that was read."""
    for value in (found.model, found.id, found.finish_reason, found.provider):
        assert value is None or isinstance(value, str)
    check_laws(settled(found.usage))
    for other in found.others:
        check_laws(other.usage)
    check_conditions(found.conditions)
    check_bill(found.bill)


def check_conditions(conditions: dict[str, str]) -> None:
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in conditions.items())


def check_bill(found: Bill | None) -> None:
    amounts = [] if found is None else [found.total, found.input, found.output]
    assert all(amount is None or (amount.is_finite() and amount >= 0) for amount in amounts)


@slow
@given(asked=BODIES, answered=ANSWERS, description=st.sampled_from(DESCRIPTIONS))
def test_no_json_raises(asked: Any, answered: Any, description: Provider) -> None:
    """Whatever the members hold, what is read is a number of 0 or more, a word, or unknown."""
    request_facts = description.read_request(msgspec.json.encode(asked))
    check_conditions(request_facts.conditions)
    check_laws(settled(request_facts.counts))
    raw = json.dumps(answered).encode()
    check_facts(description.read_response(raw, request_facts))
    text = description.read_text(raw)
    assert text is None or isinstance(text, str)


@slow
@given(st.binary(), st.sampled_from(DESCRIPTIONS))
def test_no_bytes_raise(raw: bytes, description: Provider) -> None:
    """What is no JSON at all says nothing."""
    assert isinstance(description.read_request(raw), RequestFacts)
    check_facts(description.read_response(raw, RequestFacts()))
    description.read_text(raw)


@slow
@given(
    asked=BODIES, answered=ANSWERS, provider=st.none() | st.sampled_from([*OURS, "acme", ""]), api=st.none() | st.text()
)
def test_no_operation_raises(asked: Any, answered: Any, provider: str | None, api: str | None) -> None:
    """Under any name, an operation is read without an error, and its numbers keep the laws."""
    operation = capture(asked, answered, provider=provider, api=api)
    found = derive(operation)
    assert found is None or isinstance(found, Derived)
    if found is not None:
        check_laws(found.usage)
        check_bill(found.billing.bill)
        check_conditions(found.billing.conditions)
        assert msgspec.json.decode(msgspec.json.encode(found), type=Derived) == found
    if operation.response is not msgspec.UNSET:
        read_text(provider, bytes(operation.response))


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=lambda one: one.name)
@pytest.mark.parametrize("depth", [100, 100_000])
def test_depth_is_no_danger(description: Provider, depth: int) -> None:
    """Deeper than the parser goes is unknown, not an error."""
    for opening, closing in ((b"[", b"]"), (b'{"usage":', b"}"), (b'{"message":', b"}"), (b'{"response":', b"}")):
        raw = opening * depth + b"1" + closing * depth
        description.read_request(raw)
        check_facts(description.read_response(raw, RequestFacts()))
        description.read_text(raw)


ODD: list[Any] = [None, True, -1, 10**30, 1e308, "x", "", [], [[]], [None, {}], {}, {"type": []}, [{"type": {}}]]


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=lambda one: one.name)
def test_no_member_raises(description: Provider) -> None:
    """Each member by itself may be of any kind, at the top, in an event, in a usage."""
    for member in MEMBERS:
        for value in ODD:
            odd = {member: value}
            for body in (odd, [odd], {"usage": odd}, {"choices": [odd]}, {"message": odd, "type": "message_start"}):
                raw = msgspec.json.encode(body) if value != 10**30 else json.dumps(body).encode()
                check_facts(description.read_response(raw, description.read_request(raw)))
                description.read_text(raw)
