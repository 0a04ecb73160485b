"""This module is where Google's shape is read: generateContent, its streams, embeddings, in both spellings.

Sources: google-genai 3.4.0 (``types.GenerateContentResponseUsageMetadata``, ``MediaModality``, ``TrafficType``) and
ai.google.dev/api/generate-content, read 2026-11-21. The prompt includes what came from the cache; candidates leave
thoughts out; what tools put before the model is not in the prompt. A number that is 0 is left out of the JSON. Details
per modality do not always add up to their total, so that the total is taken and the details are subsets of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from aicore_obs.model.record import Payload
from aicore_obs.model.usage import NO_USAGE, Usage, count_of
from aicore_obs.protocols import RequestFacts, ResponseFacts
from aicore_obs.shapes.bill import bill_of
from aicore_obs.shapes.body import Members, in_camel_case, is_there, joined, last, text_of, word
from aicore_obs.shapes.google_media import made

# ``Modality`` as Vertex AI's client numbers it.
_MODALITIES = {1: "TEXT", 2: "IMAGE", 3: "VIDEO", 4: "AUDIO", 5: "DOCUMENT"}
_TIERS = {"on_demand_priority": "priority", "on_demand_flex": "flex", "provisioned_throughput": "provisioned"}


class _Chunk(msgspec.Struct):
    """A whole answer or one chunk of a stream."""

    candidates: Payload = msgspec.UNSET
    usage_metadata: Payload = msgspec.UNSET
    model_version: Any = None
    response_id: Any = None
    prompt_feedback: Payload = msgspec.UNSET
    # Embeddings
    embedding: Payload = msgspec.UNSET
    embeddings: Payload = msgspec.UNSET
    predictions: Payload = msgspec.UNSET
    # Images and videos
    generated_images: Payload = msgspec.UNSET
    name: Any = None
    done: Any = None
    response: Payload = msgspec.UNSET
    result: Payload = msgspec.UNSET
    error: Payload = msgspec.UNSET


class _Counts(msgspec.Struct):
    prompt_token_count: Any = None
    candidates_token_count: Any = None
    total_token_count: Any = None
    cached_content_token_count: Any = None
    thoughts_token_count: Any = None
    tool_use_prompt_token_count: Any = None
    prompt_tokens_details: Payload = msgspec.UNSET
    candidates_tokens_details: Payload = msgspec.UNSET
    cache_tokens_details: Payload = msgspec.UNSET
    tool_use_prompt_tokens_details: Payload = msgspec.UNSET
    # Embeddings; live sessions
    prompt_token_details: Payload = msgspec.UNSET
    response_token_count: Any = None
    response_tokens_details: Payload = msgspec.UNSET
    traffic_type: Any = None
    service_tier: Any = None


class _Detail(msgspec.Struct):
    modality: Any = None
    token_count: Any = None


class _Candidate(msgspec.Struct):
    content: Payload = msgspec.UNSET
    finish_reason: Any = None
    finishReason: Any = None  # noqa: N815 - the other spelling
    index: Any = None


class _Content(msgspec.Struct):
    parts: Payload = msgspec.UNSET


class _Part(msgspec.Struct):
    text: Payload = msgspec.UNSET
    thought: Any = None


class _Embedding(msgspec.Struct):
    statistics: Payload = msgspec.UNSET
    embeddings: Payload = msgspec.UNSET


class _Statistics(msgspec.Struct):
    token_count: Any = None


_camel, _snake = Members(in_camel_case(_Chunk)), Members(_Chunk)
_CamelCounts = in_camel_case(_Counts)
_camel_counts, _snake_counts = Members(_CamelCounts), Members(_Counts)
_camel_details, _snake_details = Members(in_camel_case(_Detail)), Members(_Detail)
_candidates = Members(_Candidate)
_content = Members(_Content)
_parts = Members(_Part)
_embeddings = Members(_Embedding)
_camel_statistics, _snake_statistics = Members(in_camel_case(_Statistics)), Members(_Statistics)
_NOTHING, _NO_COUNTS = _Chunk(), _Counts()


class Google(msgspec.Struct, frozen=True):
    """The shape."""

    name: str = "google"
    marks: tuple[str, ...] = (
        "promptTokenCount", "prompt_token_count", "candidatesTokenCount", "candidates_token_count", "totalTokenCount",
        "total_token_count", "statistics", "done", "generatedImages", "generated_images", "bytesBase64Encoded",
        "gcsUri",
    )  # fmt: skip

    def read(self, raw: bytes, asked: RequestFacts) -> ResponseFacts | None:
        """Read an answer or the chunks of a stream; None when it is of another shape."""
        given = _chunks(raw)
        chunks = [_inner(chunk) for chunk in given]
        if not any(_is_google(chunk) for chunk in chunks):
            return None
        usage, usage_raw = _usage_of(chunks)
        if usage is None:
            usage = _embedded(chunks[-1])
        model = last(chunks, lambda chunk: word(chunk.model_version))
        if usage is NO_USAGE:
            usage, model = made(chunks[-1], asked, model)
            if usage is None and model is None and not is_there(chunks[-1].candidates):
                return None
        return ResponseFacts(
            model=model,
            id=last(chunks, lambda chunk: word(chunk.response_id)),
            finish_reason=last(chunks, _finish_reason),
            usage=usage or NO_USAGE,
            usage_raw=usage_raw,
            conditions=_conditions(chunks, is_batch=chunks[-1] is not given[-1]),
            bill=bill_of(usage_raw),
        )

    def text(self, raw: bytes) -> str | None:
        """Return the text of the first candidate, thoughts left out."""
        return joined(_text(_inner(chunk)) for chunk in _chunks(raw))


SHAPE = Google()


def _chunks(raw: bytes) -> list[_Chunk]:
    chunks = _camel.each(raw)
    if any(chunk.usage_metadata is not msgspec.UNSET for chunk in chunks):
        return list(chunks)
    # The SDK's objects, as it dumps them; without a usage both spellings say the same or nothing.
    snake = _snake.each(raw)
    return snake if _says_more(snake) else list(chunks)


def _inner(chunk: _Chunk) -> _Chunk:
    """Return the answer inside a line of a batch's output; an operation, which has a name, is none."""
    if chunk.response is msgspec.UNSET or chunk.name is not None or _is_google(chunk):
        return chunk
    found = (read.of(chunk.response) for read in (_camel, _snake))
    return next((one for one in found if one is not None and one.usage_metadata is not msgspec.UNSET), chunk)


def _says_more(snake: Sequence[_Chunk]) -> bool:
    return any(
        chunk.usage_metadata is not msgspec.UNSET
        or chunk.generated_images is not msgspec.UNSET
        or chunk.model_version is not None
        for chunk in snake
    )


def _is_google(chunk: _Chunk) -> bool:
    return any(
        member is not msgspec.UNSET
        for member in (chunk.usage_metadata, chunk.candidates, chunk.predictions, chunk.embeddings, chunk.embedding,
                       chunk.generated_images, chunk.prompt_feedback)
    ) or (isinstance(chunk.name, str) and "operations/" in chunk.name)  # fmt: skip


def _usage_of(chunks: Sequence[_Chunk]) -> tuple[Usage | None, Payload]:
    """Return the last usage that counts something: chunks repeat it, and the first may say only how it travels."""
    for chunk in reversed(chunks):
        counts = _counts(chunk.usage_metadata)
        usage = None if counts is None else _counted(counts)
        if usage is not None:
            return usage, chunk.usage_metadata
    return None, msgspec.UNSET


def _counts(raw: Payload) -> _Counts | None:
    if not is_there(raw):
        return None
    found = _camel_counts.of(raw)
    return _snake_counts.of(raw) if found is None or found == _NO_CAMEL_COUNTS else found


_NO_CAMEL_COUNTS = _CamelCounts()


def _counted(given: _Counts) -> Usage | None:
    prompt, tools = count_of(given.prompt_token_count), count_of(given.tool_use_prompt_token_count)
    thoughts = count_of(given.thoughts_token_count)
    said = count_of(given.candidates_token_count)
    said = count_of(given.response_token_count) if said is None else said
    if said is None and (prompt is not None or thoughts is not None):
        said = 0
    inputs = _by_modality(given.prompt_tokens_details, given.prompt_token_details)
    tool_inputs = _by_modality(given.tool_use_prompt_tokens_details)
    outputs = _by_modality(given.candidates_tokens_details, given.response_tokens_details)
    found = Usage(
        input_tokens=None if prompt is None else prompt + (tools or 0),
        cache_read_tokens=count_of(given.cached_content_token_count),
        input_audio_tokens=_both(inputs, tool_inputs, "AUDIO"),
        input_image_tokens=_both(inputs, tool_inputs, "IMAGE"),
        input_video_tokens=_both(inputs, tool_inputs, "VIDEO"),
        cache_read_audio_tokens=_by_modality(given.cache_tokens_details).get("AUDIO"),
        tool_prompt_tokens=tools,
        output_tokens=None if said is None else said + (thoughts or 0),
        reasoning_tokens=thoughts,
        output_audio_tokens=outputs.get("AUDIO"),
        output_image_tokens=outputs.get("IMAGE"),
        total_tokens=count_of(given.total_token_count),
    )
    return found if found != NO_USAGE else None


def _by_modality(*given: Payload) -> dict[str, int]:
    """Return the tokens of each modality; an entry without a count says nothing."""
    for raw in given:
        if raw is msgspec.UNSET:
            continue
        found: dict[str, int] = {}
        for detail in (*_camel_details.each(raw), *_snake_details.each(raw)):
            kind = _modality(detail.modality)
            count = count_of(detail.token_count)
            if count is not None:
                found[kind] = found.get(kind, 0) + count
        return found
    return {}


def _modality(value: Any) -> str:
    if isinstance(value, int):
        return _MODALITIES.get(value, "")
    return value.rpartition(".")[2].upper() if isinstance(value, str) else ""


def _both(inputs: dict[str, int], tools: dict[str, int], kind: str) -> int | None:
    return inputs.get(kind, 0) + tools.get(kind, 0) if kind in inputs or kind in tools else None


def _embedded(chunk: _Chunk) -> Usage:
    """Return what Vertex AI counted for each text that it embedded."""
    counts = [count for raw in (chunk.predictions, chunk.embeddings) for one in _embeddings.each(raw)
              if (count := _statistics(one)) is not None]  # fmt: skip
    return Usage(input_tokens=sum(counts), output_tokens=0) if counts else NO_USAGE


def _statistics(one: _Embedding) -> int | None:
    inner = _embeddings.of(one.embeddings)
    raw = one.statistics if inner is None else inner.statistics
    reads: tuple[Callable[[Payload], _Statistics | None], ...] = (_snake_statistics.of, _camel_statistics.of)
    found = (read(raw) for read in reads)
    return next((count for one in found if one is not None and (count := count_of(one.token_count)) is not None), None)


def _finish_reason(chunk: _Chunk) -> str | None:
    return last(_candidates.each(chunk.candidates), lambda one: word(one.finishReason) or word(one.finish_reason))


def _conditions(chunks: Sequence[_Chunk], *, is_batch: bool) -> dict[str, str]:
    found: dict[str, str] = {"batch": "true"} if is_batch else {}
    for chunk in chunks:
        counts = _counts(chunk.usage_metadata) or _NO_COUNTS
        for said in (counts.traffic_type, counts.service_tier):
            if isinstance(said, str):
                tier = said.rpartition(".")[2].lower()
                found["tier"] = _TIERS.get(tier, tier)
    return found


def _text(chunk: _Chunk) -> str | None:
    for candidate in _candidates.each(chunk.candidates):
        if candidate.index:
            continue
        content = _content.of(candidate.content)
        parts = [] if content is None else _parts.each(content.parts)
        return joined(text_of(part.text) for part in parts if part.thought is not True)
    return None
