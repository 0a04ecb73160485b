"""This module is where OpenAI's shapes are read in tests: usage by one algebra, and nothing that was not said."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore_obs.derivation import derive
from aicore_obs.model.usage import COUNT_FIELDS, TOKEN_FIELDS, Usage, settled
from aicore_obs.protocols import RequestFacts, ResponseFacts
from aicore_obs.providers import openai
from tests.captures import capture


def facts(body: Any) -> ResponseFacts:
    """Read a response, given as plain data."""
    return openai.read_response(msgspec.json.encode(body))


def usage_of(usage: Any) -> dict[str, Any]:
    """Return what is known of a usage object."""
    found = msgspec.structs.asdict(settled(facts({"usage": usage}).usage))
    return {name: value for name, value in found.items() if value is not None}


def test_chat_completion() -> None:
    """Details are subsets of their totals."""
    body = {
        "id": "chatcmpl-1",
        "model": "gpt-4o-2024-08-06",
        "choices": [{"finish_reason": "stop", "message": {"content": "Hello"}}],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {
                "cached_tokens": 60,
                "audio_tokens": 5,
                "image_tokens": 6,
                "cache_write_tokens": 7,
            },
            "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 2, "image_tokens": 1},
        },
    }
    found = facts(body)
    assert (found.id, found.model, found.finish_reason) == ("chatcmpl-1", "gpt-4o-2024-08-06", "stop")
    assert found.usage == Usage(
        input_tokens=100, cache_read_tokens=60, cache_write_tokens=7, input_audio_tokens=5, input_image_tokens=6,
        output_tokens=50, reasoning_tokens=30, output_audio_tokens=2, output_image_tokens=1, total_tokens=150,
    )  # fmt: skip
    assert json.loads(bytes(found.usage_raw)) == body["usage"]  # type: ignore[arg-type]
    assert openai.read_text(msgspec.json.encode(body)) == "Hello"


def test_responses_body() -> None:
    """The Responses API has other names for the same."""
    body = {
        "id": "resp-1",
        "model": "gpt-5",
        "status": "completed",
        "output": [{"type": "reasoning"}, {"content": [{"type": "output_text", "text": "Hel"}, {"text": "lo"}]}],
        "usage": {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 16},
            "total_tokens": 30,
        },
    }
    found = facts(body)
    assert (found.id, found.model, found.finish_reason) == ("resp-1", "gpt-5", "completed")
    assert found.usage == Usage(
        input_tokens=10, cache_read_tokens=4, output_tokens=20, reasoning_tokens=16, total_tokens=30
    )
    assert openai.read_text(msgspec.json.encode(body)) == "Hello"


def test_embeddings() -> None:
    """There is no output; the total is what was said."""
    body = {"model": "text-embedding-3-small", "data": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    assert facts(body).usage == Usage(input_tokens=8, output_tokens=0, total_tokens=8)
    assert openai.read_text(msgspec.json.encode(body)) is None


def chunk(**fields: Any) -> dict[str, Any]:
    """Return one event of a chat stream."""
    return {"id": "c", "model": "gpt-4o", "choices": [], **fields}


def test_of_a_stream_the_last_usage_counts() -> None:
    """Servers that repeat a growing usage in every chunk are read once, at the end; null says nothing."""
    last = {"delta": {"content": "lo"}, "finish_reason": "length"}
    events = [
        chunk(choices=[{"delta": {"content": "Hel"}}], usage={"prompt_tokens": 5, "completion_tokens": 1}),
        chunk(choices=[last], usage={"prompt_tokens": 5, "completion_tokens": 2}),
        chunk(usage={"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}),
        chunk(usage=None),
    ]
    found = facts(events)
    assert (found.id, found.model, found.finish_reason) == ("c", "gpt-4o", "length")
    assert found.usage == Usage(input_tokens=5, output_tokens=3, total_tokens=8)
    assert openai.read_text(msgspec.json.encode(events)) == "Hello"


def test_a_stream_without_usage_is_unknown() -> None:
    """Unknown is not zero."""
    found = facts([chunk(choices=[{"delta": {"content": "x"}}]), chunk(usage=None)])
    assert found.usage == Usage()
    assert found.usage_raw is msgspec.UNSET


def test_a_stream_of_the_responses_api() -> None:
    """The events carry the body inside; the last one has the usage."""
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    events = [
        {"type": "response.created", "response": {"id": "r", "model": "gpt-5", "status": "in_progress", "usage": None}},
        {"type": "response.output_text.delta", "delta": "Hi"},
        {
            "type": "response.completed",
            "response": {
                "id": "r",
                "model": "gpt-5",
                "status": "completed",
                "usage": usage,
                "output": [{"content": [{"type": "output_text", "text": "Hi"}]}],
            },
        },
    ]
    found = facts(events)
    assert (found.id, found.finish_reason, found.usage.total_tokens) == ("r", "completed", 7)
    assert openai.read_text(msgspec.json.encode(events)) == "Hi"


def test_none_and_zero_differ() -> None:
    """A zero was said; what is absent or null was not."""
    assert usage_of({"prompt_tokens": 0, "completion_tokens": 0}) == {
        "input_tokens": 0,
        "output_tokens": 0,
        "total_tokens": 0,
    }
    assert usage_of({"prompt_tokens": 5, "completion_tokens": None}) == {"input_tokens": 5}
    details = {"cached_tokens": 0, "audio_tokens": None}
    assert usage_of({"prompt_tokens": 5, "prompt_tokens_details": details}) == {
        "input_tokens": 5,
        "cache_read_tokens": 0,
    }


@pytest.mark.parametrize("usage", [None, {}, [], "5", 5, True, {"prompt_tokens": None}, {"other": 5}], ids=repr)
def test_no_usage_is_unknown(usage: Any) -> None:
    """Whatever stands there in its place."""
    assert usage_of(usage) == {}
    assert facts({"usage": usage}).usage_raw is msgspec.UNSET


@pytest.mark.parametrize(
    ("given_", "count"),
    [(5, 5), (5.0, 5), (0, 0), (2**62 - 1, 2**62 - 1)]
    + [(odd, None) for odd in (-1, 1.5, "5", True, None, [5], {"n": 5}, 2**62, 2**64, 10**30, 1e300, -0.5)],
    ids=repr,
)
def test_only_whole_numbers_count(given_: Any, count: int | None) -> None:
    """One number that is written wrongly costs itself and not its neighbours."""
    found = usage_of(
        {"prompt_tokens": given_, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": given_}}
    )
    assert (found.get("input_tokens"), found.get("cache_read_tokens"), found["output_tokens"]) == (count, count, 7)
    assert found.get("total_tokens") == (None if count is None else count + 7)


@pytest.mark.parametrize("odd", ["cached", 5, True, [1], {"cached_tokens": {"n": 1}}], ids=repr)
def test_details_of_another_shape_cost_only_themselves(odd: Any) -> None:
    """The totals beside them are read."""
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": odd, "output_tokens_details": odd}
    assert usage_of(usage) == {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}


def test_the_shape_of_anthropic_is_another() -> None:
    """There ``input_tokens`` leaves the cache out: read by this algebra it would be wrong, so it is not read."""
    usage = {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 0}
    assert usage_of(usage) == {}
    assert usage_of({"input_tokens": 10, "output_tokens": 5, "cache_creation_input_tokens": 0}) == {}


def test_totals_are_sums_of_both_parts() -> None:
    """Where both are known their sum is the total, whatever was said; else what was said."""
    assert usage_of({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 99})["total_tokens"] == 12
    assert usage_of({"prompt_tokens": 5, "total_tokens": 9}) == {"input_tokens": 5, "total_tokens": 9}
    assert usage_of({"total_tokens": 9}) == {"total_tokens": 9}


def test_events_that_are_none_are_passed_over() -> None:
    """A stream may end in a word, and its choices may be of several answers."""
    events = [
        chunk(choices=[{"index": 1, "delta": {"content": "other"}}]),
        chunk(choices=[{"index": 0, "delta": {"content": "first"}}], usage={"prompt_tokens": 1}),
        "[DONE]",
        None,
    ]
    assert facts(events).usage.input_tokens == 1
    assert openai.read_text(msgspec.json.encode(events)) == "first"


NUMBERS = st.none() | st.integers(-5, 2**70) | st.floats() | st.text(max_size=2) | st.booleans()
NAMES = st.sampled_from(["prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens"])
DETAILS = st.dictionaries(st.sampled_from(["cached_tokens", "audio_tokens", "reasoning_tokens"]), NUMBERS)
USAGES = st.builds(
    lambda totals, details: {**totals, **details},
    st.dictionaries(NAMES, NUMBERS),
    st.dictionaries(st.sampled_from(["prompt_tokens_details", "output_tokens_details"]), DETAILS | NUMBERS),
)


@given(USAGES)
def test_usage_is_an_algebra(usage: dict[str, Any]) -> None:
    """Counts are whole and not negative; total = input + output where both are known."""
    found = msgspec.structs.asdict(settled(facts({"usage": usage}).usage))
    assert set(found) == {*TOKEN_FIELDS, *COUNT_FIELDS}
    assert all(value is None or (type(value) is int and 0 <= value < 2**63) for value in found.values())
    if found["input_tokens"] is not None and found["output_tokens"] is not None:
        assert found["total_tokens"] == found["input_tokens"] + found["output_tokens"]


SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-1e300, 1e300) | st.text()
WORDS = ["id", "model", "usage", "choices", "message", "delta", "content", "output", "response", "text", "index"]
KEYS = st.sampled_from(WORDS) | st.text(max_size=3)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@given(JSON)
def test_no_body_raises(body: Any) -> None:
    """Any JSON can be asked for its facts and its text; what is said is text."""
    raw = msgspec.json.encode(body)
    found, text = openai.read_response(raw), openai.read_text(raw)
    for value in (found.id, found.model, found.finish_reason, text):
        assert value is None or isinstance(value, str)
    assert isinstance(openai.read_request(raw), RequestFacts)


@given(st.binary())
def test_no_bytes_raise(raw: bytes) -> None:
    """What is no JSON at all says nothing."""
    openai.read_response(raw)
    openai.read_request(raw)
    openai.read_text(raw)


@pytest.mark.parametrize("depth", [10, 1_000, 100_000])
def test_depth_is_no_danger(depth: int) -> None:
    """Deeper than the parser goes is unknown, not an error."""
    raw = b'{"id": "x", "output": ' + b"[" * depth + b"]" * depth + b"}"
    assert openai.read_response(raw).id in ("x", None)
    assert openai.read_text(raw) is None


REQUESTS: list[tuple[Any, RequestFacts]] = [
    ({"model": "m", "temperature": 0, "max_tokens": 5}, RequestFacts(model="m", temperature=0.0, max_tokens=5)),
    ({"max_completion_tokens": 6}, RequestFacts(max_tokens=6)),
    ({"max_output_tokens": 7}, RequestFacts(max_tokens=7)),
    ({"model": 5, "temperature": "hot", "max_tokens": "many"}, RequestFacts()),
    ({"temperature": True, "max_tokens": -1}, RequestFacts()),
    ({"temperature": 10**400}, RequestFacts()),
    ([{"model": "m"}], RequestFacts()),
    ("text", RequestFacts()),
    (None, RequestFacts()),
]


@pytest.mark.parametrize(("request_", "expected"), REQUESTS, ids=lambda value: repr(value)[:40])
def test_requests(request_: Any, expected: RequestFacts) -> None:
    """Model, temperature and limit of a request, where they are what they should be."""
    assert openai.read_request(json.dumps(request_).encode()) == expected


def test_where_usage_came_from() -> None:
    """The provider's name when it is known by name; else the shape, which is said."""
    body = {"model": "m", "usage": {"prompt_tokens": 1}}
    named = derive(capture({"model": "q"}, body, provider="openai"))
    other = derive(capture({"model": "q"}, body, provider="some-server"))
    silent = derive(capture({"model": "q"}, {"model": "m"}, provider="openai"))
    assert named is not None
    assert other is not None
    assert silent is not None
    assert (named.usage_source, other.usage_source, silent.usage_source) == ("openai", "shape:openai", None)
    assert (named.model, named.response_model) == ("q", "m")
