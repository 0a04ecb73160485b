"""This module is where requests are read: what was asked for, in the names that the SDKs use.

The names do not collide, so that one reading serves all providers; a provider with another shape brings its own.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import astuple

from aicore_obs.model.record import Payload
from aicore_obs.model.usage import NO_USAGE, Usage, count_of
from aicore_obs.protocols import RequestFacts
from aicore_obs.shapes.body import Members, in_camel_case, is_there, number, seconds, text_of, word


class _Config(msgspec.Struct):
    """What stands one level down (Google's ``config``, Bedrock's ``inferenceConfig``, …), in snake case."""

    temperature: Any = None
    max_tokens: Any = None
    max_output_tokens: Any = None
    max_token_count: Any = None
    max_new_tokens: Any = None
    num_predict: Any = None
    service_tier: Any = None
    # Images and videos
    number_of_images: Any = None
    number_of_videos: Any = None
    sample_count: Any = None
    duration_seconds: Any = None
    resolution: Any = None
    generate_audio: Any = None
    image_size: Any = None
    sample_image_size: Any = None
    image_config: Payload = msgspec.UNSET


class _Search(msgspec.Struct):
    search_context_size: Any = None
    search_type: Any = None


class _Tier(msgspec.Struct):
    type: Any = None


class _Request(msgspec.Struct):
    # Most requests have no more than these.
    model: Any = None
    temperature: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    model_id: Any = msgspec.field(name="modelId", default=None)
    # Where it goes
    base_url: Any = None
    api_base: Any = None
    azure_endpoint: Any = None
    endpoint_url: Any = None
    location: Any = None
    # What a price may depend on
    service_tier: Any = None
    tier: Payload = msgspec.field(name="serviceTier", default=msgspec.UNSET)
    processing: Any = None
    speed: Any = None
    inference_geo: Any = None
    size: Any = None
    quality: Any = None
    n: Any = None
    seconds: Any = None
    web_search_options: Payload = msgspec.UNSET
    # What only the request knows of speech
    input: Payload = msgspec.UNSET
    input_len_chars: Any = None
    voice: Any = None
    # One level down
    config: Payload = msgspec.UNSET
    generation_config: Payload = msgspec.field(name="generationConfig", default=msgspec.UNSET)
    inference_config: Payload = msgspec.field(name="inferenceConfig", default=msgspec.UNSET)
    options: Payload = msgspec.UNSET
    parameters: Payload = msgspec.UNSET
    body: Payload = msgspec.UNSET


_request = Members(_Request)
_config = Members(_Config)
_camel = Members(in_camel_case(_Config))
_search = Members(_Search)
_tier = Members(_Tier)
_NO_CONFIG = _Config()
_PLAIN = 4
_NOTHING_MORE = astuple(_Request())[_PLAIN:]
_LEVELS = ("config", "generation_config", "inference_config", "options", "parameters", "body")
_LIMITS = ("max_tokens", "max_output_tokens", "max_token_count", "max_new_tokens", "num_predict")
_HOW_MANY = ("number_of_images", "number_of_videos", "sample_count")
NOTHING_ASKED = RequestFacts()


def read_request(raw: bytes) -> RequestFacts:
    """Read what was asked for: model, limits, the server's address, and what a price may depend on."""
    asked = _request.of(raw)
    if asked is None:
        return NOTHING_ASKED
    if astuple(asked)[_PLAIN:] == _NOTHING_MORE:
        limit = asked.max_completion_tokens if asked.max_tokens is None else asked.max_tokens
        return RequestFacts(model=word(asked.model), temperature=number(asked.temperature), max_tokens=count_of(limit))
    config = _nested(asked)
    limit = asked.max_tokens
    if limit is None:
        limit = asked.max_completion_tokens if asked.max_output_tokens is None else asked.max_output_tokens
    if limit is None:
        limit = _one_of(config, _LIMITS)
    answers = count_of(_one_of(config, _HOW_MANY))
    answers = count_of(asked.n) if answers is None else answers
    return RequestFacts(
        model=_model(asked),
        temperature=number(config.temperature if asked.temperature is None else asked.temperature),
        max_tokens=count_of(limit),
        base_url=_base_url(asked),
        answers=answers,
        counts=_counts(asked, config, answers),
        conditions=_conditions(asked, config),
    )


def _nested(asked: _Request) -> _Config:
    for name in _LEVELS:
        raw = getattr(asked, name)
        if raw is not msgspec.UNSET:
            text = text_of(raw)  # the body of Bedrock's invoke_model is JSON in a text
            return _level(raw if text is None else text.encode(errors="replace"))
    return _NO_CONFIG


def _level(raw: bytes | Payload) -> _Config:
    both = zip(astuple(_config.of(raw) or _NO_CONFIG), astuple(_camel.of(raw) or _NO_CONFIG), strict=True)
    return _Config(*(camel if snake is None or snake is msgspec.UNSET else snake for snake, camel in both))


def _one_of(members: object, names: tuple[str, ...]) -> Any:
    if members is _NO_CONFIG:
        return None
    return next((value for name in names if (value := getattr(members, name)) is not None), None)


def _model(asked: _Request) -> str | None:
    return word(asked.model) or word(asked.model_id)


def _base_url(asked: _Request) -> str | None:
    given = (asked.base_url, asked.api_base, asked.azure_endpoint, asked.endpoint_url)
    return next((one for one in given if isinstance(one, str) and one), None)


def _counts(asked: _Request, config: _Config, answers: int | None) -> Usage:
    """Return what is only known by asking: characters to be spoken, images, seconds of video of all answers."""
    spoken = _spoken(asked)
    each_s = seconds(config.duration_seconds)
    if each_s is None:
        each_s = seconds(asked.seconds)
    if spoken is None and each_s is None and answers is None:
        return NO_USAGE
    video_s = None if each_s is None else each_s * (1 if answers is None else answers)
    return Usage(input_characters=spoken, images=answers if each_s is None else None, video_seconds=seconds(video_s))


def _spoken(asked: _Request) -> int | None:
    length = count_of(asked.input_len_chars)
    if length is not None:
        return length
    model = word(asked.model) or ""
    # ``input`` is also what embeddings and the Responses API are given; a voice is only asked for to be spoken.
    if asked.voice is None and "tts" not in model:
        return None
    text = text_of(asked.input)
    return None if text is None else len(text)


def _conditions(asked: _Request, config: _Config) -> dict[str, str]:
    found = {
        "tier": _tier_of(asked) or config.service_tier,
        "batch": "true" if asked.processing == "batch" else None,
        "speed": asked.speed,
        "region": asked.inference_geo or asked.location,
        "size": asked.size or config.image_size or config.sample_image_size or _image_size(config),
        "quality": asked.quality,
        "resolution": config.resolution,
        "audio": _flag(config.generate_audio),
    }
    if is_there(asked.web_search_options):
        search = _search.of(asked.web_search_options) or _Search()
        # Without a word about it the context is a medium one; that a search was asked for is worth knowing.
        found |= {"search_context": search.search_context_size, "search_type": search.search_type}
    return {name: value.lower() for name, value in found.items() if isinstance(value, str) and value}


def _tier_of(asked: _Request) -> Any:
    if asked.tier is not msgspec.UNSET:
        tier = _tier.of(asked.tier)  # Bedrock's is an object
        return text_of(asked.tier) if tier is None else tier.type
    return asked.service_tier


def _image_size(config: _Config) -> Any:
    return None if config.image_config is msgspec.UNSET else _level(config.image_config).image_size


def _flag(value: Any) -> str | None:
    return str(value).lower() if isinstance(value, bool) else None
