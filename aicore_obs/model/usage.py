"""This module is where the one normal form of usage is defined.

Totals are inclusive (``input_tokens`` contains everything billed as input, cache included; ``output_tokens``
contains reasoning), leaves are disjoint subsets of a total. ``None`` means that the provider did not report a
number; 0 means that it reported zero.
"""

from __future__ import annotations

import msgspec

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
