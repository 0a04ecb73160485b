"""This module is where Cohere's shape is read: chat (v1, v2), embeddings, rankings, and their streams.

Source: cohere 7.3.1 (``types.Usage``, ``types.ApiMeta``) and docs.cohere.com/reference, read 2026-11-21. What is billed
is ``billed_units``; ``tokens`` and ``cached_tokens`` count the prompt as the model saw it, and stay in the raw usage.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aicore_obs.model.record import Payload
from aicore_obs.model.usage import NO_USAGE, Usage, count_of
from aicore_obs.protocols import RequestFacts, ResponseFacts
from aicore_obs.shapes.body import Members, is_there, joined, last, text_of, word

_ENDS = ("message-end", "stream-end")


class _Body(msgspec.Struct):
    """A whole answer, or one event of a stream."""

    id: Any = None
    response_id: Any = None
    generation_id: Any = None
    type: Any = None
    event_type: Any = None
    finish_reason: Any = None
    message: Payload = msgspec.UNSET
    usage: Payload = msgspec.UNSET
    meta: Payload = msgspec.UNSET
    # Events
    delta: Payload = msgspec.UNSET
    response: Payload = msgspec.UNSET
    # Other answers
    text: Payload = msgspec.UNSET
    generations: Payload = msgspec.UNSET
    embeddings: Payload = msgspec.UNSET


class _Counts(msgspec.Struct):
    """``usage`` (v2) or ``meta`` (v1)."""

    billed_units: Payload = msgspec.UNSET
    tokens: Payload = msgspec.UNSET
    cached_tokens: Any = None


class _Units(msgspec.Struct):
    input_tokens: Any = None
    output_tokens: Any = None
    search_units: Any = None
    images: Any = None
    image_tokens: Any = None


class _Said(msgspec.Struct):
    message: Payload = msgspec.UNSET
    content: Payload = msgspec.UNSET
    text: Payload = msgspec.UNSET
    usage: Payload = msgspec.UNSET
    finish_reason: Any = None


_bodies = Members(_Body)
_counts = Members(_Counts)
_units = Members(_Units)
_said = Members(_Said)
_NO_UNITS = _Units()


class Cohere(msgspec.Struct, frozen=True):
    """The shape."""

    name: str = "cohere"
    marks: tuple[str, ...] = ("billed_units", "tokens")

    def read(self, raw: bytes, asked: RequestFacts) -> ResponseFacts | None:  # noqa: ARG002 - a shape's duty
        """Read an answer or the events of a stream; None when it is of another shape."""
        bodies = [_inner(event) for event in _bodies.each(raw)]
        usage, usage_raw = _usage_of(bodies)
        is_known = any(body.type in _ENDS or body.event_type is not None for body in bodies)
        if usage == NO_USAGE and not is_known:
            return None
        return ResponseFacts(
            id=last(bodies, lambda body: word(body.id) or word(body.response_id) or word(body.generation_id)),
            finish_reason=last(bodies, lambda body: word(body.finish_reason)),
            usage=usage,
            usage_raw=usage_raw,
        )

    def text(self, raw: bytes) -> str | None:
        """Return the text parts of the message, or the pieces of a stream."""
        events = _bodies.each(raw)
        pieces = joined(_piece(event) for event in events)
        if pieces is not None:
            return pieces
        return last([_inner(event) for event in events], _text)


SHAPE = Cohere()


def _inner(event: _Body) -> _Body:
    """Return what the last event of a stream carries inside, as an answer."""
    if event.type == "message-end":
        said = _said.of(event.delta)
        if said is not None:
            return msgspec.structs.replace(event, usage=said.usage, finish_reason=said.finish_reason)
    if event.event_type == "stream-end":
        return _bodies.of(event.response) or event
    return event


def _usage_of(bodies: list[_Body]) -> tuple[Usage, Payload]:
    for body in reversed(bodies):
        for raw in (body.usage, body.meta):
            counts = _counts.of(raw)
            if counts is None:
                continue
            usage = _counted(counts, is_embedding=is_there(body.embeddings))
            if usage != NO_USAGE:
                return usage, raw
    return NO_USAGE, msgspec.UNSET


def _counted(given: _Counts, *, is_embedding: bool) -> Usage:
    units = _units.of(given.billed_units)
    cached = None
    if units is None or units == _NO_UNITS:
        # Nothing is said to be billed: what the model saw is all that is known.
        units = _units.of(given.tokens) or _NO_UNITS
        cached = count_of(given.cached_tokens) if units is not _NO_UNITS else None
    text, image = count_of(units.input_tokens), count_of(units.image_tokens)
    output = count_of(units.output_tokens)
    if output is None and is_embedding and (text is not None or image is not None):
        output = 0
    return Usage(
        input_tokens=text if image is None else (text or 0) + image,
        cache_read_tokens=cached,
        input_image_tokens=image,
        output_tokens=output,
        images=count_of(units.images),
        search_units=count_of(units.search_units),
    )


def _piece(event: _Body) -> str | None:
    if event.type == "content-delta":
        delta = _said.of(event.delta)
        message = None if delta is None else _said.of(delta.message)
        content = None if message is None else _said.of(message.content)
        return None if content is None else text_of(content.text)
    return text_of(event.text) if event.event_type == "text-generation" else None


def _text(body: _Body) -> str | None:
    message = _said.of(body.message)
    if message is not None:
        return joined(text_of(part.text) for part in _said.each(message.content))
    if body.text is not msgspec.UNSET:
        return text_of(body.text)
    return joined(text_of(one.text) for one in _said.each(body.generations)[:1])
