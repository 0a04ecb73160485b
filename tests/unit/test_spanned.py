"""This module is where the attributes of spans are read as what was asked, of whom, and when the first token came."""

from __future__ import annotations

from typing import Any

import pytest

from aicore_obs.importing import spanned
from aicore_obs.shapes.spans import response_id


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"gen_ai.input.messages": '[{"role": "user"}]'}, {"messages": [{"role": "user"}]}),
        ({"input.value": '{"model": "m", "input": "Hi"}', "llm.model_name": "m-1"}, {"model": "m", "input": "Hi"}),
        (
            {"gen_ai.prompt.10.role": "user", "gen_ai.prompt.2.role": "system", "gen_ai.prompt.2.content": "Be."},
            {"messages": [{"role": "system", "content": "Be."}, {"role": "user"}]},
        ),
        ({"llm.input_messages.0.message.role": "user"}, {"messages": [{"role": "user"}]}),
        ({"server.address": "api.groq.com", "server.port": 443}, {"base_url": "api.groq.com:443"}),
        ({"gen_ai.openai.api_base": "http://h/v1", "server.port": 8}, {"base_url": "http://h/v1"}),
        ({}, {}),
    ],
)
def test_what_was_asked(given: dict[str, Any], asked: dict[str, Any]) -> None:
    """Messages are found in each convention, and nothing is said that the span does not say."""
    assert spanned.request_of(given) == asked


@pytest.mark.parametrize(
    ("given", "events", "first_ms"),
    [
        ({"gen_ai.response.time_to_first_chunk": 0.25}, [], 250.0),
        ({"gen_ai.client.operation.time_to_first_chunk": 0.5}, [("First Token Stream Event", 9)], 500.0),
        ({}, [("other", 1), ("gen_ai.content.completion.chunk", 3_000_000), ("llm.content.completion.chunk", 5)], 2.0),
        ({}, [("First Token Stream Event", 10)], None),  # before the call began
        ({"gen_ai.response.time_to_first_chunk": "soon"}, [], None),
    ],
)
def test_the_first_token(given: dict[str, Any], events: list[tuple[str, int]], first_ms: float | None) -> None:
    """An attribute goes before an event; a time that cannot be is unknown."""
    assert spanned.first_token_ms(given, 1_000_000, events) == first_ms


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"gen_ai.response.id": "r-1", "output.value": '{"id": "other"}'}, "r-1"),
        ({"output.value": '{"id": "r-2", "choices": []}'}, "r-2"),
        ({"output.value": "just text"}, None),
        ({"output.value": '{"id": 5}'}, None),
        ({"output.value": '{"id": "torn'}, None),
        ({}, None),
    ],
)
def test_the_id_of_the_answer(given: dict[str, Any], found: str | None) -> None:
    """Where no attribute has it, the body that OpenInference keeps does."""
    assert response_id(given) == found
