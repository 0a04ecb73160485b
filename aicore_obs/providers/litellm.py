"""This module is where LiteLLM is described: every provider in OpenAI's shape.

Source: litellm 1.106.2 (``types.utils.Usage``, ``ModelResponse``) and docs.litellm.ai, read 2026-11-21. Anthropic's
names are repeated beside ``prompt_tokens``, which contain them already. The model's prefix says who bills
(``gemini/…``), and ``_hidden_params.response_cost`` is what LiteLLM reckons by its own table.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aicore_obs.model.record import Payload
from aicore_obs.protocols import RequestFacts, ResponseFacts
from aicore_obs.shapes import anthropic, openai
from aicore_obs.shapes.body import Members, word
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import NOTHING_ASKED, read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "litellm"
hosts: tuple[str, ...] = ()
_SHAPES = (openai.SHAPE, anthropic.SHAPE)
_read = reader(*_SHAPES)
read_text = text_reader(*_SHAPES)


class _Body(msgspec.Struct):
    hidden: Payload = msgspec.field(name="_hidden_params", default=msgspec.UNSET)


class _Hidden(msgspec.Struct):
    custom_llm_provider: Any = None


_bodies, _hiddens = Members(_Body), Members(_Hidden)


def read_response(raw: bytes, asked: RequestFacts = NOTHING_ASKED) -> ResponseFacts:
    """Read a body or a stream, and who bills."""
    facts = _read(raw, asked)
    provider = _who(raw) or _prefix(asked.model)
    return facts if provider is None else msgspec.structs.replace(facts, provider=provider)


def _who(raw: bytes) -> str | None:
    if b"custom_llm_provider" not in raw:
        return None
    for body in _bodies.each(raw):
        hidden = _hiddens.of(body.hidden)
        if hidden is not None:
            return word(hidden.custom_llm_provider)
    return None


def _prefix(model: str | None) -> str | None:
    prefix, slash, _ = (model or "").partition("/")
    return prefix if slash and prefix not in _NO_PROVIDERS else None


# The name of a proxy, which bills nothing itself.
_NO_PROVIDERS = frozenset({"", "litellm_proxy"})
