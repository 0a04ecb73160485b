"""This module is where tokens are estimated that a provider did not count: those of a stream, by its texts.

Providers that send the usage of a stream only when asked (OpenAI's chat completions) leave it unknown. With a tokenizer
at hand (:mod:`aicore_obs.tokenizers`) the texts of request and answer are counted on the road, never on the caller's
thread. An estimate says so: in ``usage_source`` (``estimate:o200k_base``) and beside its cost. It knows nothing of what
is not in the texts: reasoning, pictures, the state of a conversation that the server keeps. A side that has something
of that is unknown; without a tokenizer both are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, cast

import msgspec

from aicore_obs import plugins
from aicore_obs.derivation import read_text
from aicore_obs.guard import attempt, log_window
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.usage import ESTIMATE, NO_USAGE, Usage, settled
from aicore_obs.settings import from_environment

Count = Callable[[str, str], int]
# In the order of preference: what needs no cache first.
_TOKENIZERS = ("aicore_obs.tokenizers.shipped", "aicore_obs.tokenizers.cached")
NEWER, OLDER = "o200k_base", "cl100k_base"
# https://github.com/openai/tiktoken/blob/main/tiktoken/model.py, read 2026-11-28. All other models: as the newer ones.
_OLDER_MODELS = re.compile(r"gpt-4(?:$|-\d|-turbo|-vision|-32k)|gpt-3\.5|gpt-35")
# Longer texts would hold up the road: this many characters take 20 ms.
MAX_CHARS = 500_000
# Around each message of a chat, and before the answer.
# https://github.com/openai/openai-cookbook, "How to count tokens with tiktoken", read 2026-11-28.
_PER_MESSAGE, _PER_CHAT = 3, 3
# Where what is asked stands in a request: one of these is enough.
_ASKED = ("messages", "input", "contents", "prompt")
_BESIDE = ("system", "instructions", "system_instruction", "tools", "functions")
# The server adds what the request does not show.
_ON_THE_SERVER = ("previous_response_id", "conversation", "cached_content")
_TEXT_PARTS = frozenset({None, "text", "input_text", "output_text", "message"})


class UnknownPartsError(ValueError):
    """The request has parts whose tokens no text tells."""


def estimated(operation: Operation, derived: Derived) -> Derived:
    """Return what was read of an operation, with an estimate where a stream came without usage and it can be made."""
    if operation.stream_state is None or derived.usage != NO_USAGE or operation.response is msgspec.UNSET:
        return derived
    answer = read_text(operation.provider, bytes(operation.response))
    count = tokenizer() if answer else None
    if count is None or answer is None or len(answer) > MAX_CHARS:
        return derived
    model = derived.response_model or derived.model or ""
    vocabulary = OLDER if _OLDER_MODELS.match(model.rpartition("/")[2]) else NEWER
    made = attempt(count, answer, vocabulary)
    if made.value is None:
        log_window.warn("estimate", f"tokens are not estimated: {made.error}")
        return derived
    read = None
    if operation.completion_args is not msgspec.UNSET:
        read = attempt(_read, bytes(operation.completion_args), lambda text: count(text, vocabulary)).value
    usage = settled(Usage(input_tokens=read, output_tokens=made.value))
    return msgspec.structs.replace(derived, usage=usage, usage_source=f"{ESTIMATE}{vocabulary}")


def tokenizer() -> Count | None:
    """Return what counts tokens here, None where nothing is installed that can, or ``AICORE_OBS_ESTIMATE_TOKENS=0``."""
    return _installed() if from_environment().estimate_tokens else None


@cache
def _installed() -> Count | None:
    for name in _TOKENIZERS:
        count = cast("Count | None", attempt(plugins.load, f"{name}:count").value)
        if count is not None and attempt(count, "a", NEWER).value is not None:
            return count
    return None


def _read(raw: bytes, count: Callable[[str], int]) -> int:
    """Return how many tokens the request has.

    Raises:
        ValueError: it has parts that are no text, or none that is known.
    """
    request = msgspec.json.decode(raw)
    asked = next((request[name] for name in _ASKED if request.get(name)), None)
    if asked is None or any(request.get(name) for name in _ON_THE_SERVER):
        raise UnknownPartsError("nothing that is known was asked for")
    messages = asked if isinstance(asked, list) else [asked]
    texts = [text for one in messages for text in _texts(one)]
    texts += [text for name in _BESIDE if request.get(name) for text in _beside(request[name])]
    if sum(map(len, texts)) > MAX_CHARS:
        raise UnknownPartsError("the request is too long")
    around = _PER_CHAT + _PER_MESSAGE * sum(isinstance(one, dict) for one in messages)
    return around + sum(map(count, texts))


def _texts(message: Any) -> Iterator[str]:
    """Yield the texts of a message: its role, what it says, and calls of tools as they are written."""
    if isinstance(message, str):
        yield message
        return
    if not isinstance(message, dict) or message.get("type") not in _TEXT_PARTS:
        raise UnknownPartsError("a part that is no text")
    for name, value in message.items():
        if value is not None and name not in _NO_TEXT:
            yield from _member(name, value)


def _member(name: str, value: Any) -> Iterator[str]:
    if name in ("content", "parts"):
        for part in value if isinstance(value, list) else [value]:
            yield from _texts(part)
    elif name == "tool_calls":
        yield _written(value)
    elif isinstance(value, str) and name in ("role", "text", "name", "reasoning_content"):
        yield value
    else:
        raise UnknownPartsError(f"a part that is no text: {name}")


_NO_TEXT = frozenset({"type", "id", "tool_call_id", "cache_control", "refusal", "annotations", "status"})


def _beside(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and all(isinstance(one, dict) and one.get("type") == "text" for one in value):
        for one in value:
            yield from _texts(one)
    else:
        yield _written(value)


def _written(value: Any) -> str:
    return msgspec.json.encode(value).decode()
