"""This module is where the attributes of tracing spans are read: OpenTelemetry, OpenLLMetry, OpenInference.

Sources: the GenAI conventions (open-telemetry/semantic-conventions-genai, read 2026-11-21) and their names up to 1.36
(opentelemetry-semantic-conventions 0.66b2), OpenLLMetry (opentelemetry-semantic-conventions-ai 0.5.1), OpenInference
(openinference-semantic-conventions 0.1.42). By all of them the input contains the cache; producers of Anthropic's
numbers disagree (langfuse/langfuse issue 12306): where the cache is more than the input, it was left out, and is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from aicore_obs.model.cost import Bill
from aicore_obs.model.record import Payload
from aicore_obs.model.usage import NO_USAGE, Usage, count_of
from aicore_obs.protocols import RequestFacts, ResponseFacts
from aicore_obs.shapes.bill import amount
from aicore_obs.shapes.body import Members, joined, text_of, word

# What is wanted → the attributes that say it, newest first.
_NAMES: dict[str, tuple[str, ...]] = {
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"),
    "model": ("gen_ai.response.model", "llm.response.model_name", "gen_ai.request.model", "llm.model_name",
              "llm.request.model_name", "embedding.model_name"),
    "id": ("gen_ai.response.id", "llm.response.id"),
    "kind": ("gen_ai.operation.name", "llm.request.type", "openinference.span.kind"),
    "tier": ("openai.response.service_tier", "gen_ai.openai.response.service_tier"),
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens",
                     "llm.token_count.prompt"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens",
                      "llm.token_count.completion"),
    "total_tokens": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total"),
    "cache_read_tokens": ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
                          "gen_ai.usage.details.cache_read_tokens", "llm.token_count.prompt_details.cache_read",
                          "llm.token_count.prompt_details.cache_input"),
    "cache_write_tokens": ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens",
                           "gen_ai.usage.cache_creation_input_tokens", "gen_ai.usage.cache_write_input_tokens",
                           "gen_ai.usage.details.cache_write_tokens", "llm.token_count.prompt_details.cache_write"),
    "reasoning_tokens": ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
                         "gen_ai.usage.details.reasoning_tokens", "llm.usage.reasoning_tokens",
                         "llm.token_count.completion_details.reasoning"),
    "input_audio_tokens": ("gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio"),
    "input_image_tokens": ("gen_ai.usage.image.input_tokens",),
    "input_video_tokens": ("gen_ai.usage.video.input_tokens",),
    "output_audio_tokens": ("gen_ai.usage.audio.output_tokens", "llm.token_count.completion_details.audio"),
    "cost": ("llm.cost.total", "operation.cost"),
    "input_cost": ("llm.cost.prompt",),
    "output_cost": ("llm.cost.completion",),
    "messages": ("gen_ai.output.messages",),
    "text": ("gen_ai.completion.0.content", "llm.output_messages.0.message.content",
             "llm.output_messages.0.message.contents.0.message_content.text"),
    # Where it is the body of an SDK's answer, as OpenInference keeps it, that has the id.
    "body": ("output.value",),
    "finish_reason": ("gen_ai.response.finish_reasons", "llm.finish_reason"),
}  # fmt: skip
_COUNTS = tuple(name for name in _NAMES if name in Usage.__struct_fields__)
# Kinds of calls that put nothing out.
_SILENT = ("embeddings", "embedding", "EMBEDDING", "rerank", "RERANKER")


class _Span(msgspec.Struct):
    attributes: Payload = msgspec.UNSET


class _Body(msgspec.Struct):
    id: Any = None


class _Attribute(msgspec.Struct):
    """One attribute as OTLP writes it."""

    key: Any = None
    value: Payload = msgspec.UNSET


class _Message(msgspec.Struct):
    parts: Payload = msgspec.UNSET
    finish_reason: Any = None


class _Part(msgspec.Struct):
    type: Any = None
    content: Payload = msgspec.UNSET


_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_value = msgspec.json.Decoder()
_span = Members(_Span)
_body = Members(_Body)
_attributes = Members(_Attribute)
_messages = Members(_Message)
_parts = Members(_Part)
_encoder = msgspec.json.Encoder()


class Spans(msgspec.Struct, frozen=True):
    """The shape."""

    name: str = "otel"
    marks: tuple[str, ...] = ("gen_ai.", "llm.")

    def read(self, raw: bytes, asked: RequestFacts) -> ResponseFacts | None:  # noqa: ARG002 - a shape's duty
        """Read the attributes of one span; None when there is none of these."""
        given = _given(raw)
        counts = {name: count for name in _COUNTS if (count := count_of(_found(given, name))) is not None}
        model, provider = word(_found(given, "model")), word(_found(given, "provider"))
        if not counts and model is None and provider is None:
            return None
        if counts and "output_tokens" not in counts and _found(given, "kind") in _SILENT:
            counts["output_tokens"] = 0
        tier = word(_found(given, "tier"))
        return ResponseFacts(
            model=model,
            id=response_id(given),
            finish_reason=_finish_reason(given),
            usage=_inclusive(Usage(**counts)) if counts else NO_USAGE,
            usage_raw=_raw(given) if counts else msgspec.UNSET,
            provider=provider,
            conditions={} if tier is None else {"tier": tier.lower()},
            bill=_bill(given),
        )

    def text(self, raw: bytes) -> str | None:
        """Return the text of the first answer, where the span has content."""
        given = _given(raw)
        text = word(_found(given, "text"))
        if text is not None:
            return text
        messages = _messages.each(_as_json(given))[:1]
        return joined(
            text_of(part.content) for one in messages for part in _parts.each(one.parts) if part.type == "text"
        )


SHAPE = Spans()


def response_id(given: Mapping[str, Any]) -> str | None:
    """Return the provider's id of the answer, by the attributes of a span as plain values; None where it has none."""
    told = word(_found(given, "id"))
    body = word(_found(given, "body"))
    if told is not None or body is None or not body.startswith("{"):
        return told
    found = _body.of(body.encode(errors="replace"))
    return None if found is None else word(found.id)


def _given(raw: bytes) -> dict[str, Any]:
    """Return the attributes that are looked at, by name."""
    if b"gen_ai." not in raw and b"llm." not in raw:
        return {}
    span = _span.of(raw)
    if span is not None and span.attributes is not msgspec.UNSET:
        raw = bytes(span.attributes)
    try:
        members = _members.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        members = {one.key: one.value for one in _attributes.each(raw)
                   if isinstance(one.key, str) and one.value is not msgspec.UNSET}  # fmt: skip
    return {name: value for name, given in members.items() if name in _KNOWN and (value := _plain(given)) is not None}


_KNOWN = frozenset(name for names in _NAMES.values() for name in names)


def _plain(raw: msgspec.Raw) -> Any:
    """Return an attribute's value; OTLP wraps it in its type, and writes integers as text."""
    try:
        value = _value.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(value, dict):
        return value
    whole = value.get("intValue")
    if isinstance(whole, str) and whole.isascii() and whole.isdigit() and len(whole) < _MOST_DIGITS:
        return int(whole)
    return next((value[kind] for kind in ("intValue", "stringValue", "doubleValue") if kind in value), None)


_MOST_DIGITS = 20


def _found(given: Mapping[str, Any], wanted: str) -> Any:
    return next((given[name] for name in _NAMES[wanted] if name in given), None)


def _inclusive(usage: Usage) -> Usage:
    cached = (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
    if usage.input_tokens is None or cached <= usage.input_tokens:
        return usage
    return msgspec.structs.replace(usage, input_tokens=usage.input_tokens + cached)


def _raw(given: dict[str, Any]) -> msgspec.Raw:
    """Return the counts as an object of their own; the span holds them among everything else."""
    told = {name: given[name] for field in _COUNTS for name in _NAMES[field] if name in given}
    return msgspec.Raw(_encoder.encode(told))


def _bill(given: dict[str, Any]) -> Bill | None:
    """Return what the producer of the span reckoned; the float's shortest text is what it wrote."""
    name = next((name for name in _NAMES["cost"] if name in given), None)
    total = None if name is None else _amount(given[name])
    if total is None or name is None:
        return None
    return Bill(
        total=total,
        input=_amount(_found(given, "input_cost")),
        output=_amount(_found(given, "output_cost")),
        path=name,
        is_estimate=True,
    )


def _amount(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return amount(msgspec.Raw(repr(value).encode()))


def _finish_reason(given: dict[str, Any]) -> str | None:
    value = _found(given, "finish_reason")
    if isinstance(value, list):
        return next((one for one in value if isinstance(one, str)), None)
    return word(value)


def _as_json(given: dict[str, Any]) -> bytes:
    value = _found(given, "messages")
    return value.encode(errors="replace") if isinstance(value, str) else _encoder.encode(value)
