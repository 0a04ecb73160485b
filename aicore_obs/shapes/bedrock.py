"""This module is where Amazon Bedrock's shapes are read: converse, its stream, and the native bodies of invoke_model.

Sources: botocore 1.44.5 (``bedrock-runtime``: ``TokenUsage``, ``CacheDetail``, ``ConverseStreamMetadataEvent``,
``ServiceTier``) and the model parameter pages of the user guide (docs.aws.amazon.com/bedrock), read 2026-11-21.
``inputTokens`` leave the cache out, ``totalTokens`` contain it. Bodies name no model: the request's ``modelId`` does.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec

from aicore_obs.model.record import Payload
from aicore_obs.model.usage import NO_USAGE, Usage, count_of
from aicore_obs.protocols import RequestFacts, ResponseFacts
from aicore_obs.shapes.bill import bill_of
from aicore_obs.shapes.body import Members, is_there, joined, last, text_of, word


class _Body(msgspec.Struct, rename="camel"):
    """A body of converse, one event of its stream, or a native body."""

    output: Payload = msgspec.UNSET
    stop_reason: Any = None
    usage: Payload = msgspec.UNSET
    service_tier: Payload = msgspec.UNSET
    # Events of converse_stream; of invoke_model_with_response_stream (the bytes are JSON in base64)
    metadata: Payload = msgspec.UNSET
    content_block_delta: Payload = msgspec.UNSET
    message_stop: Payload = msgspec.UNSET
    chunk: Payload = msgspec.UNSET
    # What boto3 adds, and where invoke_model puts the model's own body
    response_metadata: Payload = msgspec.field(name="ResponseMetadata", default=msgspec.UNSET)
    headers: Payload = msgspec.UNSET
    body: Payload = msgspec.UNSET
    # Titan
    input_text_token_count: Any = None
    total_output_text_token_count: Any = None
    results: Payload = msgspec.UNSET
    output_text: Payload = msgspec.UNSET
    completion_reason: Any = None
    embedding: Payload = msgspec.UNSET
    embeddings_by_type: Payload = msgspec.UNSET
    # Llama
    generation: Payload = msgspec.UNSET
    prompt_token_count: Any = msgspec.field(name="prompt_token_count", default=None)
    generation_token_count: Any = msgspec.field(name="generation_token_count", default=None)
    llama_stop: Any = msgspec.field(name="stop_reason", default=None)
    metrics: Payload = msgspec.field(name="amazon-bedrock-invocationMetrics", default=msgspec.UNSET)


class _Usage(msgspec.Struct, rename="camel"):
    input_tokens: Any = None
    output_tokens: Any = None
    total_tokens: Any = None
    cache_read_input_tokens: Any = None
    cache_write_input_tokens: Any = None
    cache_details: Payload = msgspec.UNSET
    # Nova's own names, which converse repeats
    cache_read_input_token_count: Any = None
    cache_write_input_token_count: Any = None
    # The invocation metrics of a stream
    input_token_count: Any = None
    output_token_count: Any = None


class _Part(msgspec.Struct, rename="camel"):
    """Whatever holds one thing that is wanted."""

    usage: Payload = msgspec.UNSET
    service_tier: Payload = msgspec.UNSET
    type: Any = None
    message: Payload = msgspec.UNSET
    content: Payload = msgspec.UNSET
    delta: Payload = msgspec.UNSET
    text: Payload = msgspec.UNSET
    encoded: Any = msgspec.field(name="bytes", default=None)
    stop_reason: Any = None
    token_count: Any = None
    output_text: Payload = msgspec.UNSET
    completion_reason: Any = None
    ttl: Any = None
    input_tokens: Any = None
    headers: Payload = msgspec.field(name="HTTPHeaders", default=msgspec.UNSET)


class _Headers(msgspec.Struct, rename=lambda name: "x-amzn-bedrock-" + name.replace("_", "-")):
    input_token_count: Any = None
    output_token_count: Any = None


_bodies = Members(_Body)
_usage = Members(_Usage)
_parts = Members(_Part)
_headers = Members(_Headers)


class Bedrock(msgspec.Struct, frozen=True):
    """The shape."""

    name: str = "bedrock"
    marks: tuple[str, ...] = (
        "inputTokens", "outputTokens", "inputTextTokenCount", "generation_token_count",
        "amazon-bedrock-invocationMetrics", "x-amzn-bedrock-input-token-count", "x-amzn-bedrock-output-token-count",
    )  # fmt: skip

    def read(self, raw: bytes, asked: RequestFacts) -> ResponseFacts | None:  # noqa: ARG002 - a shape's duty
        """Read a body or the events of a stream; None when it is of another shape."""
        bodies = _bodies.each(raw)
        usage, usage_raw = _usage_of(bodies)
        if usage is NO_USAGE and not any(map(_is_bedrock, bodies)):
            return None
        return ResponseFacts(
            finish_reason=last(bodies, _finish_reason),
            usage=usage,
            usage_raw=usage_raw,
            conditions=_conditions(bodies),
            bill=bill_of(usage_raw),
        )

    def text(self, raw: bytes) -> str | None:
        """Return the text of the message, or of the pieces of a stream."""
        return joined(_text(body) for body in _bodies.each(raw))


SHAPE = Bedrock()


def unwrapped(raw: bytes) -> bytes:
    """Return the model's own JSON where boto3's envelope is around it: a ``body``, or a stream's ``chunk.bytes``."""
    if b'"chunk"' not in raw and b'"body"' not in raw:
        return raw
    found: list[bytes] = []
    for event in _bodies.each(raw):
        chunk = None if event.chunk is msgspec.UNSET else _parts.of(event.chunk)
        inner = _from_base64(chunk.encoded) if chunk is not None else _own_body(event.body)
        if inner is not None:
            found.append(inner)
    if not found:
        return raw
    return found[0] if raw[:1] == b"{" else b"[%b]" % b",".join(found)


def _from_base64(value: Any) -> bytes | None:
    if not isinstance(value, str):
        return None
    if value.startswith("{"):
        return value.encode(errors="replace")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None


def _own_body(raw: Payload) -> bytes | None:
    if raw is msgspec.UNSET:
        return None
    if bytes(raw)[:1] == b"{":
        return bytes(raw)
    return _from_base64(text_of(raw))


def _is_bedrock(body: _Body) -> bool:
    return any(is_there(one) for one in (body.content_block_delta, body.message_stop)) or (
        body.stop_reason is not None and is_there(body.output)
    )


def _usage_of(bodies: Sequence[_Body]) -> tuple[Usage, Payload]:
    for body in reversed(bodies):
        for raw in (body.usage, _inside(body.metadata), body.metrics):
            usage = _counted(raw)
            if usage is not NO_USAGE:
                return usage, raw
        usage = _native(body)
        if usage != NO_USAGE:
            return usage, msgspec.UNSET
    return next(
        (found for body in reversed(bodies) if (found := _of_headers(body)) != NO_USAGE), NO_USAGE
    ), msgspec.UNSET


def _inside(metadata: Payload) -> Payload:
    found = _parts.of(metadata)
    return msgspec.UNSET if found is None else found.usage


def _counted(raw: Payload) -> Usage:
    given = _usage.of(raw)
    if given is None:
        return NO_USAGE
    fresh = _first(given.input_tokens, given.input_token_count)
    output = _first(given.output_tokens, given.output_token_count)
    read = _first(given.cache_read_input_tokens, given.cache_read_input_token_count)
    written = _first(given.cache_write_input_tokens, given.cache_write_input_token_count)
    if fresh is None and output is None:
        return NO_USAGE
    return Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_5m_tokens=_written(given.cache_details, "5m"),
        cache_write_1h_tokens=_written(given.cache_details, "1h"),
        output_tokens=output,
        total_tokens=count_of(given.total_tokens),
    )


def _written(details: Payload, ttl: str) -> int | None:
    counts = [count for one in _parts.each(details) if one.ttl == ttl
              and (count := count_of(one.input_tokens)) is not None]  # fmt: skip
    return sum(counts) if counts else None


def _native(body: _Body) -> Usage:
    """Return what the bodies of Titan and Llama count at their top."""
    if body.generation_token_count is not None or body.generation is not msgspec.UNSET:
        return Usage(
            input_tokens=count_of(body.prompt_token_count), output_tokens=count_of(body.generation_token_count)
        )
    counts = [count for one in _parts.each(body.results) if (count := count_of(one.token_count)) is not None]
    output = sum(counts) if counts else count_of(body.total_output_text_token_count)
    is_embedding = body.embedding is not msgspec.UNSET or body.embeddings_by_type is not msgspec.UNSET
    if output is None and is_embedding and body.input_text_token_count is not None:
        output = 0
    return Usage(input_tokens=count_of(body.input_text_token_count), output_tokens=output)


def _of_headers(body: _Body) -> Usage:
    """Return what the headers of invoke_model say, where the body counts nothing (Mistral's models)."""
    metadata = _parts.of(body.response_metadata)
    found = _headers.of(body.headers if metadata is None else metadata.headers)
    if found is None:
        return NO_USAGE
    return Usage(input_tokens=_digits(found.input_token_count), output_tokens=_digits(found.output_token_count))


def _digits(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < _MOST_DIGITS:
        value = int(value)
    return count_of(value)


_MOST_DIGITS = 20


def _finish_reason(body: _Body) -> str | None:
    stopped = None if body.message_stop is msgspec.UNSET else _parts.of(body.message_stop)
    found = word(body.stop_reason) or word(body.llama_stop) or word(body.completion_reason)
    if stopped is not None or found is not None:
        return found or (None if stopped is None else word(stopped.stop_reason))
    return last(_parts.each(body.results), lambda one: word(one.completion_reason))


def _conditions(bodies: Sequence[_Body]) -> dict[str, str]:
    for body in reversed(bodies):
        metadata = _parts.of(body.metadata)
        for raw in (body.service_tier, msgspec.UNSET if metadata is None else metadata.service_tier):
            tier = _parts.of(raw)
            said = text_of(raw) if tier is None else word(tier.type)
            if said is not None:
                return {"tier": said.lower()}
    return {}


def _text(body: _Body) -> str | None:
    if body.content_block_delta is not msgspec.UNSET:
        event = _parts.of(body.content_block_delta)
        delta = None if event is None else _parts.of(event.delta)
        return None if delta is None else text_of(delta.text)
    output = _parts.of(body.output)
    message = None if output is None else _parts.of(output.message)
    if message is not None:
        return joined(text_of(part.text) for part in _parts.each(message.content))
    for own in (body.generation, body.output_text):
        if own is not msgspec.UNSET:
            return text_of(own)
    return joined(text_of(one.output_text) for one in _parts.each(body.results))


def _first(*given: Any) -> int | None:
    return next((found for one in given if (found := count_of(one)) is not None), None)
