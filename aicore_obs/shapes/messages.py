"""This module is where a request and an answer are read as messages: who said what, in whoever's words.

It is for showing, and works on decoded JSON. Answers are in :mod:`aicore_obs.shapes.answers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import msgspec

from aicore_obs.shapes.parts import (
    Data,
    Json,
    Media,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    arguments_of,
    call_of,
    inside,
    media_of,
    part_of,
    parts_of,
    word,
)

# Of a request, what says how to answer and not what to answer to.
SETTINGS = frozenset(
    {
        *("temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "max_output_tokens", "stop", "seed"),
        *("stream", "stream_options", "frequency_penalty", "presence_penalty", "response_format", "user", "metadata"),
        *("tools", "tool_choice", "parallel_tool_calls", "n", "system", "instructions", "base_url", "service_tier"),
    }
)
_SYSTEMS = ("system", "instructions", "systemInstruction", "system_instruction", "preamble")
_TALKS = ("messages", "contents", "input", "message", "prompt", "inputs", "query")
_CONFIGS = ("config", "generationConfig", "generation_config", "inferenceConfig")
_TOOLS = ("tools", "functions", "toolConfig")
_ROLES = {"model": "assistant", "ai": "assistant", "AIMessageChunk": "assistant", "CHATBOT": "assistant",
          "human": "user", "USER": "user", "SYSTEM": "system", "TOOL": "tool", "function": "tool",
          "system-prompt": "system", "user-prompt": "user", "tool-return": "tool", "retry-prompt": "tool"}  # fmt: skip
_PLAIN = ("user", "assistant", "system")
_SPEAKERS = frozenset({"system", "developer", "user", "assistant", "tool", *_ROLES})


class Message(msgspec.Struct, frozen=True):
    """What one side said: ``role`` is system, developer, user, assistant or tool, or a word of the provider's own."""

    role: str
    parts: tuple[Part, ...]
    name: str | None = None


class Tool(msgspec.Struct, frozen=True):
    """A tool that a model was offered."""

    name: str
    description: str | None = None


class Request(msgspec.Struct, frozen=True):
    """What was asked: the messages, the tools, and everything else but the model as ``parameters``."""

    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    parameters: dict[str, Any] = {}


def read_messages(request: Any) -> Request:
    """Return what a request asks; of what is no object, one message."""
    if not isinstance(request, dict):
        return Request() if request is None else Request(messages=(Message("user", parts_of(request)),))
    given = _unpacked(request)
    talk = [name for name in _TALKS if given.get(name) not in (None, "", [])][:1]
    if not talk:
        return _unnamed(given)
    history = _several(given.get("chat_history")) if talk == ["message"] else []
    found = [*_system(given), *history, *_several(given[talk[0]])]
    images = [media_of(one) for one in _list(given.get("images"))] if talk == ["prompt"] else []
    if images and found:
        found[-1] = Message(found[-1].role, (*found[-1].parts, *images), found[-1].name)
    left_out = {*talk, *_SYSTEMS, *_TOOLS, "model", "modelId", "chat_history", *(("images",) if images else ())}
    parameters = {name: value for name, value in given.items() if name not in left_out}
    return Request(messages=_named(together(found)), tools=_tools(given), parameters=parameters)


def _named(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return messages in which the results of tools have the names of the calls that they answer."""
    names = {part.id: part.name for one in messages for part in one.parts if isinstance(part, ToolCall)}
    if not names:
        return messages

    def named(part: Part) -> Part:
        if not isinstance(part, ToolResult) or part.name is not None or part.id not in names:
            return part
        return msgspec.structs.replace(part, name=names[part.id])

    return tuple(msgspec.structs.replace(one, parts=tuple(map(named, one.parts))) for one in messages)


def together(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Return messages with what one speaker said in several pieces as one: an answer's items, the results of tools."""
    found: list[Message] = []
    for one in messages:
        last = found[-1] if found else None
        if last is not None and last.role == one.role and one.role in ("assistant", "tool") and last.name == one.name:
            found[-1] = Message(one.role, (*last.parts, *one.parts), one.name)
        else:
            found.append(one)
    return tuple(found)


def messages_of(value: Any) -> list[Message]:
    """Return the messages that one element of a talk is: mostly one."""
    if not isinstance(value, dict):
        return [Message("user", parts_of(value))]
    if len(value) == 2 and value.get("role") in _PLAIN and isinstance(value.get("content"), str):
        # Most messages are no more than this, and a session repeats them by the hundred thousand.
        return [Message(value["role"], parts_of(value["content"]))]
    value = value["kwargs"] if isinstance(value.get("kwargs"), dict) else value  # LangChain's dumps
    if value.get("kind") in ("request", "response") and isinstance(value.get("parts"), list):  # Pydantic AI's
        return _by_parts(value)
    role = _role(value)
    if role is None:
        return [_item(value)]
    parts = _said(value)
    if role == "tool" and not any(isinstance(part, ToolResult) for part in parts):
        name = word(inside(value, "name", "tool_name"))
        return [Message("tool", (ToolResult(parts=parts, name=name, id=word(inside(value, "tool_call_id"))),))]
    if parts and all(isinstance(part, ToolResult) for part in parts):
        role = "tool"
    return [Message(role, parts, word(value.get("name")))]


def _unpacked(request: Json) -> Json:
    """Return a request with what some interfaces put one level down: a body as JSON text, a config."""
    body = arguments_of(request.get("body"))
    given = {**{name: value for name, value in request.items() if name != "body"}, **body} if _is(body) else request
    for name in _CONFIGS:
        if _is(given.get(name)):
            given = {**{key: value for key, value in given.items() if key != name}, **given[name]}
    return given


def _unnamed(given: Json) -> Request:
    """Return the request of a program that calls things as it likes: what is no setting is what was asked."""
    parameters = {name: value for name, value in given.items() if name in SETTINGS and name not in _TOOLS}
    asked = {name: value for name, value in given.items() if name not in SETTINGS and name not in ("model", "modelId")}
    only = next(iter(asked.values())) if len(asked) == 1 else None
    parts = (Text(only),) if isinstance(only, str) else (Data(asked),) if asked else ()
    messages = [*_system(given), *([Message("user", parts)] if parts else [])]
    parameters = {name: value for name, value in parameters.items() if name not in _SYSTEMS}
    return Request(messages=tuple(messages), tools=_tools(given), parameters=parameters)


def _system(given: Json) -> list[Message]:
    told = inside(given, *_SYSTEMS)
    parts = parts_of(told["parts"] if _is(told) and isinstance(told.get("parts"), list) else told)
    return [Message("system", parts)] if parts else []


def _several(talk: Any) -> list[Message]:
    if isinstance(talk, list) and not any(_is(one) and (_role(one) or _is_item(one)) for one in talk):
        # Texts and parts without a speaker (Google's) are one message; what is no part either stays as it is.
        return [Message("user", parts_of(talk))]
    return list(chain.from_iterable(map(messages_of, talk if isinstance(talk, list) else [talk])))


def _role(value: Json) -> str | None:
    for name in ("role", "type", "part_kind"):
        told = word(value.get(name))
        if told is not None and (name == "role" or told in _SPEAKERS) and _can_speak(value):
            return _ROLES.get(told, told)
    # Google's user may leave the role out.
    return "user" if isinstance(value.get("parts"), list) else None


def _can_speak(value: Json) -> bool:
    return any(name in value for name in ("content", "parts", "tool_calls", "message", "function_call", "images"))


def _is_item(value: Json) -> bool:
    """Return whether it is one of OpenAI's items, which stand between messages."""
    return not isinstance(part_of(value), Data | Text | Media)


def _item(value: Json) -> Message:
    part = part_of(value)
    if isinstance(part, ToolResult):
        return Message("tool", (part,))
    # Of items without a speaker, those that say what they are were made by the model: searches, reasoning, calls.
    spoke = isinstance(part, Thinking | ToolCall) or (isinstance(part, Data) and isinstance(value.get("type"), str))
    return Message("assistant" if spoke else "user", (part,))


def _said(value: Json) -> tuple[Part, ...]:
    """Return all parts of a message, those that stand beside its content too."""
    thought = word(inside(value, "reasoning_content", "reasoning", "thinking", "tool_plan"))
    content = parts_of(inside(value, "content", "parts", "message"))
    calls = [call_of(one) for one in _list(value.get("tool_calls")) if _is(one)]
    if _is(value.get("function_call")):
        calls.append(call_of(value["function_call"]))
    refusal, sound = word(value.get("refusal")), inside(value.get("audio"), "data")
    return (
        *((Thinking(thought),) if thought else ()),
        *content,
        *((Text(refusal),) if refusal else ()),
        *(media_of(one) for one in _list(value.get("images"))),
        *((media_of(sound, kind="audio"),) if sound is not None else ()),
        *(call for call in calls if call is not None),
    )


def _by_parts(value: Json) -> list[Message]:
    if value["kind"] == "response":
        return [Message("assistant", parts_of(value["parts"]))]
    found = []
    for part in value["parts"]:
        role = _ROLES.get(str(inside(part, "part_kind")), "user")
        content = (part_of(part),) if role == "tool" else parts_of(inside(part, "content"))
        found.append(Message(role, content))
    return found


def _tools(given: Json) -> tuple[Tool, ...]:
    held = inside(given, *_TOOLS)
    listed = _list(held.get("tools") if _is(held) else held)
    return tuple(chain.from_iterable(map(_tools_of, listed)))


def _tools_of(value: Any) -> Sequence[Tool]:
    if not _is(value):
        return [Tool(value)] if isinstance(value, str) else []
    declared = inside(value, "function_declarations", "functionDeclarations")
    if declared is not None:
        return [tool for one in _list(declared) for tool in _tools_of(one)]
    told = inside(value, "function", "toolSpec")
    told = told if _is(told) else value
    name = word(inside(told, "name", "type")) or next(iter(value), None)
    return [Tool(str(name), word(told.get("description")))] if name is not None else []


def _is(value: Any) -> bool:
    return isinstance(value, dict)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
