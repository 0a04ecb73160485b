"""This module is where the one-pass reading of plain chat completions is held to the reading of every member."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from aicore_obs.shapes import openai
from aicore_obs.shapes.openai_chat import read_plain
from aicore_obs.shapes.request import NOTHING_ASKED

COUNTS = st.integers(0, 40)
ODD = st.none() | st.just(2**62) | st.just(-1) | st.just(7.0) | st.just(7.5) | st.booleans() | st.text(max_size=2)
WORDS = st.sampled_from(["stop", "", "gpt-4o-2024-08-06", "Flex", "default", "images", "chat.completion", "list"])


def members(names: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of these members, in any order, and now and then a stranger."""
    return st.dictionaries(st.sampled_from([*names, "cost", "service_tier", "stranger"]), values, max_size=6)


DETAILS = st.none() | members(
    ["cached_tokens", "audio_tokens", "reasoning_tokens", "image_tokens", "rejected_prediction_tokens"], COUNTS | ODD
)
USAGE = st.builds(
    lambda plain, odd, total, details: {**plain, **odd, **total, **details},
    st.fixed_dictionaries({"prompt_tokens": COUNTS, "completion_tokens": COUNTS}),
    st.just({}) | members(["prompt_tokens", "completion_tokens", "input_tokens"], COUNTS | ODD),
    st.just({}) | st.fixed_dictionaries({"total_tokens": COUNTS | ODD}),
    st.dictionaries(st.sampled_from(["prompt_tokens_details", "completion_tokens_details"]), DETAILS),
)
CHOICES = st.lists(st.fixed_dictionaries({}, optional={"finish_reason": WORDS | ODD, "index": COUNTS}), max_size=3)
BODIES = st.fixed_dictionaries(
    {"object": st.just("chat.completion") | WORDS, "usage": USAGE | ODD},
    optional={
        "id": WORDS | ODD,
        "model": WORDS | ODD,
        "choices": CHOICES | ODD,
        "service_tier": WORDS | ODD,
        "created": ODD,
        "type": WORDS | ODD,
        "prompt_filter_results": ODD,
    },
)


NAMES = {
    "prompt_tokens_details": ["cached_tokens", "audio_tokens"],
    "completion_tokens_details": ["reasoning_tokens", "audio_tokens", "rejected_prediction_tokens"],
}
# What is not odd, and yet says anything that a plain answer may say.
PLAIN = st.fixed_dictionaries(
    {
        "object": st.just("chat.completion"),
        "usage": st.fixed_dictionaries(
            {"prompt_tokens": COUNTS, "completion_tokens": COUNTS},
            optional={
                "total_tokens": COUNTS | st.none(),
                **{
                    name: st.none() | st.dictionaries(st.sampled_from(inner), COUNTS | st.none())
                    for name, inner in NAMES.items()
                },
            },
        ),
    },
    optional={"id": WORDS, "model": WORDS | st.none(), "choices": CHOICES, "service_tier": WORDS | st.none()},
)


@settings(max_examples=500)
@given(PLAIN | BODIES)
def test_one_pass_reads_what_every_member_says(body: dict[str, Any]) -> None:
    """A body that is read in one pass is read the same by looking into each member."""
    raw = msgspec.json.encode(body)
    plain = read_plain(raw)
    assert plain is None or plain == openai.SHAPE.read_all(raw, NOTHING_ASKED)


@given(COUNTS, COUNTS, COUNTS)
def test_what_openai_answers_is_plain(read: int, fresh: int, made: int) -> None:
    """An ordinary answer of the API takes the one pass: nobody pays for members that are not there."""
    usage = {
        "prompt_tokens": read + fresh,
        "completion_tokens": made,
        "total_tokens": read + fresh + made,
        "prompt_tokens_details": {"cached_tokens": read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "Blue."},
        "logprobs": None,
        "finish_reason": "stop",
    }
    body = {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", "choices": [choice],
        "usage": usage, "service_tier": "default", "system_fingerprint": None,
    }  # fmt: skip
    facts = read_plain(msgspec.json.encode(body))
    assert facts is not None
    assert (facts.usage.input_tokens, facts.usage.cache_read_tokens) == (read + fresh, read)
