"""This module is where the units of a price are listed: which count each charges, per how many, on which side.

Input and output are what the provider calls so; a fee that belongs to neither (a web search, a request) is ``other``.
What is read is input (searched documents, characters to speak, seconds to transcribe), what is made is output (images,
seconds of video).
"""

from __future__ import annotations

import msgspec

INPUT = "input"
OUTPUT = "output"
OTHER = "other"
MILLION = 1_000_000


class Unit(msgspec.Struct, frozen=True, gc=False):
    """One unit: a price is for ``per`` of what ``field`` of the usage counts."""

    name: str
    per: int
    side: str
    field: str


_TOKENS = (
    ("input_mtok", "input_tokens"),
    ("cache_read_mtok", "cache_read_tokens"),
    ("cache_write_mtok", "cache_write_tokens"),
    ("cache_write_5m_mtok", "cache_write_5m_tokens"),
    ("cache_write_1h_mtok", "cache_write_1h_tokens"),
    ("input_audio_mtok", "input_audio_tokens"),
    ("cache_read_audio_mtok", "cache_read_audio_tokens"),
    ("input_image_mtok", "input_image_tokens"),
    ("input_video_mtok", "input_video_tokens"),
    ("tool_prompt_mtok", "tool_prompt_tokens"),
)
_MADE_TOKENS = (
    ("output_mtok", "output_tokens"),
    ("reasoning_mtok", "reasoning_tokens"),
    ("output_audio_mtok", "output_audio_tokens"),
    ("output_image_mtok", "output_image_tokens"),
)
_COUNTED = (
    Unit("input_mchars", MILLION, INPUT, "input_characters"),
    Unit("per_character", 1, INPUT, "input_characters"),
    Unit("audio_hours", 3600, INPUT, "audio_seconds"),
    Unit("per_audio_second", 1, INPUT, "audio_seconds"),
    Unit("per_search_unit", 1, INPUT, "search_units"),
    Unit("per_image", 1, OUTPUT, "images"),
    # Seconds of video; where none were made, seconds of audio.
    Unit("per_second", 1, OUTPUT, "video_seconds"),
    Unit("per_search", 1, OTHER, "web_searches"),
    # Once for a request that searched at all, however often.
    Unit("per_searching_request", 1, OTHER, "web_searches"),
    Unit("per_request", 1, OTHER, ""),
)
UNITS: dict[str, Unit] = {
    **{name: Unit(name, MILLION, INPUT, field) for name, field in _TOKENS},
    **{name: Unit(name, MILLION, OUTPUT, field) for name, field in _MADE_TOKENS},
    **{unit.name: unit for unit in _COUNTED},
}
# What a token is charged by; a discount on tokens covers these.
TOKEN_UNITS = frozenset(name for name, _ in (*_TOKENS, *_MADE_TOKENS))
CACHE_UNITS = frozenset({"cache_read_mtok", "cache_read_audio_mtok"})
COUNT_UNITS = frozenset(unit.name for unit in _COUNTED)
# A discount for batch or flex covers these; fees for searches and requests stay.
DISCOUNTED = TOKEN_UNITS | {
    "input_mchars",
    "per_character",
    "audio_hours",
    "per_audio_second",
    "per_image",
    "per_second",
}
