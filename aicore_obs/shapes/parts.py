"""This module is where one part of a message is read: text, thinking, a tool's call or result, an image, anything else.

Every provider has its own words for the same few things. The words do not collide, so that one reading serves all of
them; what is not known stays as it is, as data. Sources: the types of openai 3.57.0, anthropic 2.14.0, google-genai
3.6.1, botocore 1.44.8, cohere 7.3.1 and ollama 0.6.3, read 2026-11-28.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec


class Text(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """What was said."""

    text: str


class Thinking(msgspec.Struct, frozen=True, tag_field="type", tag="thinking"):
    """What a model thought before it spoke, as far as it tells."""

    text: str


class ToolCall(msgspec.Struct, frozen=True, tag_field="type", tag="tool_call"):
    """A tool that a model wants called; ``arguments`` are read where they are JSON in a text."""

    name: str | None = None
    arguments: Any = None
    id: str | None = None


class ToolResult(msgspec.Struct, frozen=True, tag_field="type", tag="tool_result"):
    """What a tool gave back."""

    parts: tuple[Part, ...] = ()
    name: str | None = None
    id: str | None = None
    is_error: bool = False


class Media(msgspec.Struct, frozen=True, tag_field="type", tag="media"):
    """An image, a sound, a file: what it is and how large, never its bytes. ``url`` is where it lies, if elsewhere."""

    media_type: str
    size_bytes: int | None = None
    url: str | None = None


class Data(msgspec.Struct, frozen=True, tag_field="type", tag="data"):
    """Anything else, as it was given."""

    value: Any


Part: TypeAlias = Text | Thinking | ToolCall | ToolResult | Media | Data
Json: TypeAlias = Mapping[str, Any]


def parts_of(content: Any) -> tuple[Part, ...]:
    """Return the parts of a message's content: a text, a part, or a list of either; none of nothing."""
    if content is None or content == "":
        return ()
    return tuple(map(part_of, content)) if isinstance(content, list) else (part_of(content),)


def part_of(value: Any) -> Part:
    """Return one part, in whoever's words it is given."""
    if isinstance(value, str):
        return Text(value)
    if isinstance(value, dict):
        kind = value.get("type") or value.get("part_kind")
        read = _BY_TYPE.get(kind) if isinstance(kind, str) else None
        found = read(value) if read is not None else _by_member(value)
        if found is not None:
            return found
    return Data(value)


def arguments_of(given: Any) -> Any:
    """Return a call's arguments, read where they are JSON in a text; a text that is none stays a text."""
    if not isinstance(given, str):
        return given
    try:
        return msgspec.json.decode(given)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return given or None


def word(value: Any) -> str | None:
    """Return text as it is, None for anything else."""
    return value if isinstance(value, str) else None


def inside(value: Any, *names: str) -> Any:
    """Return what stands under the first of these names that is there and not null."""
    if not isinstance(value, dict):
        return None
    return next((value[name] for name in names if value.get(name) is not None), None)


def call_of(value: Json) -> ToolCall | None:
    """Return a call: OpenAI's (its function one level down) or anybody's of a name and its arguments."""
    function = value["function"] if isinstance(value.get("function"), dict) else value
    name = word(inside(function, "name", "tool_name"))
    given = inside(function, "arguments", "args", "input", "parameters")
    if name is None and given is None:
        return None
    call_id = word(inside(value, "call_id", "id", "toolUseId", "tool_call_id"))
    return ToolCall(name=name, arguments=arguments_of(given), id=call_id)


def media_of(given: Any, media_type: str | None = None, *, kind: str = "image") -> Media:
    """Return what is known of bytes in base64, of a ``data:`` URL, or of a URL."""
    text = given if isinstance(given, str) else ""
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        media_type = head[5:].partition(";")[0] or media_type
    elif "://" in text[:12] or text.startswith("file-"):
        return Media(media_type=media_type or kind, url=text)
    size = len(text) * 3 // 4 - text[-2:].count("=") if text else None
    return Media(media_type=media_type or kind, size_bytes=size)


def _text(value: Json) -> Part | None:
    text = inside(value, "text", "content", "refusal")
    if isinstance(text, dict):  # Assistants' {"text": {"value": …}}
        text = text.get("value")
    return Text(text) if isinstance(text, str) else None


def _thinking(value: Json) -> Part:
    told = inside(value, "thinking", "text", "content", "summary", "reasoning")
    pieces = told if isinstance(told, list) else [told]
    texts = [piece if isinstance(piece, str) else word(inside(piece, "text", "thinking")) for piece in pieces]
    return Thinking("\n\n".join(text for text in texts if text))


def _result(value: Json) -> Part:
    return ToolResult(
        parts=parts_of(inside(value, "content", "output", "response", "result")),
        name=word(inside(value, "name", "tool_name")),
        id=word(inside(value, "tool_use_id", "call_id", "toolUseId", "tool_call_id", "id")),
        is_error=value.get("is_error") is True or value.get("status") == "error",
    )


def _media(value: Json) -> Part:
    """Return media of OpenAI's, Anthropic's, Bedrock's, LangChain's or Pydantic AI's making."""
    kind = str(value.get("type") or "file").removeprefix("input_").removesuffix("_url").removesuffix("-url")
    held = inside(value, "source", kind, f"{kind}_url", f"input_{kind}")
    holders = (held if isinstance(held, dict) else {}, value)
    types = (word(inside(one, "media_type", "mime_type", "mimeType")) for one in holders)
    forms = (f"{kind}/{form}" for one in holders if isinstance(form := one.get("format"), str))
    media_type = next((one for one in (*types, *forms) if one is not None), None)
    for holder in holders:
        given = inside(
            holder, "url", "data", "base64", "bytes", "file_data", "file_id", "image_url", "uri", "s3Location"
        )
        if isinstance(given, str):
            return media_of(given, media_type, kind=kind)
    return media_of(held, media_type, kind=kind)


def _by_member(value: Json) -> Part | None:
    for name, read in _BY_MEMBER.items():
        if value.get(name) is not None:
            return read(value)
    return None


def _google_text(value: Json) -> Part | None:
    text = word(value["text"])
    if text is None:
        return None
    return Thinking(text) if value.get("thought") is True else Text(text)


def _google_blob(value: Json) -> Part:
    blob = inside(value, "inline_data", "inlineData", "file_data", "fileData")
    return media_of(inside(blob, "data", "file_uri", "fileUri"), word(inside(blob, "mime_type", "mimeType")))


def _within(*names: str, read: Callable[[Json], Part | None]) -> Callable[[Json], Part | None]:
    """Return a reader of what stands one level down."""

    def found(value: Json) -> Part | None:
        held = inside(value, *names)
        return read(held) if isinstance(held, dict) else None

    return found


def _bedrock_media(kind: str) -> Callable[[Json], Part | None]:
    return _within(kind, read=lambda held: _media({**held, "type": kind}))


_BY_TYPE: dict[str, Callable[[Json], Part | None]] = {
    "image_generation_call": lambda value: media_of(value.get("result")),
    **dict.fromkeys(("text", "input_text", "output_text", "refusal", "summary_text", "text_delta"), _text),
    **dict.fromkeys(("thinking", "reasoning", "redacted_thinking", "reasoning_text"), _thinking),
    **dict.fromkeys(
        ("tool_use", "server_tool_use", "mcp_tool_use", "function_call", "custom_tool_call", "mcp_call", "tool_call",
         "function", "tool-call"),
        call_of,
    ),
    **dict.fromkeys(
        ("tool_result", "function_call_output", "custom_tool_call_output", "tool_call_response", "mcp_tool_result",
         "web_search_tool_result", "tool-return"),
        _result,
    ),
    **dict.fromkeys(
        ("image_url", "input_image", "image", "input_audio", "audio", "file", "input_file", "document", "video",
         "image-url", "audio-url", "document-url", "binary"),
        _media,
    ),
}  # fmt: skip
# Parts that say by a member's name what they are.
_BY_MEMBER: dict[str, Callable[[Json], Part | None]] = {
    **dict.fromkeys(("function_call", "functionCall"), _within("function_call", "functionCall", read=call_of)),
    "function_response": _within("function_response", read=_result),
    "functionResponse": _within("functionResponse", read=_result),
    **dict.fromkeys(("inline_data", "inlineData", "file_data", "fileData"), _google_blob),
    "function": call_of,
    "toolUse": _within("toolUse", read=call_of),
    "toolResult": _within("toolResult", read=_result),
    "reasoningContent": _within("reasoningContent", read=lambda held: _thinking(held.get("reasoningText") or held)),
    "image": _bedrock_media("image"),
    "document": _bedrock_media("document"),
    "video": _bedrock_media("video"),
    "text": _google_text,
}  # fmt: skip
