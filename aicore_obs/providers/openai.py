"""This module is where OpenAI's shapes are described: chat completions, Responses, embeddings, and their streams.

Many servers answer in these shapes. Usage follows the API reference (platform.openai.com/docs/api-reference, read
2026-11-21): every ``*_details`` number is a subset of its total, ``total_tokens`` is their sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from aicore_obs.model.record import Payload
from aicore_obs.model.usage import NO_USAGE, Usage, count_of, settled
from aicore_obs.protocols import RequestFacts, ResponseFacts

name = "openai"
hosts = ("api.openai.com",)


class _Request(msgspec.Struct):
    model: Any = None
    temperature: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    max_tokens: Any = None


class _Choice(msgspec.Struct):
    index: Any = None
    finish_reason: Any = None
    message: Payload = msgspec.UNSET
    delta: Payload = msgspec.UNSET
    text: Any = None


class _Body(msgspec.Struct):
    """A chat completion, a chunk of one, a Responses body, or (``response``) one of its stream's events."""

    id: Any = None
    model: Any = None
    usage: Payload = msgspec.UNSET
    choices: Payload = msgspec.UNSET
    status: Any = None
    output: Payload = msgspec.UNSET
    output_text: Any = None
    response: Payload = msgspec.UNSET


class _Said(msgspec.Struct):
    content: Any = None


class _Item(msgspec.Struct):
    """One item of a Responses body's output."""

    content: Any = None


class _Details(msgspec.Struct):
    cached_tokens: Any = None
    cache_write_tokens: Any = None
    audio_tokens: Any = None
    image_tokens: Any = None
    reasoning_tokens: Any = None


class _Usage(msgspec.Struct):
    """Numbers are checked one by one: a server that writes one of them wrongly has not written the others wrongly."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    input_tokens: Any = None
    output_tokens: Any = None
    total_tokens: Any = None
    prompt_tokens_details: Payload = msgspec.UNSET
    completion_tokens_details: Payload = msgspec.UNSET
    input_tokens_details: Payload = msgspec.UNSET
    output_tokens_details: Payload = msgspec.UNSET
    # Anthropic's word: its ``input_tokens`` leave the cache out, so that shape is not this one.
    cache_read_input_tokens: Any = None
    cache_creation_input_tokens: Any = None


_request = msgspec.json.Decoder(_Request)
_body = msgspec.json.Decoder(_Body)
_bodies = msgspec.json.Decoder(list[_Body])
_list = msgspec.json.Decoder(list[msgspec.Raw])
_choices = msgspec.json.Decoder(list[_Choice])
_items = msgspec.json.Decoder(list[_Item])
_said = msgspec.json.Decoder(_Said)
_usage = msgspec.json.Decoder(_Usage)
_details = msgspec.json.Decoder(_Details)
_NO_DETAILS = _Details()
_NOT_ASKED = RequestFacts()


def read_request(raw: bytes) -> RequestFacts:
    """Read model, temperature and token limit of a request."""
    request = _decoded(_request, raw)
    if request is None:
        return RequestFacts()
    limit = request.max_tokens
    if limit is None:
        limit = request.max_completion_tokens if request.max_output_tokens is None else request.max_output_tokens
    return RequestFacts(
        model=_text(request.model),
        temperature=_number(request.temperature),
        max_tokens=count_of(limit),
    )


def read_response(raw: bytes, asked: RequestFacts = _NOT_ASKED) -> ResponseFacts:  # noqa: ARG001 - a duty of the protocol
    """Read a body or a list of stream events; of a stream, the last value that was said counts."""
    bodies = _read_bodies(raw)
    usage, usage_raw = NO_USAGE, cast("Payload", msgspec.UNSET)
    for body in reversed(bodies):
        found = _read_usage(body.usage)
        if found is not None:
            usage, usage_raw = found, body.usage
            break
    return ResponseFacts(
        model=_last(_text(body.model) for body in bodies),
        id=_last(_text(body.id) for body in bodies),
        finish_reason=_last(_finish_reason(body) for body in bodies),
        usage=usage,
        usage_raw=usage_raw,
    )


def read_text(raw: bytes) -> str | None:
    """Return the text of the first choice, or of all output items of a Responses body."""
    texts = [text for body in _read_bodies(raw) if (text := _body_text(body)) is not None]
    return "".join(texts) if texts else None


def _read_bodies(raw: bytes) -> list[_Body]:
    if raw[:1] == b"[":
        bodies = _decoded(_bodies, raw)
        if bodies is None:  # something in the list is no event, such as the "[DONE]" at a stream's end
            each = (_decoded(_body, one) for one in _decoded(_list, raw) or ())
            bodies = [body for body in each if body is not None]
    else:
        body = _decoded(_body, raw)
        bodies = [body] if body is not None else []
    # The last events of a Responses stream carry the whole body inside.
    return [body if body.response is msgspec.UNSET else _decoded(_body, body.response) or body for body in bodies]


def _finish_reason(body: _Body) -> str | None:
    for choice in _decoded(_choices, body.choices) or ():
        if isinstance(choice.finish_reason, str):
            return choice.finish_reason
    return _text(body.status)


def _body_text(body: _Body) -> str | None:
    for choice in _decoded(_choices, body.choices) or ():
        if choice.index:  # with n > 1, a chunk may be of another choice
            continue
        said = _decoded(_said, choice.message) or _decoded(_said, choice.delta)
        return _content_text(said.content) if said is not None else _text(choice.text)
    if isinstance(body.output_text, str):
        return body.output_text
    texts = [_content_text(item.content) for item in _decoded(_items, body.output) or ()]
    return "".join(text for text in texts if text) if any(text is not None for text in texts) else None


def _content_text(content: Any) -> str | None:
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return _text(content)


def _read_usage(raw: Payload) -> Usage | None:
    """Return the normal form of a usage object, None when there is none of this shape."""
    given = _decoded(_usage, raw)
    if given is None or given.cache_read_input_tokens is not None or given.cache_creation_input_tokens is not None:
        return None
    inputs = _first_details(given.prompt_tokens_details, given.input_tokens_details)
    outputs = _first_details(given.completion_tokens_details, given.output_tokens_details)
    input_tokens = count_of(given.input_tokens if given.prompt_tokens is None else given.prompt_tokens)
    output_tokens = count_of(given.output_tokens if given.completion_tokens is None else given.completion_tokens)
    usage = Usage(
        input_tokens=input_tokens,
        cache_read_tokens=count_of(inputs.cached_tokens),
        cache_write_tokens=count_of(inputs.cache_write_tokens),
        input_audio_tokens=count_of(inputs.audio_tokens),
        input_image_tokens=count_of(inputs.image_tokens),
        output_tokens=output_tokens,
        reasoning_tokens=count_of(outputs.reasoning_tokens),
        output_audio_tokens=count_of(outputs.audio_tokens),
        output_image_tokens=count_of(outputs.image_tokens),
        total_tokens=count_of(given.total_tokens),
    )
    return settled(usage) if usage != NO_USAGE else None


def _first_details(*given: Payload) -> _Details:
    found = (_decoded(_details, one) for one in given)
    return next((one for one in found if one is not None), _NO_DETAILS)


def _decoded(decoder: msgspec.json.Decoder[Any], raw: bytes | Payload) -> Any:
    """Return what a decoder makes of raw JSON, None where it is absent, null or of another shape."""
    if raw is msgspec.UNSET:
        return None
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _last(values: Iterable[str | None]) -> str | None:
    found = [value for value in values if value is not None]
    return found[-1] if found else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # JSON's integers have no end
        return None
