"""This module is where Google's images and videos are measured, which come without a usage.

Sources: google-genai 3.4.0 (``types.GenerateVideosOperation``, ``GenerateImagesResponse``) and the pages of Veo and
Imagen (ai.google.dev/gemini-api/docs/video, /imagen), read 2026-11-21. A video is billed by the second, once its
operation is done, for each one that came; how long it is, only the request says. What a filter took away is not billed.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

import msgspec

from aicore_obs.model.record import Payload
from aicore_obs.model.usage import Usage
from aicore_obs.protocols import RequestFacts
from aicore_obs.shapes.body import Members, is_there, listed

_MODEL = re.compile(r"(?:^|/)models/([^/]+)/operations/")


class Made(Protocol):
    """The members of an answer that are looked at."""

    predictions: Payload
    generated_images: Payload
    name: Any
    done: Any
    response: Payload
    result: Payload
    error: Payload


class _Videos(msgspec.Struct):
    """Where the samples are: the Gemini API, its SDK (also by the REST names), Vertex AI."""

    video_response: Payload = msgspec.field(name="generateVideoResponse", default=msgspec.UNSET)
    samples: Payload = msgspec.field(name="generatedSamples", default=msgspec.UNSET)
    generated_videos: Payload = msgspec.UNSET
    camel_videos: Payload = msgspec.field(name="generatedVideos", default=msgspec.UNSET)
    videos: Payload = msgspec.UNSET
    filtered: Any = msgspec.field(name="raiMediaFilteredCount", default=None)
    rai_media_filtered_count: Any = None


class _Image(msgspec.Struct):
    filtered: Payload = msgspec.field(name="raiFilteredReason", default=msgspec.UNSET)
    rai_filtered_reason: Payload = msgspec.UNSET
    encoded: Payload = msgspec.field(name="bytesBase64Encoded", default=msgspec.UNSET)
    gcs: Payload = msgspec.field(name="gcsUri", default=msgspec.UNSET)


_videos = Members(_Videos)
_images = Members(_Image)


def made(answer: Made, asked: RequestFacts, model: str | None) -> tuple[Usage | None, str | None]:
    """Return what images or videos are billed by (None where there is nothing of that kind), and their model."""
    if (isinstance(answer.name, str) and answer.done is not None) or is_there(answer.result):
        found = _MODEL.search(answer.name) if isinstance(answer.name, str) else None
        return _seconds(answer, asked), found[1] if found else model
    if answer.generated_images is not msgspec.UNSET:
        images = _images.each(answer.generated_images)
        count = sum(not (is_there(one.filtered) or is_there(one.rai_filtered_reason)) for one in images)
    else:  # predictions are anything; images say where they are
        count = sum(is_there(one.encoded) or is_there(one.gcs) for one in _images.each(answer.predictions))
    return Usage(images=count) if count else None, model


def _seconds(answer: Made, asked: RequestFacts) -> Usage | None:
    asked_s = asked.counts.video_seconds
    if answer.done is not True or is_there(answer.error) or asked_s is None:
        return None
    each_s = asked_s / (asked.answers or 1)
    count = next((found for raw in (answer.response, answer.result) if (found := _samples(raw)) is not None), None)
    return Usage(video_seconds=asked_s if count is None else each_s * count)


def _samples(raw: Payload) -> int | None:
    """Return how many videos came, None where the answer does not list them."""
    found = _videos.of(raw)
    if found is None:
        return None
    if found.video_response is not msgspec.UNSET:
        return _samples(found.video_response)
    for given in (found.samples, found.generated_videos, found.camel_videos, found.videos):
        if is_there(given):
            return len(listed(given))
    filtered = found.filtered or found.rai_media_filtered_count
    return 0 if filtered else None
