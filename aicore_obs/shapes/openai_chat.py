"""This module is where the commonest answer of all is read in one pass: a plain chat completion with a plain usage.

Whatever has a member that is not named here is left to :mod:`aicore_obs.shapes.openai`, which says the same of these
answers and takes four times as long: it looks into each member for what one of thirty servers may mean by it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from aicore_obs.model.usage import Usage
from aicore_obs.protocols import ResponseFacts

# As :func:`aicore_obs.model.usage.count_of`: whole, not negative, and in any store.
_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**62)] | None


class _Read(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    cached_tokens: _Count = None
    audio_tokens: _Count = None


class _Made(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    reasoning_tokens: _Count = None
    audio_tokens: _Count = None
    # Inside ``completion_tokens``, and priced like the rest of them.
    accepted_prediction_tokens: _Count = None
    rejected_prediction_tokens: _Count = None


class _Usage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    prompt_tokens: Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
    completion_tokens: Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
    total_tokens: _Count = None
    prompt_tokens_details: _Read | None = None
    completion_tokens_details: _Made | None = None


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    object: Literal["chat.completion"]
    usage: msgspec.Raw
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] = []
    service_tier: str | None = None
    created: Any = None
    system_fingerprint: Any = None
    # Azure's
    prompt_filter_results: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_body = msgspec.json.Decoder(_Body)
_usage = msgspec.json.Decoder(_Usage)
_NOTHING_READ, _NOTHING_MADE = _Read(), _Made()
_NO_CONDITIONS: dict[str, str] = {}


def read_plain(raw: bytes) -> ResponseFacts | None:
    """Return what a plain chat completion says, None where it is anything more than that."""
    try:
        body = _body.decode(raw)
        given = _usage.decode(body.usage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    read = given.prompt_tokens_details or _NOTHING_READ
    made = given.completion_tokens_details or _NOTHING_MADE
    if made.reasoning_tokens and given.total_tokens != given.prompt_tokens + given.completion_tokens:
        # Whether reasoning is inside has to be found out.
        return None
    return ResponseFacts(
        model=body.model,
        id=body.id,
        finish_reason=next((one.finish_reason for one in body.choices if one.finish_reason is not None), None),
        usage=Usage(
            input_tokens=given.prompt_tokens,
            cache_read_tokens=read.cached_tokens,
            input_audio_tokens=read.audio_tokens,
            output_tokens=given.completion_tokens,
            reasoning_tokens=made.reasoning_tokens,
            output_audio_tokens=made.audio_tokens,
            total_tokens=given.total_tokens,
        ),
        usage_raw=body.usage,
        conditions=_NO_CONDITIONS if body.service_tier is None else {"tier": body.service_tier.lower()},
    )
