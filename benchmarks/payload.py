"""This module is where the record of the benchmarks is made: one chat completion of 2.8 KB, as plain dicts."""

from __future__ import annotations

from typing import Any

ARGUMENTS: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant." * 10},
        {"role": "user", "content": "What is the weather in Paris today? " * 30},
    ],
    "temperature": 0.7,
    "max_tokens": 100,
}
RESPONSE: dict[str, Any] = {
    "id": "chatcmpl-abc",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "It is sunny. " * 80, "refusal": None},
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 0},
    },
}
