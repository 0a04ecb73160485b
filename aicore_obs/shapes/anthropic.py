"""This module is where Anthropic's shape is read: messages, their streams, results of batches.

Sources: anthropic 2.11.0 (``types.usage``, ``types.beta.beta_usage``, ``types.beta.beta_iterations_usage``) and the
pages on streaming, prompt caching and compaction (platform.claude.com/docs), read 2026-11-21. ``input_tokens`` leave
the cache out: the input is the sum of three numbers. In a stream, ``message_delta`` is cumulative and replaces what
``message_start`` said, key by key. What a compaction used is only in ``iterations``; so is what another model used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from aicore_obs.model.cost import OtherUsage
from aicore_obs.model.record import Payload
from aicore_obs.model.usage import NO_USAGE, Usage, added, count_of, settled
from aicore_obs.protocols import RequestFacts, ResponseFacts
from aicore_obs.shapes.bill import bill_of
from aicore_obs.shapes.body import Members, is_there, joined, last, text_of, word

_TYPES = ("message", "message_start", "message_delta", "completion")


class _Event(msgspec.Struct):
    """A message, or an event that has one or a part of one inside."""

    id: Any = None
    type: Any = None
    model: Any = None
    usage: Payload = msgspec.UNSET
    stop_reason: Any = None
    content: Payload = msgspec.UNSET
    message: Payload = msgspec.UNSET
    delta: Payload = msgspec.UNSET
    completion: Payload = msgspec.UNSET
    # A line of a batch's results
    result: Payload = msgspec.UNSET
    # Members of other shapes
    object: Any = None
    choices: Payload = msgspec.UNSET


class _Block(msgspec.Struct):
    type: Any = None
    text: Payload = msgspec.UNSET
    stop_reason: Any = None


class _Details(msgspec.Struct):
    thinking_tokens: Any = None
    web_search_requests: Any = None
    ephemeral_5m_input_tokens: Any = None
    ephemeral_1h_input_tokens: Any = None


class _Usage(msgspec.Struct):
    input_tokens: Any = None
    cache_creation_input_tokens: Any = None
    cache_read_input_tokens: Any = None
    cache_creation: Payload = msgspec.UNSET
    output_tokens: Any = None
    output_tokens_details: Payload = msgspec.UNSET
    server_tool_use: Payload = msgspec.UNSET
    service_tier: Any = None
    speed: Any = None
    inference_geo: Any = None
    iterations: Payload = msgspec.UNSET
    # Of one iteration
    type: Any = None
    model: Any = None
    # OpenAI's word: where it stands, the input contains the cache.
    input_tokens_details: Payload = msgspec.UNSET


_events = Members(_Event)
_blocks = Members(_Block)
_usage = Members(_Usage)
_details = Members(_Details)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder()
_NO_DETAILS = _Details()


class Anthropic(msgspec.Struct, frozen=True):
    """The shape."""

    name: str = "anthropic"
    marks: tuple[str, ...] = ("input_tokens", "output_tokens")

    def read(self, raw: bytes, asked: RequestFacts) -> ResponseFacts | None:  # noqa: ARG002 - a shape's duty
        """Read a message or a stream's events; None when it is of another shape."""
        events = _events.each(raw)
        is_batch = any(event.result is not msgspec.UNSET for event in events)
        bodies = [_inner(event) for event in events]
        if any(_is_other(body) for body in bodies):
            return None
        usage_raw = _merged(bodies)
        given = _usage.of(usage_raw)
        is_known = any(event.type in _TYPES for event in bodies)
        if given is None or given.input_tokens_details is not msgspec.UNSET:
            given = None
            if not is_known:
                return None
        model = last(bodies, lambda body: word(body.model))
        usage, others = (NO_USAGE, ()) if given is None else _read(given, model)
        if usage is NO_USAGE and not is_known:
            return None
        return ResponseFacts(
            model=model,
            id=last(bodies, lambda body: word(body.id)),
            finish_reason=last(bodies, _stop_reason),
            usage=usage,
            usage_raw=msgspec.UNSET if usage is NO_USAGE else usage_raw,
            conditions=_conditions(given, is_batch=is_batch),
            bill=bill_of(usage_raw),
            others=others,
        )

    def text(self, raw: bytes) -> str | None:
        """Return the text blocks of a message, or the pieces of them in a stream."""
        return joined(_text(_inner(event)) for event in _events.each(raw))


SHAPE = Anthropic()


def _inner(event: _Event) -> _Event:
    """Return the message inside ``message_start``, or inside a line of a batch's results."""
    if event.type == "message_start":
        return _events.of(event.message) or event
    if event.result is not msgspec.UNSET:
        result = _events.of(event.result)
        return (_events.of(result.message) if result is not None else None) or event
    return event


def _is_other(body: _Event) -> bool:
    return body.choices is not msgspec.UNSET or (body.object is not None and body.type not in _TYPES)


def _merged(bodies: Sequence[_Event]) -> Payload:
    """Return the usage that was said last, key by key; a null says nothing."""
    said = [raw for body in bodies if (raw := body.usage) is not msgspec.UNSET and is_there(raw)]
    if len(said) <= 1:
        return said[0] if said else msgspec.UNSET
    members: dict[str, msgspec.Raw] = {}
    for raw in said:
        try:
            found = _members.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        members |= {name: value for name, value in found.items() if bytes(value) != b"null"}
    return msgspec.Raw(_encoder.encode(members))


def _read(given: _Usage, model: str | None) -> tuple[Usage, tuple[OtherUsage, ...]]:
    """Return what the operation's own model used, and what others did inside of it."""
    usage = _counted(given)
    own: list[Usage] = []
    others: list[OtherUsage] = []
    for one in _usage.each(given.iterations):
        counted = _counted(one)
        other = word(one.model)
        if other is not None and (one.type == "advisor_message" or other != (model or other)):
            others.append(OtherUsage(model=other, usage=settled(counted)))
        elif counted != NO_USAGE:
            own.append(counted)
    return (_summed(usage, own) if own else usage), tuple(others)


def _summed(usage: Usage, own: Sequence[Usage]) -> Usage:
    """Return the sum of all iterations; what only the whole says (thinking, searches) stays."""
    total = added(own)
    said = {name: value for name in _OF_AN_ITERATION if (value := getattr(total, name)) is not None}
    return msgspec.structs.replace(usage, **said)


_OF_AN_ITERATION = (
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "output_tokens",
)  # fmt: skip


def _counted(given: _Usage) -> Usage:
    fresh, read = count_of(given.input_tokens), count_of(given.cache_read_input_tokens)
    written = count_of(given.cache_creation_input_tokens)
    ttl = _details.of(given.cache_creation) or _NO_DETAILS
    thinking = _details.of(given.output_tokens_details) or _NO_DETAILS
    tools = _details.of(given.server_tool_use) or _NO_DETAILS
    parts = [count_of(ttl.ephemeral_5m_input_tokens), count_of(ttl.ephemeral_1h_input_tokens)]
    if written is None and any(part is not None for part in parts):
        written = sum(part for part in parts if part is not None)
    return Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_5m_tokens=parts[0],
        cache_write_1h_tokens=parts[1],
        output_tokens=count_of(given.output_tokens),
        reasoning_tokens=count_of(thinking.thinking_tokens),
        web_searches=count_of(tools.web_search_requests),
    )


def _stop_reason(body: _Event) -> str | None:
    if body.stop_reason is None and body.type == "message_delta":
        delta = _blocks.of(body.delta)
        return None if delta is None else word(delta.stop_reason)
    return word(body.stop_reason)


def _conditions(given: _Usage | None, *, is_batch: bool) -> dict[str, str]:
    if given is None:
        return {}
    found = {"tier": given.service_tier, "speed": given.speed, "region": given.inference_geo}
    if is_batch:
        found["batch"] = "true"
    return {name: value.lower() for name, value in found.items() if isinstance(value, str)}


def _text(body: _Event) -> str | None:
    if body.type == "content_block_delta":
        delta = _blocks.of(body.delta)
        return text_of(delta.text) if delta is not None and delta.type == "text_delta" else None
    if body.completion is not msgspec.UNSET:
        return text_of(body.completion)
    if body.content is msgspec.UNSET:
        return None
    return joined(text_of(block.text) for block in _blocks.each(body.content) if block.type == "text")
