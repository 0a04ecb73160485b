"""This module is where tests say what must hold of every usage that is stored."""

from __future__ import annotations

import math

import msgspec

from aicore_obs.model.usage import FRACTION_FIELDS, Usage

_PARTS = (
    ("input_tokens", ("cache_read_tokens", "cache_write_tokens")),
    ("input_tokens", ("input_audio_tokens", "input_image_tokens", "input_video_tokens")),
    ("input_tokens", ("tool_prompt_tokens",)),
    ("cache_write_tokens", ("cache_write_5m_tokens", "cache_write_1h_tokens")),
    ("cache_read_tokens", ("cache_read_audio_tokens",)),
    ("input_audio_tokens", ("cache_read_audio_tokens",)),
    ("output_tokens", ("reasoning_tokens", "output_audio_tokens", "output_image_tokens")),
    ("total_tokens", ("input_tokens", "output_tokens")),
)


def check_laws(usage: Usage) -> None:
    """Assert the laws of the normal form."""
    for name, value in msgspec.structs.asdict(usage).items():
        if value is None:
            continue
        if name in FRACTION_FIELDS:
            assert type(value) in (int, float), name
            assert math.isfinite(value), name
        else:
            assert type(value) is int, name
        assert 0 <= value < 2**63, name
    for whole, parts in _PARTS:
        known = [value for part in parts if (value := getattr(usage, part)) is not None]
        if getattr(usage, whole) is not None:
            assert sum(known) <= getattr(usage, whole), (whole, parts)
    if usage.input_tokens is not None and usage.output_tokens is not None:
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens
