"""This module is where an answer is read as messages: whole, or put together from the pieces of a stream.

The text of an answer is also read by the provider's own description; what is found here adds tools, thinking and media.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import msgspec

from aicore_obs.shapes.messages import Message, messages_of, together
from aicore_obs.shapes.parts import (
    Data,
    Json,
    Part,
    Text,
    Thinking,
    ToolCall,
    arguments_of,
    inside,
    media_of,
    parts_of,
    word,
)

_EVENTS = ("data:", "event:", ":")
# How many levels down an answer may be packed (batches, raw HTTP).
_DEEP = 3


def read_answer(response: Any, text: str | None) -> tuple[Message, ...]:
    """Return what was answered. ``text`` is what the provider's description read: it stands where no text is found.

    Several messages are several answers to choose from.
    """
    if response is None:
        return ()
    if isinstance(response, str):
        response = _lines(response) or response
    found = _streamed(response) if isinstance(response, list) else _whole(response, _DEEP)
    messages = tuple(one for one in found if one.parts)
    if text and not any(isinstance(part, Text) for one in messages for part in one.parts):
        return together([Message("assistant", (Text(text),)), *messages])
    return messages or (Message("assistant", parts_of(response)),)


def _whole(value: Any, deep: int) -> list[Message]:
    if not isinstance(value, dict):
        return [Message("assistant", parts_of(value))]
    for name, read in _WHOLE.items():
        if value.get(name) is not None and (found := read(value)):
            return found
    for name in ("result", "response", "body", "message"):
        if deep and isinstance(value.get(name), dict):
            return _whole(value[name], deep - 1)
    return []


def _choices(value: Json) -> list[Message]:
    found = []
    for choice in _dicts(value["choices"]):
        said = inside(choice, "message", "delta")
        found += _assistants(said) if isinstance(said, dict) else [Message("assistant", parts_of(choice.get("text")))]
    return found


def _output(value: Json) -> list[Message]:
    output = value["output"]
    if isinstance(output, dict):  # Bedrock's
        said = output.get("message")
        return _assistants(said) if isinstance(said, dict) else []
    return list(together(chain.from_iterable(map(messages_of, _dicts(output)))))


def _content(value: Json) -> list[Message]:
    return _assistants(value) if isinstance(value["content"], str | list) else []


def _candidates(value: Json) -> list[Message]:
    held = [candidate.get("content") for candidate in _dicts(value["candidates"])]
    return [Message("assistant", parts_of(one.get("parts"))) for one in held if isinstance(one, dict)]


def _message(value: Json) -> list[Message]:
    said = value["message"]
    return _assistants(said) if isinstance(said, dict) and {"content", "tool_calls"} & said.keys() else []


def _generations(value: Json) -> list[Message]:
    lists = [one if isinstance(one, list) else [one] for one in _list(value["generations"])]
    said = [one.get("message") or one for one in _dicts(list(chain.from_iterable(lists)))]
    return [message for one in said for message in _assistants({"content": one.get("text"), **one.get("kwargs", one)})]


def _parts(value: Json) -> list[Message]:
    return [Message("assistant", parts_of(value["parts"]))] if isinstance(value["parts"], list) else []


def _spoken(value: Json) -> list[Message]:
    said = value["response"]
    return [Message("assistant", (Text(said),))] if isinstance(said, str) else []


def _made(value: Json) -> list[Message]:
    """Return what OpenAI's lists hold: images, or vectors, of which their number and size say enough."""
    data = _dicts(value["data"])
    images = [media_of(inside(one, "b64_json", "url")) for one in data if inside(one, "b64_json", "url")]
    if images:
        return [Message("assistant", tuple(images))]
    return _vectors([one.get("embedding") for one in data if one.get("embedding") is not None])


def _embeddings(value: Json) -> list[Message]:
    held = inside(value, "embeddings", "embedding")
    if isinstance(held, dict):  # Cohere's, by type
        held = next(iter(held.values()), [])
    listed = _list(held)
    return _vectors(listed if not listed or not isinstance(listed[0], int | float) else [listed])


def _vectors(vectors: list[Any]) -> list[Message]:
    held = [one.get("values") if isinstance(one, dict) else one for one in vectors]
    sizes = sorted({len(one) for one in held if isinstance(one, list)})
    told = {"vectors": len(vectors), **({"dimensions": sizes[0]} if len(sizes) == 1 else {})}
    return [Message("assistant", (Data(told),))] if vectors else []


_WHOLE: dict[str, Callable[[Json], list[Message]]] = {
    "choices": _choices,
    "output": _output,
    "candidates": _candidates,
    "content": _content,
    "message": _message,
    "generations": _generations,
    "parts": _parts,
    "response": _spoken,
    "data": _made,
    "embeddings": _embeddings,
    "embedding": _embeddings,
}


def _assistants(value: Json) -> list[Message]:
    return messages_of({"role": "assistant", "content": None, **value})


class _Pieces:
    """The parts of one answer as they grow, in the order in which they began."""

    def __init__(self) -> None:
        self._texts: dict[Any, list[str]] = {}
        self._kinds: dict[Any, type[Text | Thinking | ToolCall]] = {}
        self._calls: dict[Any, dict[str, str | None]] = {}
        self._whole: dict[Any, Part] = {}

    def add(self, key: Any, kind: type[Text | Thinking | ToolCall], text: Any) -> None:
        """Add to a text, a thought or a call's arguments."""
        if isinstance(text, str) or kind is ToolCall:
            self._kinds.setdefault(key, kind)
            self._texts.setdefault(key, []).append(text if isinstance(text, str) else "")

    def call(self, key: Any, given: Any, call_id: Any = None, text: Any = "") -> None:
        """Begin a call, or go on with it: name and id come once, arguments in pieces."""
        known = self._calls.setdefault(key, {"name": None, "id": None})
        known["name"] = known["name"] or word(given)
        known["id"] = known["id"] or word(call_id)
        self.add(key, ToolCall, text)

    def put(self, part: Part) -> None:
        """Add a part that comes whole; texts that follow each other are one."""
        last = next(reversed(self._kinds), None)
        if isinstance(part, Text | Thinking):
            goes_on = last is not None and self._kinds[last] is type(part) and isinstance(last, int)
            self.add(last if goes_on else len(self._kinds), type(part), part.text)
        else:
            key = len(self._kinds)
            self._kinds[key] = ToolCall
            self._whole[key] = part

    def parts(self) -> tuple[Part, ...]:
        """Return the parts as far as they have come."""
        return tuple(part for key in self._kinds if (part := self._part(key)) is not None)

    def _part(self, key: Any) -> Part | None:
        if key in self._whole:
            return self._whole[key]
        text, kind = "".join(self._texts[key]), self._kinds[key]
        if kind is ToolCall:
            return ToolCall(**self._calls[key], arguments=arguments_of(text))
        return kind(text) if text else None


def _streamed(events: list[Any]) -> list[Message]:
    """Return the messages that the events of a stream make together."""
    pieces: dict[int, _Pieces] = {}
    for event in _dicts(events):
        told = event["data"] if isinstance(event.get("data"), dict) else event
        whole = told.get("response") if told.get("type") in _ENDS else None
        if isinstance(whole, dict) and whole.get("output"):
            return _whole(whole, 0)
        for number, add in _added(told):
            add(pieces.setdefault(number, _Pieces()))
    return [Message("assistant", one.parts()) for _, one in sorted(pieces.items())]


_ENDS = ("response.completed", "response.incomplete", "response.failed")
_Add = Callable[[_Pieces], None]


def _added(event: Json) -> Iterator[tuple[int, _Add]]:
    """Yield what an event adds, each with the number of the answer it belongs to."""
    kind = word(event.get("type"))
    if event.get("choices") is not None:
        for place, choice in enumerate(_dicts(event["choices"])):
            said = inside(choice, "delta", "message") or {"content": choice.get("text")}
            number = choice.get("index")
            yield number if isinstance(number, int) else place, _delta(said)
    elif kind in _BY_TYPE:
        yield 0, _BY_TYPE[kind](event)
    elif event.get("candidates") is not None:
        for message in _candidates(event):
            yield 0, _puts(message.parts)
    else:
        name = next((one for one in _BY_MEMBER if event.get(one) is not None), None)
        if name is not None:
            yield 0, _BY_MEMBER[name](event)


def _delta(said: Any) -> _Add:
    """OpenAI's, and everybody's who speaks like it; a message of Ollama's; a chunk of LangChain's."""

    def add(pieces: _Pieces) -> None:
        pieces.add("thinking", Thinking, inside(said, "reasoning_content", "reasoning", "thinking"))
        content = inside(said, "content", "refusal")
        for part in parts_of(content):
            if isinstance(part, Text | Thinking):
                pieces.add("text" if isinstance(part, Text) else "thinking", type(part), part.text)
        for place, one in enumerate(_dicts(inside(said, "tool_call_chunks", "tool_calls"))):
            function = one["function"] if isinstance(one.get("function"), dict) else one
            index = one.get("index") if isinstance(one.get("index"), int) else place
            given = inside(function, "arguments", "args")
            text = given if isinstance(given, str) or given is None else msgspec.json.encode(given).decode()
            pieces.call(index, function.get("name"), one.get("id"), text)

    return add


def _puts(parts: tuple[Part, ...]) -> _Add:
    def add(pieces: _Pieces) -> None:
        for part in parts:
            pieces.put(part)

    return add


def _block_begun(event: Json) -> _Add:
    block, index = event.get("content_block"), event.get("index")

    def add(pieces: _Pieces) -> None:
        if str(inside(block, "type")).endswith("tool_use"):
            pieces.call(index, inside(block, "name"), inside(block, "id"))
        else:
            pieces.add(index, Text, inside(block, "text"))

    return add


def _block_grown(event: Json) -> _Add:
    delta, index = event.get("delta"), event.get("index")
    told = inside(delta, "partial_json")
    if told is not None:
        return lambda pieces: pieces.call(index, None, None, told)
    kind: type[Text | Thinking] = Text if inside(delta, "thinking") is None else Thinking
    return lambda pieces: pieces.add((index, kind.__name__), kind, inside(delta, "thinking", "text"))


def _item_begun(event: Json) -> _Add:
    item, index = event.get("item"), event.get("output_index")

    def add(pieces: _Pieces) -> None:
        if inside(item, "type") in ("function_call", "custom_tool_call"):
            pieces.call(index, inside(item, "name"), inside(item, "call_id"))

    return add


def _item_grown(kind: type[Text | Thinking | ToolCall]) -> Callable[[Json], _Add]:
    def read(event: Json) -> _Add:
        index, delta = event.get("output_index"), event.get("delta")
        if kind is ToolCall:
            return lambda pieces: pieces.call(index, None, None, delta)
        return lambda pieces: pieces.add(index, kind, delta)

    return read


def _cohere(event: Json) -> _Add:
    said, index = inside(event.get("delta"), "message"), event.get("index")
    call = inside(said, "tool_calls")
    if isinstance(call, dict):
        function = call.get("function")
        return lambda pieces: pieces.call(
            ("call", index), inside(function, "name"), call.get("id"), inside(function, "arguments")
        )
    plan = inside(said, "tool_plan")
    if plan:
        return lambda pieces: pieces.add("plan", Thinking, plan)
    return lambda pieces: pieces.add(index, Text, inside(inside(said, "content"), "text"))


def _bedrock_begun(event: Json) -> _Add:
    begun = event["contentBlockStart"]
    tool = inside(inside(begun, "start"), "toolUse")

    def add(pieces: _Pieces) -> None:
        if tool is not None:
            pieces.call(inside(begun, "contentBlockIndex"), inside(tool, "name"), inside(tool, "toolUseId"))

    return add


def _bedrock_grown(event: Json) -> _Add:
    grown = event["contentBlockDelta"]
    delta, index = inside(grown, "delta"), inside(grown, "contentBlockIndex")
    tool, thought = inside(delta, "toolUse"), inside(delta, "reasoningContent")
    if tool is not None:
        return lambda pieces: pieces.call(index, None, None, inside(tool, "input"))
    if thought is not None:
        return lambda pieces: pieces.add(index, Thinking, inside(thought, "text"))
    return lambda pieces: pieces.add(index, Text, inside(delta, "text"))


_BY_TYPE: dict[str, Callable[[Json], _Add]] = {
    "content_block_start": _block_begun,
    "content_block_delta": _block_grown,
    "response.output_item.added": _item_begun,
    "response.output_text.delta": _item_grown(Text),
    "response.refusal.delta": _item_grown(Text),
    "response.reasoning_summary_text.delta": _item_grown(Thinking),
    "response.reasoning_text.delta": _item_grown(Thinking),
    "response.function_call_arguments.delta": _item_grown(ToolCall),
    "content-delta": _cohere,
    "tool-plan-delta": _cohere,
    "tool-call-start": _cohere,
    "tool-call-delta": _cohere,
    "AIMessageChunk": _delta,
}
_BY_MEMBER: dict[str, Callable[[Json], _Add]] = {
    "contentBlockStart": _bedrock_begun,
    "contentBlockDelta": _bedrock_grown,
    "message": lambda event: _delta(event["message"]),
    "response": lambda event: _puts((Text(event["response"]),) if isinstance(event["response"], str) else ()),
}


def _lines(text: str) -> list[Any]:
    """Return the events of a stream that was kept as text."""
    if not text.startswith(_EVENTS):
        return []
    data = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
    return [arguments_of(line) for line in data if line.startswith("{")]


def _dicts(value: Any) -> list[Json]:
    return [one for one in _list(value) if isinstance(one, dict)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
