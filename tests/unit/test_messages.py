"""This module is where requests and answers of many shapes are read as messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore_obs.derivation import read_text
from aicore_obs.shapes.answers import read_answer
from aicore_obs.shapes.messages import Message, Request, Tool, read_messages
from aicore_obs.shapes.parts import Data, Media, Text, Thinking, ToolCall, ToolResult

CALL = ToolCall(name="weather", arguments={"city": "Oslo"}, id="c-1")
ASKED = (
    Message("system", (Text("Be brief."),)),
    Message("user", (Text("Weather in Oslo?"), Media("image/png", size_bytes=3))),
    Message("assistant", (CALL,)),
    Message("tool", (ToolResult(parts=(Text("rain"),), name="weather", id="c-1"),)),
)
PNG = "data:image/png;base64,AAAA"
REQUESTS: dict[str, dict[str, Any]] = {
    "openai": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Weather in Oslo?"},
                    {"type": "image_url", "image_url": {"url": PNG}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c-1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c-1", "content": "rain"},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "description": "Look outside."}}],
    },
    "responses": {
        "instructions": "Be brief.",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Weather in Oslo?"},
                    {"type": "input_image", "image_url": PNG},
                ],
            },
            {"type": "function_call", "call_id": "c-1", "id": "fc", "name": "weather", "arguments": '{"city":"Oslo"}'},
            {"type": "function_call_output", "call_id": "c-1", "output": "rain"},
        ],
        "tools": [{"type": "function", "name": "weather", "description": "Look outside."}],
    },
    "anthropic": {
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Weather in Oslo?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                ],
            },
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "c-1", "name": "weather", "input": {"city": "Oslo"}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c-1", "content": "rain"}]},
        ],
        "tools": [{"name": "weather", "description": "Look outside.", "input_schema": {}}],
    },
    "google": {
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "Weather in Oslo?"},
                    {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                ],
            },
            {
                "role": "model",
                "parts": [{"functionCall": {"id": "c-1", "name": "weather", "args": {"city": "Oslo"}}}],
            },
            {"role": "user", "parts": [{"functionResponse": {"id": "c-1", "response": "rain"}}]},
        ],
        "config": {
            "system_instruction": "Be brief.",
            "tools": [{"function_declarations": [{"name": "weather", "description": "Look outside."}]}],
        },
    },
    "bedrock": {
        "modelId": "m",
        "system": [{"text": "Be brief."}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"text": "Weather in Oslo?"},
                    {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
                ],
            },
            {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": "c-1", "name": "weather", "input": {"city": "Oslo"}}}],
            },
            {"role": "user", "content": [{"toolResult": {"toolUseId": "c-1", "content": [{"text": "rain"}]}}]},
        ],
        "toolConfig": {"tools": [{"toolSpec": {"name": "weather", "description": "Look outside."}}]},
    },
}


@pytest.mark.parametrize("shape", REQUESTS)
def test_a_talk_with_a_tool_is_the_same_in_every_shape(shape: str) -> None:
    """System, user with an image, a call and its result, and the tools that were offered."""
    found = read_messages({**REQUESTS[shape], "temperature": 0.5, "model": "m"})
    assert found == Request(messages=ASKED, tools=(Tool("weather", "Look outside."),), parameters={"temperature": 0.5})


@pytest.mark.parametrize(
    ("request_", "messages"),
    [
        ({"prompt": "Hi", "images": ["AAAA"]}, [("user", [Text("Hi"), Media("image", size_bytes=3)])]),
        ({"input": "Hi", "instructions": "Be brief."}, [("system", [Text("Be brief.")]), ("user", [Text("Hi")])]),
        ({"contents": ["Hi", {"text": "there"}]}, [("user", [Text("Hi"), Text("there")])]),
        (
            {"message": "Hi", "chat_history": [{"role": "CHATBOT", "message": "Yes?"}], "preamble": "Be brief."},
            [("system", [Text("Be brief.")]), ("assistant", [Text("Yes?")]), ("user", [Text("Hi")])],
        ),
        ({"modelId": "m", "body": '{"messages": [{"role": "user", "content": "Hi"}]}'}, [("user", [Text("Hi")])]),
        ({"messages": [{"type": "human", "content": "Hi"}]}, [("user", [Text("Hi")])]),
        ({"question": "Hi", "temperature": 1}, [("user", [Text("Hi")])]),
        ({"city": "Oslo", "day": 1}, [("user", [Data({"city": "Oslo", "day": 1})])]),
        ({"messages": [{"role": "user", "content": ""}]}, [("user", [])]),
        ({}, []),
        (
            {"messages": [{"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "Hi"}]}]},
            [("user", [Text("Hi")])],
        ),
    ],
)
def test_other_requests(request_: dict[str, Any], messages: list[tuple[str, list[Any]]]) -> None:
    """Plain prompts, older interfaces, frameworks, and programs that call things as they like."""
    assert read_messages(request_).messages == tuple(Message(role, tuple(parts)) for role, parts in messages)


CALLED = (Message("assistant", (Text("Well."), CALL)),)
_BLOCKS = [
    {"type": "text", "text": "Well."},
    {"type": "tool_use", "id": "c-1", "name": "weather", "input": {"city": "Oslo"}},
]
_HALVES = ('{"city": ', '"Oslo"}')
ANSWERS: dict[str, Any] = {
    "openai": {"choices": [{"message": {**REQUESTS["openai"]["messages"][2], "content": "Well."}}]},
    "openai-stream": [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "We"}}]},
        {"choices": [{"index": 0, "delta": {"content": "ll."}}]},
        {
            "choices": [
                {"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "c-1", "function": {"name": "weather"}}]}}
            ]
        },
        *(
            {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": half}}]}}]}
            for half in _HALVES
        ),
        {"choices": [], "usage": {}},
    ],
    "responses": {
        "output": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Well."}]},
            {"type": "function_call", "call_id": "c-1", "name": "weather", "arguments": '{"city": "Oslo"}'},
        ]
    },
    "responses-stream": [
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Well."},
        {
            "type": "response.output_item.added",
            "output_index": 1,
            "item": {"type": "function_call", "call_id": "c-1", "name": "weather"},
        },
        *({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": half} for half in _HALVES),
    ],
    "anthropic": {"type": "message", "role": "assistant", "content": _BLOCKS},
    "anthropic-stream": [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Well."}},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "tool_use", "id": "c-1", "name": "weather", "input": {}},
        },
        *(
            {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": half}}
            for half in _HALVES
        ),
    ],
    "google": {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "Well."},
                        {"function_call": {"id": "c-1", "name": "weather", "args": {"city": "Oslo"}}},
                    ]
                }
            }
        ]
    },
    "google-stream": [
        {"candidates": [{"content": {"parts": [{"text": "We"}]}}]},
        {"candidates": [{"content": {"parts": [{"text": "ll."}]}}]},
        {
            "candidates": [
                {"content": {"parts": [{"functionCall": {"id": "c-1", "name": "weather", "args": {"city": "Oslo"}}}]}}
            ]
        },
    ],
    "bedrock": {
        "output": {
            "message": {
                "role": "assistant",
                "content": [{"text": "Well."}, *REQUESTS["bedrock"]["messages"][1]["content"]],
            }
        }
    },
    "bedrock-stream": [
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Well."}}},
        {
            "contentBlockStart": {
                "contentBlockIndex": 1,
                "start": {"toolUse": {"toolUseId": "c-1", "name": "weather"}},
            }
        },
        *({"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": half}}}} for half in _HALVES),
    ],
    "ollama": {
        "message": {
            "role": "assistant",
            "content": "Well.",
            "tool_calls": [{"id": "c-1", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}],
        }
    },
    "cohere-stream": [
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Well."}}}},
        {
            "type": "tool-call-start",
            "index": 0,
            "delta": {"message": {"tool_calls": {"id": "c-1", "function": {"name": "weather", "arguments": ""}}}},
        },
        *(
            {
                "type": "tool-call-delta",
                "index": 0,
                "delta": {"message": {"tool_calls": {"function": {"arguments": h}}}},
            }
            for h in _HALVES
        ),
    ],
    "langchain-stream": [
        {"type": "AIMessageChunk", "content": "Well."},
        *(
            {
                "type": "AIMessageChunk",
                "content": "",
                "tool_call_chunks": [{"index": 0, "id": "c-1", "name": name, "args": half}],
            }
            for name, half in zip(("weather", None), _HALVES, strict=True)
        ),
    ],
    "events-as-text": 'data: {"choices": [{"delta": {"content": "Well."}}]}\n\ndata: {"choices": [{"delta": '
    '{"tool_calls": [{"id": "c-1", "function": {"name": "weather", "arguments": "{\\"city\\":\\"Oslo\\"}"}}]}}]}\n\n'
    "data: [DONE]\n\n",
}


@pytest.mark.parametrize("shape", ANSWERS)
def test_an_answer_with_a_call_is_the_same_in_every_shape(shape: str) -> None:
    """A text and a call, whole or in pieces."""
    assert read_answer(ANSWERS[shape], None) == CALLED


def test_thinking_is_kept_apart() -> None:
    """What a model thought is no part of what it said."""
    thought = (Message("assistant", (Thinking("hm"), Text("Hi"))),)
    assert read_answer({"choices": [{"message": {"reasoning_content": "hm", "content": "Hi"}}]}, None) == thought
    assert read_answer({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}]}, None) == (
        thought
    )
    deltas = [{"type": "thinking_delta", "thinking": "hm"}, {"type": "text_delta", "text": "Hi"}]
    stream = [{"type": "content_block_delta", "index": n, "delta": delta} for n, delta in enumerate(deltas)]
    assert read_answer(stream, None) == thought


def test_several_answers_stay_several() -> None:
    """Of several choices each is an answer."""
    choices = [{"message": {"role": "assistant", "content": text}} for text in ("yes", "no")]
    assert [one.parts for one in read_answer({"choices": choices}, None)] == [(Text("yes"),), (Text("no"),)]


def test_answers_that_are_no_text() -> None:
    """Images by type and size; of vectors how many and how long they are."""
    assert read_answer({"data": [{"b64_json": "QQ=="}]}, None) == (Message("assistant", (Media("image", 1),)),)
    vectors = {"data": [{"embedding": [0.25, 0.5]}, {"embedding": [0.25, 0.5]}]}
    assert read_answer(vectors, None)[0].parts == (Data({"vectors": 2, "dimensions": 2}),)
    assert read_answer({"anything": 1}, None)[0].parts == (Data({"anything": 1}),)
    assert read_answer(None, None) == ()


CASES = [
    json.loads(line)
    for path in sorted((Path(__file__).parents[1] / "fixtures/providers").glob("*/shapes.jsonl"))
    for line in path.read_text("utf-8").splitlines()
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['provider']}-{case['id']}")
def test_every_answer_shows_its_text(case: dict[str, Any]) -> None:
    """Whatever text a description reads is among what is shown, once."""
    text = read_text(case["provider"], json.dumps(case["response"]).encode())
    shown = [
        part.text for one in read_answer(case["response"], text)[:1] for part in one.parts if isinstance(part, Text)
    ]
    if text:
        assert "".join(shown) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["role", "content", "parts", "type", "text", "tool_calls", "function", "messages", "input", "choices",
             "delta", "message", "output", "candidates", "response", "data", "image", "source", "tools", "arguments",
             "toolUse", "functionCall", "index", "generations", "kwargs", "contentBlockDelta", "tool_result", "config"]
        )
        | st.sampled_from(["text", "function_call", "tool_use", "image_url"]),
        inner | st.sampled_from(["user", "function_call", "tool_result", "content_block_delta", "image", "thinking"]),
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_any_json_is_read(value: Any) -> None:
    """Nothing is raised whatever was recorded, and what comes out is JSON."""
    for found in (read_messages(value), read_answer(value, None), read_answer([value], "text")):
        msgspec.json.encode(found)
