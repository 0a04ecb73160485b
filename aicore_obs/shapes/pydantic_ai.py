"""This module is where Pydantic AI's answers are read: ``ModelResponse`` and ``RequestUsage``.

Source: pydantic-ai-slim 2.68.0 (``messages.ModelResponse``, ``usage.RequestUsage``), read 2026-11-21. ``input_tokens``
contain the cache; ``details`` repeat the provider's own numbers, where the same name may mean something else.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aicore_obs.model.record import Payload
from aicore_obs.model.usage import NO_USAGE, Usage, count_of
from aicore_obs.protocols import RequestFacts, ResponseFacts
from aicore_obs.shapes.body import Members, joined, last, text_of, word


class _Response(msgspec.Struct):
    parts: Payload = msgspec.UNSET
    usage: Payload = msgspec.UNSET
    model_name: Any = None
    provider_name: Any = None
    provider_response_id: Any = None
    vendor_id: Any = None
    finish_reason: Any = None
    kind: Any = None


class _Usage(msgspec.Struct):
    input_tokens: Any = None
    cache_write_tokens: Any = None
    cache_read_tokens: Any = None
    output_tokens: Any = None
    input_audio_tokens: Any = None
    cache_audio_read_tokens: Any = None
    output_audio_tokens: Any = None
    details: Payload = msgspec.UNSET
    # Before version 1
    request_tokens: Any = None
    response_tokens: Any = None
    total_tokens: Any = None


class _Details(msgspec.Struct):
    reasoning_tokens: Any = None
    thoughts_tokens: Any = None
    web_search_requests: Any = None


class _Part(msgspec.Struct):
    part_kind: Any = None
    content: Payload = msgspec.UNSET


_responses = Members(_Response)
_usage = Members(_Usage)
_details = Members(_Details)
_parts = Members(_Part)


class PydanticAI(msgspec.Struct, frozen=True):
    """The shape."""

    name: str = "pydantic-ai"
    marks: tuple[str, ...] = ("provider_name", "model_name", "cache_audio_read_tokens")

    def read(self, raw: bytes, asked: RequestFacts) -> ResponseFacts | None:  # noqa: ARG002 - a shape's duty
        """Read a response, the responses of one run, or a usage; None when it is of another shape."""
        responses = _responses.each(raw)
        found = last(responses, lambda one: _counted(one.usage))
        usage_raw = last(responses, lambda one: None if one.usage is msgspec.UNSET else one.usage) or msgspec.UNSET
        is_known = any(one.model_name is not None or one.provider_name is not None for one in responses)
        if found is None and not is_known:
            found, usage_raw = _alone(raw)
        if found is None and not is_known:
            return None
        return ResponseFacts(
            model=last(responses, lambda one: word(one.model_name)),
            id=last(responses, lambda one: word(one.provider_response_id) or word(one.vendor_id)),
            finish_reason=last(responses, lambda one: word(one.finish_reason)),
            usage=found or NO_USAGE,
            usage_raw=msgspec.UNSET if found is None else usage_raw,
            provider=last(responses, lambda one: word(one.provider_name)),
        )

    def text(self, raw: bytes) -> str | None:
        """Return the text parts of the response."""
        return joined(
            text_of(part.content)
            for one in _responses.each(raw)
            for part in _parts.each(one.parts)
            if part.part_kind == "text"
        )


SHAPE = PydanticAI()


def _alone(raw: bytes) -> tuple[Usage | None, Payload]:
    """Return what a usage says that is kept without its response, and its object."""
    return (_counted(raw), msgspec.Raw(raw)) if raw[:1] == b"{" else (None, msgspec.UNSET)


def _counted(raw: bytes | Payload) -> Usage | None:
    given = _usage.of(raw)
    if given is None:
        return None
    details = _details.of(given.details) or _Details()
    found = Usage(
        input_tokens=_first(given.input_tokens, given.request_tokens),
        cache_read_tokens=count_of(given.cache_read_tokens),
        cache_write_tokens=count_of(given.cache_write_tokens),
        input_audio_tokens=count_of(given.input_audio_tokens),
        cache_read_audio_tokens=count_of(given.cache_audio_read_tokens),
        output_tokens=_first(given.output_tokens, given.response_tokens),
        reasoning_tokens=_first(details.reasoning_tokens, details.thoughts_tokens),
        output_audio_tokens=count_of(given.output_audio_tokens),
        total_tokens=count_of(given.total_tokens),
        web_searches=count_of(details.web_search_requests),
    )
    return found if found != NO_USAGE else None


def _first(*given: Any) -> int | None:
    return next((found for one in given if (found := count_of(one)) is not None), None)
