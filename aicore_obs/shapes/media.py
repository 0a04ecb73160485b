"""This module is where OpenAI's answers are measured that are no text: images, speech, transcriptions, videos.

Sources: openai 2.54.0 (``types.images_response``, ``types.audio``, ``types.video``), read 2026-11-21. Where tokens were
reported, tokens are billed and nothing is counted beside them; else the unit is the image, the second or the character.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from aicore_obs.model.record import Payload
from aicore_obs.model.usage import NO_USAGE, Usage
from aicore_obs.protocols import RequestFacts
from aicore_obs.shapes.body import is_there, listed, seconds


class Made(Protocol):
    """The members of a body that are looked at."""

    id: Any
    type: Any
    object: Any
    model: Any
    status: Any
    seconds: Any
    duration: Any
    choices: Payload
    output: Payload
    data: Payload
    error: Payload
    text: Payload


def made_by(body: Made) -> str | None:
    """Return what came out where it was no text: ``"image"``, ``"audio"``, or ``"nothing"`` of embeddings."""
    if isinstance(body.type, str):
        return next((made for start, made in _EVENTS if body.type.startswith(start)), None)
    if body.data is msgspec.UNSET or body.choices is not msgspec.UNSET:
        return None
    return "image" if _is_images(body) else "nothing"


_EVENTS = (("image_generation.", "image"), ("image_edit.", "image"), ("speech.audio.", "audio"))


def measured(body: Made, asked: RequestFacts) -> Usage:
    """Return what an answer without tokens is billed by."""
    if is_there(body.error) or body.choices is not msgspec.UNSET or body.output is not msgspec.UNSET:
        return NO_USAGE
    if body.object == "video":
        return _video(body)
    if body.data is not msgspec.UNSET:
        return _images(body)
    if body.text is not msgspec.UNSET:
        heard_s = seconds(body.duration)
        return NO_USAGE if heard_s is None else Usage(audio_seconds=heard_s)
    return spoken(body, asked)


def spoken(body: Made | None, asked: RequestFacts) -> Usage:
    """Return the characters that were given to be spoken; the answer is sound, and says nothing of them."""
    characters = asked.counts.input_characters
    is_sound = body is None or body.id is None
    return Usage(input_characters=characters) if characters is not None and is_sound else NO_USAGE


def _is_images(body: Made) -> bool:
    # Lists of other things (embeddings, models, files) say that they are lists.
    return body.object is None and body.model is None


def _images(body: Made) -> Usage:
    return Usage(images=len(listed(body.data))) if _is_images(body) else NO_USAGE


def _video(body: Made) -> Usage:
    length_s = seconds(body.seconds) if body.status == "completed" else None
    return NO_USAGE if length_s is None else Usage(video_seconds=length_s)
