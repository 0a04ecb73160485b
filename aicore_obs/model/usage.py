"""This module is where the one normal form of usage is defined.

Totals are inclusive (``input_tokens`` contains everything billed as input, cache included; ``output_tokens``
contains reasoning), every other token count is a subset of one of them. ``None`` means that the provider did not report
a number; 0 means that it reported zero. :func:`settled` brings what was read into this form.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import astuple

TOKEN_FIELDS: tuple[str, ...] = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "input_video_tokens",
    "cache_read_audio_tokens",
    "tool_prompt_tokens",
    "output_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "total_tokens",
)
COUNT_FIELDS: tuple[str, ...] = (
    "web_searches",
    "images",
    "audio_seconds",
    "video_seconds",
    "input_characters",
    "search_units",
)
# Seconds are the only counts that providers report as fractions.
FRACTION_FIELDS = frozenset({"audio_seconds", "video_seconds"})


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a provider counted for one operation, in the normal form. All fields: None = unreported."""

    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    input_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    input_video_tokens: int | None = None
    cache_read_audio_tokens: int | None = None
    tool_prompt_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    output_audio_tokens: int | None = None
    output_image_tokens: int | None = None
    total_tokens: int | None = None
    web_searches: int | None = None
    images: int | None = None
    audio_seconds: float | None = None
    video_seconds: float | None = None
    input_characters: int | None = None
    search_units: int | None = None


NO_USAGE = Usage()

# Subset → what it is a part of, larger first.
_PARTS = (
    ("cache_read_tokens", "input_tokens"),
    ("input_audio_tokens", "input_tokens"),
    ("input_image_tokens", "input_tokens"),
    ("input_video_tokens", "input_tokens"),
    ("tool_prompt_tokens", "input_tokens"),
    ("cache_read_audio_tokens", "cache_read_tokens"),
    ("cache_read_audio_tokens", "input_audio_tokens"),
    ("reasoning_tokens", "output_tokens"),
    ("output_audio_tokens", "output_tokens"),
    ("output_image_tokens", "output_tokens"),
)
_WRITTEN_PARTS = ("cache_write_1h_tokens", "cache_write_5m_tokens")
_FIELDS = Usage.__struct_fields__
_MAX = 2**62


def count_of(value: object) -> int | None:
    """Return a whole number of 0 or more that any store can hold, None for anything else (booleans included)."""
    if type(value) is float and value.is_integer():
        value = int(value)
    # No store holds more than 64 bits, and the sum of two must fit as well.
    return value if type(value) is int and 0 <= value < _MAX else None


def settled(usage: Usage) -> Usage:
    """Return the normal form of what was read: written cache summed, no part above its whole, the total our own.

    Parts that were reported larger than their whole (xAI has reported more cached tokens than prompt tokens) are cut to
    it, so that no difference is ever negative; the provider's own object is kept beside it. Settling twice is settling
    once.
    """
    values = {name: value for name, value in zip(_FIELDS, astuple(usage), strict=True) if value is not None}
    written = [values[name] for name in _WRITTEN_PARTS if name in values]
    if written:
        values["cache_write_tokens"] = max(sum(written), values.get("cache_write_tokens", 0))
    for part, whole in _PARTS:
        if part in values and whole in values and values[part] > values[whole]:
            values[part] = values[whole]
    if "cache_write_tokens" in values and "input_tokens" in values:
        _cut_written(values)
    if "input_tokens" in values and "output_tokens" in values:
        values["total_tokens"] = values["input_tokens"] + values["output_tokens"]
    return Usage(**values)


def _cut_written(values: dict[str, Any]) -> None:
    """Cut what was written into the cache: it was not read from it, so both together are no more than the input."""
    room = values["input_tokens"] - values.get("cache_read_tokens", 0)
    room = values["cache_write_tokens"] = min(values["cache_write_tokens"], room)
    for name in _WRITTEN_PARTS:
        if name in values:
            values[name] = min(values[name], room)
            room -= values[name]
