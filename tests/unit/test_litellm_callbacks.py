"""This module is where it is held what is read out of LiteLLM's callbacks; LiteLLM itself need not be installed."""

from __future__ import annotations

from typing import Any

import pytest

from aicore_obs.derivation import told_by
from aicore_obs.sdks import litellm

MESSAGES = [{"role": "user", "content": "What colour is the sky?"}]


def details(**changes: Any) -> dict[str, Any]:
    """What LiteLLM hands to its callbacks, shortened."""
    return {
        "litellm_call_id": "call-1",
        "call_type": "acompletion",
        "custom_llm_provider": "anthropic",
        "model": "claude-sonnet-5",
        "messages": MESSAGES,
        "optional_params": {"max_tokens": 9, "aws_secret_access_key": "secret", "extra_headers": {"x": "y"}},
        "litellm_params": {"api_base": "https://api.anthropic.com/v1/messages?key=secret", "metadata": {}},
        **changes,
    }


def test_a_call_is_read() -> None:
    """Kind, model, parameters and place; nothing that says as whom to call."""
    asked = litellm.asked(details(stream=True))
    assert asked is not None
    assert (asked.api, asked.operation_type, asked.provider) == ("litellm.completion", "completion", "anthropic")
    assert asked.base_url == "https://api.anthropic.com/v1/messages"
    assert asked.request == {"model": "claude-sonnet-5", "max_tokens": 9, "stream": True, "messages": MESSAGES}


@pytest.mark.parametrize(
    "changes",
    [{"call_type": "acreate_file"}, {"api_key": "mock-key"}, {"litellm_params": {"no-log": True}}],
    ids=["no model", "mocked", "no log"],
)
def test_what_is_no_call_of_a_model_is_passed_over(changes: dict[str, Any]) -> None:
    """Other functions of LiteLLM, answers that were given to it, and what shall not be logged."""
    assert litellm.asked(details(**changes)) is None


def test_content_can_be_left_out() -> None:
    """Where LiteLLM is told to log no messages."""
    asked = litellm.asked(details(), with_content=False)
    assert asked is not None
    assert asked.request == {"model": "claude-sonnet-5", "max_tokens": 9}


def test_the_users_metadata_is_told_from_litellms_own() -> None:
    """What a proxy writes beside it, keys above all, stays away."""
    metadata = {
        "tags": ["a", 1],
        "ticket": 7,
        "user_api_key": "hash",
        "hidden_params": {"a": object()},
        "odd": object(),
    }
    found = litellm.said(details(user="u-1", litellm_params={"metadata": metadata}))
    assert (found["user_id"], found["tags"]) == ("u-1", ["a"])
    assert found["extras"]["litellm"]["metadata"] == {"ticket": 7}


def test_an_answer_says_who_answered() -> None:
    """And whether it came out of the cache."""
    body = {"id": "c-1", "usage": {"prompt_tokens": 1}}
    assert litellm.answer(details(), body)["_hidden_params"] == {"custom_llm_provider": "anthropic"}
    assert litellm.answer(details(cache_hit=True), body)["_hidden_params"]["cache_hit"] is True


def test_usage_with_details_was_reported() -> None:
    """LiteLLM's own count has none that only a provider knows."""
    usage = {"prompt_tokens": 13, "completion_tokens": 2}
    choices = [{"message": {"content": "Blue."}}]
    assert litellm.bare_usage({"usage": usage, "choices": choices}) == litellm.BareUsage(13, 2, "Blue.")
    assert litellm.bare_usage({"usage": {**usage, "cache_read_input_tokens": 0}, "choices": choices}) is None


def test_what_litellm_tells_is_in_its_own_words() -> None:
    """The api says whose description reads an answer."""
    found = told_by("litellm.completion")
    assert found is not None
    assert found.name == "litellm"
    assert told_by("chat.completions.create") is None
