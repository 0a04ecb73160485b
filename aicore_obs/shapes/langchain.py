"""This module is where LangChain's messages are read: ``usage_metadata``, which is one algebra for all providers.

Source: langchain-core 1.7.2 (``messages.ai.UsageMetadata``, ``InputTokenDetails``, ``messages.ai.add_usage``), read
2026-11-21. ``input_tokens`` contain the cache. ``response_metadata.usage`` keeps the provider's own numbers, which
under the same names may mean something else, and is left alone. Chunks of a message are made to be added up.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aicore_obs.model.record import Payload
from aicore_obs.model.usage import NO_USAGE, Usage, added, count_of
from aicore_obs.protocols import RequestFacts, ResponseFacts
from aicore_obs.shapes.body import Members, joined, last, text_of, word
from aicore_obs.shapes.openai_usage import read_usage


class _Message(msgspec.Struct):
    """A message, or what holds one: a serialised constructor, a result with generations."""

    type: Any = None
    id: Any = None
    content: Payload = msgspec.UNSET
    usage_metadata: Payload = msgspec.UNSET
    response_metadata: Payload = msgspec.UNSET
    kwargs: Payload = msgspec.UNSET
    data: Payload = msgspec.UNSET
    message: Payload = msgspec.UNSET
    generations: Payload = msgspec.UNSET


class _Metadata(msgspec.Struct):
    model_name: Any = None
    model: Any = None
    model_id: Any = None
    id: Any = None
    model_provider: Any = None
    finish_reason: Any = None
    stop_reason: Any = None
    service_tier: Any = None
    token_usage: Payload = msgspec.UNSET


class _Usage(msgspec.Struct):
    input_tokens: Any = None
    output_tokens: Any = None
    total_tokens: Any = None
    input_token_details: Payload = msgspec.UNSET
    output_token_details: Payload = msgspec.UNSET


class _Block(msgspec.Struct):
    type: Any = None
    text: Payload = msgspec.UNSET


_messages = Members(_Message)
_metadata = Members(_Metadata)
_usage = Members(_Usage)
_blocks = Members(_Block)
_details = msgspec.json.Decoder(dict[str, Any])
_lists = msgspec.json.Decoder(list[list[msgspec.Raw]])
_NO_METADATA = _Metadata()


class LangChain(msgspec.Struct, frozen=True):
    """The shape."""

    name: str = "langchain"
    marks: tuple[str, ...] = ("response_metadata", "usage_metadata")

    def read(self, raw: bytes, asked: RequestFacts) -> ResponseFacts | None:  # noqa: ARG002 - a shape's duty
        """Read a message, or the chunks of one; None when it is of another shape."""
        messages = [_inner(one) for one in _messages.each(raw)]
        if not any(map(_is_message, messages)):
            return _alone(raw)
        metadata = [_metadata.of(message.response_metadata) or _NO_METADATA for message in messages]
        usage, usage_raw = _usage_of(messages, metadata)
        tier = last(metadata, lambda one: word(one.service_tier))
        return ResponseFacts(
            model=last(metadata, lambda one: word(one.model_name) or word(one.model) or word(one.model_id)),
            id=last(metadata, lambda one: word(one.id)) or last(messages, lambda one: word(one.id)),
            finish_reason=last(metadata, lambda one: word(one.finish_reason) or word(one.stop_reason)),
            usage=usage,
            usage_raw=usage_raw,
            provider=last(metadata, lambda one: word(one.model_provider)),
            conditions={} if tier is None else {"tier": tier.lower()},
        )

    def text(self, raw: bytes) -> str | None:
        """Return the text of the message, or of its chunks."""
        return joined(_text(_inner(one)) for one in _messages.each(raw))


SHAPE = LangChain()


def _alone(raw: bytes) -> ResponseFacts | None:
    """Return what a usage says that is kept without its message."""
    given = _usage.of(raw) if raw[:1] == b"{" else None
    if given is None or given.input_tokens is None or given.output_tokens is None:
        return None
    usage_raw = msgspec.Raw(raw)
    usage = _counted(_Message(usage_metadata=usage_raw))
    return None if usage is None else ResponseFacts(usage=usage, usage_raw=usage_raw)


def _inner(one: _Message) -> _Message:
    """Return the message inside a serialised constructor, a stored message or a result."""
    if one.generations is not msgspec.UNSET:
        try:
            found = _lists.decode(one.generations)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return one
        first = _messages.of(found[0][0]) if found and found[0] else None
        return one if first is None else _inner(first)
    for raw in (one.message, one.kwargs, one.data):
        if raw is not msgspec.UNSET and (inner := _messages.of(raw)) is not None:
            # One level more at most: a generation's message, serialised.
            again = None if inner.kwargs is msgspec.UNSET else _messages.of(inner.kwargs)
            return again or inner
    return one


def _is_message(message: _Message) -> bool:
    if message.response_metadata is not msgspec.UNSET:
        return True
    usage = _usage.of(message.usage_metadata)
    return usage is not None and (usage.input_tokens is not None or usage.output_tokens is not None)


def _usage_of(messages: list[_Message], metadata: list[_Metadata]) -> tuple[Usage, Payload]:
    read = [(usage, message.usage_metadata) for message in messages if (usage := _counted(message)) is not None]
    if len(read) == 1:
        return read[0]
    if read:
        raws = b",".join(bytes(raw) for _, raw in read if raw is not msgspec.UNSET)
        return added([usage for usage, _ in read]), msgspec.Raw(b"[%b]" % raws)
    for one in reversed(metadata):  # messages of older versions
        told = read_usage(one.token_usage)
        if told is not None:
            return told.usage, one.token_usage
    return NO_USAGE, msgspec.UNSET


def _counted(message: _Message) -> Usage | None:
    given = _usage.of(message.usage_metadata)
    if given is None:
        return None
    inputs, outputs = _by_name(given.input_token_details), _by_name(given.output_token_details)
    short = _detail(inputs, "ephemeral_5m_input_tokens")
    long = _detail(inputs, "ephemeral_1h_input_tokens")
    written = _detail(inputs, "cache_creation")
    if short or long:
        # LangChain sets the whole to 0 where it has the parts, in some of its versions.
        written = max(written or 0, (short or 0) + (long or 0))
    found = Usage(
        input_tokens=count_of(given.input_tokens),
        cache_read_tokens=_detail(inputs, "cache_read"),
        cache_write_tokens=written,
        # Five minutes is what a write to the cache means unless it says otherwise.
        cache_write_5m_tokens=short if long else None,
        cache_write_1h_tokens=long or None,
        input_audio_tokens=_detail(inputs, "audio"),
        input_image_tokens=_detail(inputs, "image"),
        input_video_tokens=_detail(inputs, "video"),
        output_tokens=count_of(given.output_tokens),
        reasoning_tokens=_detail(outputs, "reasoning"),
        output_audio_tokens=_detail(outputs, "audio"),
        output_image_tokens=_detail(outputs, "image"),
        total_tokens=count_of(given.total_tokens),
    )
    return found if found != NO_USAGE else None


def _by_name(raw: Payload) -> dict[str, Any]:
    if raw is msgspec.UNSET:
        return {}
    try:
        return _details.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _detail(details: dict[str, Any], name: str) -> int | None:
    # With another tier than the ordinary one, langchain-openai writes the tier before the name.
    for key in (name, f"flex_{name}", f"priority_{name}"):
        if (found := count_of(details.get(key))) is not None:
            return found
    return None


def _text(message: _Message) -> str | None:
    if message.content is msgspec.UNSET:
        return None
    text = text_of(message.content)
    if text is not None:
        return text
    return joined(text_of(block.text) for block in _blocks.each(message.content) if block.type == "text")
