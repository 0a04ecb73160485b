"""This module is where a stream and a whole answer are held to say the same, in every shape that has both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aicore_obs.derivation import derive, read_text
from aicore_obs.model.operation import Derived
from tests.captures import capture, response_of

COUNTS = st.integers(0, 10_000)
Numbers = dict[str, int]
Body = dict[str, Any]


def openai(n: Numbers, text: str) -> tuple[Body, list[Body]]:
    usage = {
        "prompt_tokens": n["fresh"] + n["read"],
        "completion_tokens": n["said"] + n["thought"],
        "total_tokens": n["fresh"] + n["read"] + n["said"] + n["thought"],
        "prompt_tokens_details": {"cached_tokens": n["read"]},
        "completion_tokens_details": {"reasoning_tokens": n["thought"]},
    }
    head = {"id": "c", "model": "m"}
    whole = {**head, "choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}], "usage": usage}
    chunks = [{**head, "choices": [{"index": 0, "delta": {"content": piece}}], "usage": None} for piece in text]
    chunks += [{**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
    return whole, [*chunks, {**head, "choices": [], "usage": usage}]


def responses(n: Numbers, text: str) -> tuple[Body, list[Body]]:
    whole = {
        "id": "r", "object": "response", "model": "m", "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}],
        "usage": {
            "input_tokens": n["fresh"] + n["read"], "input_tokens_details": {"cached_tokens": n["read"]},
            "output_tokens": n["said"] + n["thought"], "output_tokens_details": {"reasoning_tokens": n["thought"]},
        },
    }  # fmt: skip
    begun = {"id": "r", "object": "response", "model": "m", "status": "in_progress", "output": [], "usage": None}
    deltas = [{"type": "response.output_text.delta", "delta": piece} for piece in text]
    return whole, [
        {"type": "response.created", "response": begun},
        *deltas,
        {"type": "response.completed", "response": whole},
    ]


def anthropic(n: Numbers, text: str) -> tuple[Body, list[Body]]:
    first = {"input_tokens": n["fresh"], "cache_read_input_tokens": n["read"], "cache_creation_input_tokens": 0}
    last = {"output_tokens": n["said"] + n["thought"], "output_tokens_details": {"thinking_tokens": n["thought"]}}
    head = {"id": "m", "type": "message", "model": "c"}
    content = [{"type": "text", "text": text}]
    whole = {**head, "content": content, "stop_reason": "end_turn", "usage": {**first, **last}}
    deltas = [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": piece}} for piece in text]
    return whole, [
        {"type": "message_start", "message": {**head, "content": [], "usage": {**first, "output_tokens": 1}}},
        *deltas,
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last},
        {"type": "message_stop"},
    ]


def google(n: Numbers, text: str) -> tuple[Body, list[Body]]:
    usage = {
        "promptTokenCount": n["fresh"] + n["read"], "cachedContentTokenCount": n["read"],
        "candidatesTokenCount": n["said"], "thoughtsTokenCount": n["thought"],
    }  # fmt: skip
    head = {"modelVersion": "g", "responseId": "r"}

    def said(piece: str, **more: Any) -> Body:
        return {**head, "candidates": [{"content": {"parts": [{"text": piece}]}, **more}]}

    whole = {**said(text, finishReason="STOP"), "usageMetadata": usage}
    chunks = [{**said(piece), "usageMetadata": {"promptTokenCount": 1, "trafficType": "ON_DEMAND"}} for piece in text]
    return whole, [*chunks, {**said("", finishReason="STOP"), "usageMetadata": usage}]


def bedrock(n: Numbers, text: str) -> tuple[Body, list[Body]]:
    usage = {
        "inputTokens": n["fresh"], "cacheReadInputTokens": n["read"], "outputTokens": n["said"] + n["thought"],
    }  # fmt: skip
    whole = {"output": {"message": {"content": [{"text": text}]}}, "stopReason": "end_turn", "usage": usage}
    deltas = [{"contentBlockDelta": {"delta": {"text": piece}}} for piece in text]
    return whole, [*deltas, {"messageStop": {"stopReason": "end_turn"}}, {"metadata": {"usage": usage}}]


def cohere(n: Numbers, text: str) -> tuple[Body, list[Body]]:
    usage = {"billed_units": {"input_tokens": n["fresh"], "output_tokens": n["said"]}}
    whole = {
        "id": "x", "message": {"content": [{"type": "text", "text": text}]}, "finish_reason": "COMPLETE",
        "usage": usage,
    }  # fmt: skip
    deltas = [{"type": "content-delta", "delta": {"message": {"content": {"text": piece}}}} for piece in text]
    return whole, [
        {"type": "message-start", "id": "x"},
        *deltas,
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}},
    ]


def ollama(n: Numbers, text: str) -> tuple[Body, list[Body]]:
    end = {"done": True, "done_reason": "stop", "prompt_eval_count": n["fresh"], "eval_count": n["said"]}
    whole = {"model": "l", "message": {"content": text}, **end}
    return whole, [
        *({"model": "l", "message": {"content": piece}, "done": False} for piece in text),
        {"model": "l", "message": {"content": ""}, **end},
    ]


BOTH: dict[str, tuple[str, Callable[[Numbers, str], tuple[Body, list[Body]]]]] = {
    "chat": ("openai", openai), "responses": ("openai", responses), "anthropic": ("anthropic", anthropic),
    "google": ("google", google), "bedrock": ("bedrock", bedrock), "cohere": ("cohere", cohere),
    "ollama": ("ollama", ollama),
}  # fmt: skip
NUMBERS = st.fixed_dictionaries({"fresh": COUNTS, "read": COUNTS, "said": COUNTS, "thought": COUNTS})


@given(NUMBERS, st.text("ab é\n", min_size=1, max_size=5), st.sampled_from(sorted(BOTH)), st.booleans())
def test_a_stream_says_what_a_whole_answer_says(numbers: Numbers, text: str, kind: str, is_named: bool) -> None:
    """The same numbers, model, identity, end and text, whether the provider is known or only the shape."""
    provider, make = BOTH[kind]
    whole, stream = make(numbers, text)
    name = provider if is_named else "acme"
    one, many = capture({}, whole, provider=name), capture({}, stream, provider=name)
    of_one, of_many = derive(one) or Derived(), derive(many) or Derived()
    assert of_one.usage == of_many.usage
    assert of_one.usage_source == of_many.usage_source
    for field in ("response_model", "response_id", "finish_reason"):
        assert getattr(of_one, field) == getattr(of_many, field)
    assert of_one.usage.input_tokens is not None
    assert [read_text(name, bytes(each.response)) for each in (one, many)] == [text, text]  # type: ignore[arg-type]
    assert response_of(many) == stream
