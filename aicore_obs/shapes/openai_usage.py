"""This module is where a usage object with OpenAI's names is read; most servers use them, and each adds its own.

OpenAI (openai 2.54.0, ``types.completion_usage``, ``types.responses.response_usage``, ``types.realtime``; API reference
read 2026-11-21): every ``*_details`` number is a subset of its total. What others add is in the comments below; names
that mean one thing only are read wherever they stand.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aicore_obs.model.record import Payload
from aicore_obs.model.usage import Usage, count_of
from aicore_obs.shapes.body import Members, in_camel_case, number, word


class Habits(msgspec.Struct, frozen=True):
    """In what a server differs that uses OpenAI's names.

    ``reasons_apart``: ``completion_tokens`` leave reasoning out, unless the total says otherwise.
    ``reports_apart``: a ``reasoning_tokens`` beside the totals is in none of them.
    ``hides_thoughts``: what the total has beyond input and output is reasoning that is nowhere else reported.
    """

    reasons_apart: bool = False
    reports_apart: bool = False
    hides_thoughts: bool = False


PLAIN = Habits()


class _Cached(msgspec.Struct):
    audio_tokens: Any = None


class _Written(msgspec.Struct):
    ephemeral_5m_input_tokens: Any = None
    ephemeral_1h_input_tokens: Any = None


class _Details(msgspec.Struct):
    cached_tokens: Any = None
    audio_tokens: Any = None
    reasoning_tokens: Any = None
    image_tokens: Any = None
    video_tokens: Any = None
    cache_write_tokens: Any = None
    # LiteLLM
    cache_creation_tokens: Any = None
    cache_creation_token_details: Payload = msgspec.UNSET
    # Realtime sessions: cached audio is inside both numbers.
    cached_tokens_details: Payload = msgspec.UNSET


class _Searches(msgspec.Struct):
    web_search_requests: Any = None


class _Usage(msgspec.Struct):
    """Numbers are checked one by one: a server that writes one of them wrongly has not written the others wrongly."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    total_tokens: Any = None
    prompt_tokens_details: Payload = msgspec.UNSET
    completion_tokens_details: Payload = msgspec.UNSET
    input_tokens: Any = None
    input_tokens_details: Payload = msgspec.UNSET
    output_tokens: Any = None
    output_tokens_details: Payload = msgspec.UNSET
    # OpenAI's own other spelling: transcriptions and realtime.
    input_token_details: Payload = msgspec.UNSET
    output_token_details: Payload = msgspec.UNSET
    # Writer
    prompt_token_details: Payload = msgspec.UNSET
    completion_token_details: Payload = msgspec.UNSET
    # Hugging Face's router, Moonshot; Mistral; DeepSeek; xAI's SDK
    cached_tokens: Any = None
    num_cached_tokens: Any = None
    prompt_cache_hit_tokens: Any = None
    prompt_cache_miss_tokens: Any = None
    cached_prompt_text_tokens: Any = None
    prompt_image_tokens: Any = None
    # Anthropic's words. Without ``prompt_tokens`` they make it Anthropic's shape, which is another; LiteLLM repeats
    # them beside ``prompt_tokens``, which already contain them.
    cache_read_input_tokens: Any = None
    cache_creation_input_tokens: Any = None
    # Pydantic AI's words, which have a shape of their own.
    cache_read_tokens: Any = None
    cache_write_tokens: Any = None
    # xAI's SDK, Perplexity
    reasoning_tokens: Any = None
    num_search_queries: Any = None
    # OpenRouter
    server_tool_use_details: Payload = msgspec.UNSET
    server_tool_use: Payload = msgspec.UNSET
    # What a price depends on, and a bill
    service_tier: Any = None
    search_context_size: Any = None
    cost: Payload = msgspec.UNSET
    cost_in_usd_ticks: Payload = msgspec.UNSET
    pydantic_ai_gateway: Payload = msgspec.UNSET
    # Transcriptions by length; Mistral's
    seconds: Any = None
    prompt_audio_seconds: Any = None


_usage, _camel = Members(_Usage), Members(in_camel_case(_Usage))
_details = Members(_Details)
_written = Members(_Written)
_cached = Members(_Cached)
_searches = Members(_Searches)
_NO_DETAILS = _Details()


class Told(msgspec.Struct, frozen=True, gc=False):
    """What a usage object says: the counts, and the words that a price depends on; ``has_bill``: a bill is inside."""

    usage: Usage
    tier: str | None = None
    search_context: str | None = None
    has_bill: bool = False


def read_usage(raw: Payload, habits: Habits = PLAIN, *, makes: str | None = None) -> Told | None:
    """Return what a usage object says, None when there is none of this shape.

    ``makes`` is what comes out where it is no text: ``"nothing"`` (embeddings: the output is 0 and the total is the
    input), ``"image"`` or ``"audio"``.
    """
    given = _given(raw)
    if given is None or _is_another(given):
        return None
    inputs = _first_details(given.prompt_tokens_details, given.input_tokens_details, given.input_token_details,
                            given.prompt_token_details)  # fmt: skip
    outputs = _first_details(given.completion_tokens_details, given.output_tokens_details, given.output_token_details,
                             given.completion_token_details)  # fmt: skip
    read = count_of(inputs.cached_tokens)
    if read is None:
        read = _first(given.cached_tokens, given.num_cached_tokens, given.prompt_cache_hit_tokens,
                      given.cached_prompt_text_tokens, given.cache_read_input_tokens)  # fmt: skip
    written = _first(inputs.cache_write_tokens, inputs.cache_creation_tokens, given.cache_creation_input_tokens)
    input_tokens = _input(given, read, written)
    total = count_of(given.total_tokens)
    output_tokens, reasoning = _output(given, outputs, input_tokens, total, habits)
    if makes == "nothing" and output_tokens is None:
        output_tokens = 0
        input_tokens = total if input_tokens is None else input_tokens
    found = Usage(
        input_tokens=input_tokens,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_5m_tokens=_part(inputs, "ephemeral_5m_input_tokens"),
        cache_write_1h_tokens=_part(inputs, "ephemeral_1h_input_tokens"),
        input_audio_tokens=count_of(inputs.audio_tokens),
        input_image_tokens=_first(inputs.image_tokens, given.prompt_image_tokens),
        input_video_tokens=count_of(inputs.video_tokens),
        cache_read_audio_tokens=_cached_audio(inputs),
        output_tokens=output_tokens,
        reasoning_tokens=reasoning,
        output_audio_tokens=_made(outputs.audio_tokens, output_tokens if makes == "audio" else None),
        output_image_tokens=_made(outputs.image_tokens, output_tokens if makes == "image" else None),
        total_tokens=total,
        web_searches=_web_searches(given),
        audio_seconds=_seconds(given),
    )
    # A part alone is no usage: other shapes have members of these names too.
    silent = output_tokens is None or (output_tokens == 0 and makes == "nothing")
    if silent and input_tokens is None and total is None and found.audio_seconds is None:
        return None
    bill = (given.cost, given.cost_in_usd_ticks, given.pydantic_ai_gateway)
    return Told(
        usage=found,
        tier=word(given.service_tier),
        search_context=word(given.search_context_size),
        has_bill=bill != _NO_BILL,
    )


_NO_BILL = (msgspec.UNSET, msgspec.UNSET, msgspec.UNSET)


def _given(raw: Payload) -> _Usage | None:
    """Return the members; as xAI's SDK and JavaScript's write them where there are none by OpenAI's names."""
    if raw is msgspec.UNSET or b'"promptTokens"' not in bytes(raw):
        return _usage.of(raw)
    return _camel.of(raw)


def _is_another(given: _Usage) -> bool:
    """Anthropic's ``input_tokens`` leave the cache out: read by this algebra they would be wrong."""
    if given.prompt_tokens is not None or given.input_tokens_details is not msgspec.UNSET:
        return False
    words = (given.cache_read_input_tokens, given.cache_creation_input_tokens, given.cache_read_tokens,
             given.cache_write_tokens)  # fmt: skip
    return any(word is not None for word in words)


def _input(given: _Usage, read: int | None, written: int | None) -> int | None:
    found = _first(given.prompt_tokens, given.input_tokens)
    if found is None:
        hit, missed = count_of(given.prompt_cache_hit_tokens), count_of(given.prompt_cache_miss_tokens)
        return None if hit is None or missed is None else hit + missed
    if given.cache_read_input_tokens is not None or given.cache_creation_input_tokens is not None:
        cached = (read or 0) + (written or 0)
        # LiteLLM adds the cache to Anthropic's input; a total that cannot contain its own part was not added to.
        return found + cached if cached > found else found
    return found


def _output(
    given: _Usage, outputs: _Details, input_tokens: int | None, total: int | None, habits: Habits
) -> tuple[int | None, int | None]:
    """Return the whole output, reasoning inside, and the reasoning."""
    said = _first(given.completion_tokens, given.output_tokens)
    beside = count_of(given.reasoning_tokens)
    reasoning = _first(outputs.reasoning_tokens) if outputs.reasoning_tokens is not None else beside
    if said is None:
        return None, reasoning
    if not reasoning:
        if habits.hides_thoughts and input_tokens is not None and total is not None and total > input_tokens + said:
            return total - input_tokens, total - input_tokens - said
        return said, reasoning
    if habits.reports_apart and beside:
        return said + reasoning, reasoning
    if (
        input_tokens is not None
        and total is not None
        and total in (input_tokens + said, input_tokens + said + reasoning)
    ):
        return total - input_tokens, reasoning
    # A part is never larger than its whole.
    apart = habits.reasons_apart or reasoning > said
    return said + reasoning if apart else said, reasoning


def _made(said: Any, all_of_it: int | None) -> int | None:
    found = count_of(said)
    return all_of_it if found is None else found


def _cached_audio(inputs: _Details) -> int | None:
    found = _cached.of(inputs.cached_tokens_details)
    return None if found is None else count_of(found.audio_tokens)


def _part(inputs: _Details, name: str) -> int | None:
    if inputs.cache_creation_token_details is msgspec.UNSET:
        return None
    found = _written.of(inputs.cache_creation_token_details)
    return None if found is None else count_of(getattr(found, name))


def _web_searches(given: _Usage) -> int | None:
    for raw in (given.server_tool_use_details, given.server_tool_use):
        found = None if raw is msgspec.UNSET else _searches.of(raw)
        if found is not None and (count := count_of(found.web_search_requests)) is not None:
            return count
    return count_of(given.num_search_queries)


def _seconds(given: _Usage) -> float | None:
    found = number(given.prompt_audio_seconds if given.seconds is None else given.seconds)
    return found if found is not None and 0 <= found < _LONGEST_S else None


_LONGEST_S = 3e10


def _first(*given: Any) -> int | None:
    for one in given:
        if one is not None and (found := count_of(one)) is not None:
            return found
    return None


def _first_details(*given: Payload) -> _Details:
    for raw in given:
        if raw is not msgspec.UNSET and (found := _details.of(raw)) is not None:
            return found
    return _NO_DETAILS
