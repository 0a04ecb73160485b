"""This module is where the record of the benchmarks is made: one chat completion of 2.8 KB.

It is there as plain dicts, and as an object such as the SDKs of providers return. Nothing heavy is imported here, since
the peers' programs use it too.
"""

from __future__ import annotations

import re
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
# How a record's number is written into it, so that it can be found again in whatever a library makes of it.
_NUMBER = re.compile(rb"bench-(\d{9})-")
# The same in a provider's answer.
_ANSWER = re.compile(rb"said-(\d{9})-")


def numbered(number: int) -> dict[str, Any]:
    """Return the arguments of one of many records; each has a number of its own."""
    return {**ARGUMENTS, "user": f"bench-{number:09d}-"}


def numbers_in(data: bytes) -> set[int]:
    """Return the numbers of the records that are in ``data``, in whatever form."""
    return set(map(int, _NUMBER.findall(data)))


def asked(number: int) -> dict[str, Any]:
    """Return the arguments of one of many calls; its number is in what the user says, which every watcher keeps."""
    system, user = ARGUMENTS["messages"]
    return {**ARGUMENTS, "messages": [system, {**user, "content": f"bench-{number:09d}- {user['content']}"}]}


def answered(number: int) -> str:
    """Return what the model says to the call of this number."""
    return f"said-{number:09d}- {RESPONSE['choices'][0]['message']['content']}"


def answers_in(data: bytes) -> set[int]:
    """Return the numbers of the answers that are in ``data``, in whatever form."""
    return set(map(int, _ANSWER.findall(data)))
