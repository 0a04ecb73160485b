"""This module is where the one normal form of usage is defined.

Totals are inclusive (``input_tokens`` contains everything billed as input, cache included; ``output_tokens``
contains reasoning), every other token count is a subset of one of them. ``None`` means that the provider did not report
a number; 0 means that it reported zero. :func:`settled` brings what was read into this form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import astuple

# How the source of usage begins that was estimated and not reported; the vocabulary follows.
ESTIMATE = "estimate:"
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

# Parts of one whole that exclude each other: their sum is no more than it.
_APART = (
    ("input_tokens", ("input_audio_tokens", "input_image_tokens", "input_video_tokens")),
    ("output_tokens", ("output_audio_tokens", "output_image_tokens", "reasoning_tokens")),
)
# Other subsets → what each is a part of, larger first.
_PARTS = (
    ("cache_read_tokens", "input_tokens"),
    ("tool_prompt_tokens", "input_tokens"),
    ("cache_read_audio_tokens", "cache_read_tokens"),
    ("cache_read_audio_tokens", "input_audio_tokens"),
)
_WRITTEN_PARTS = ("cache_write_1h_tokens", "cache_write_5m_tokens")
_WRITTEN = frozenset({"cache_write_tokens", *_WRITTEN_PARTS})
_FIELDS = Usage.__struct_fields__
_MAX = 2**62


def count_of(value: object) -> int | None:
    """Return a whole number of 0 or more that any store can hold, None for anything else (booleans included)."""
    if type(value) is not int:
        if type(value) is not float or not value.is_integer():
            return None
        value = int(value)
    # No store holds more than 64 bits, and the sum of two must fit as well.
    return value if 0 <= value < _MAX else None


def settled(usage: Usage) -> Usage:
    """Return the normal form of what was read: written cache summed, no part above its whole, the total our own.

    Parts that were reported larger than their whole (xAI has reported more cached tokens than prompt tokens) are cut to
    it, so that no difference is ever negative; the provider's own object is kept beside it. Numbers that no store can
    hold are unknown. Settling twice is settling once.
    """
    if _is_settled(usage):
        return usage
    values = {
        name: value
        for name, value in zip(_FIELDS, astuple(usage), strict=True)
        if value is not None and value < _MAX  # what was added up while reading may be more
    }
    for whole, parts in _APART:
        if whole in values:
            _share(values, values[whole], parts)
    for part, whole in _PARTS:
        if part in values and whole in values and values[part] > values[whole]:
            values[part] = values[whole]
    if not _WRITTEN.isdisjoint(values):
        _settle_written(values)
    _settle_total(values)
    return Usage(**values)


def _is_settled(usage: Usage) -> bool:
    """Return whether there is nothing to do, as for most operations; saying no too often only costs time."""
    read, written, output = usage.input_tokens, usage.cache_write_tokens or 0, usage.output_tokens
    if read is None or output is None or usage.total_tokens != read + output or usage.total_tokens >= _MAX:
        return False
    return (
        (usage.cache_read_tokens or 0) + written <= read
        and (usage.input_audio_tokens or 0) + (usage.input_image_tokens or 0) + (usage.input_video_tokens or 0) <= read
        and (usage.output_audio_tokens or 0) + (usage.output_image_tokens or 0) + (usage.reasoning_tokens or 0)
        <= output
        and (usage.tool_prompt_tokens or 0) <= read
        and usage.cache_write_5m_tokens is usage.cache_write_1h_tokens is usage.cache_read_audio_tokens is None
    )


def added(usages: Sequence[Usage]) -> Usage:
    """Return the sum, field by field; what none of them reports is unreported, what one reports is known."""
    values: dict[str, Any] = {}
    for usage in usages:
        for name, value in zip(_FIELDS, astuple(usage), strict=True):
            if value is not None:
                values[name] = values.get(name, 0) + value
    return Usage(**values)


def _share(values: dict[str, Any], room: int, parts: tuple[str, ...]) -> None:
    """Cut parts that exclude each other, the later ones first, until all of them together fit."""
    for name in parts:
        if name in values:
            values[name] = min(values[name], room)
            room -= values[name]


def _settle_written(values: dict[str, Any]) -> None:
    """Sum what was written into the cache; it was not read from it, so both together are no more than the input."""
    written = sum(values.get(name, 0) for name in _WRITTEN_PARTS)
    written = min(max(written, values.get("cache_write_tokens", 0)), _MAX - 1)
    if "input_tokens" in values:
        written = min(written, values["input_tokens"] - values.get("cache_read_tokens", 0))
    values["cache_write_tokens"] = written
    _share(values, written, _WRITTEN_PARTS)


def _settle_total(values: dict[str, Any]) -> None:
    known = [values[name] for name in ("input_tokens", "output_tokens") if name in values]
    if len(known) > 1:
        values["total_tokens"] = sum(known)
    elif known and values.get("total_tokens", known[0]) < known[0]:
        del values["total_tokens"]  # less than one of its parts: it is no total
