"""This module is where LiteLLM is described: every provider in OpenAI's shape.

Source: litellm 1.106.2 (``types.utils.Usage``, ``ModelResponse``) and docs.litellm.ai, read 2026-11-21. Anthropic's
names are repeated beside ``prompt_tokens``, which contain them already. The model's prefix says who bills
(``gemini/…``), and ``_hidden_params.response_cost`` is what LiteLLM reckons by its own table. ``cache_hit`` there is
written by our listener (:mod:`aicore_obs.sdks.litellm`): the answer is out of LiteLLM's cache.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from aicore_obs.model.cost import Bill
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
    cache_hit: Any = None


_NONE_HIDDEN = _Hidden()
_NOTHING = Bill(total=Decimal(0), path="_hidden_params.cache_hit")
_bodies, _hiddens = Members(_Body), Members(_Hidden)


def read_response(raw: bytes, asked: RequestFacts = NOTHING_ASKED) -> ResponseFacts:
    """Read a body or a stream, and who bills; an answer out of LiteLLM's cache nobody does."""
    facts = _read(raw, asked)
    hidden = _hidden(raw)
    if hidden.cache_hit is True:
        facts = msgspec.structs.replace(facts, bill=_NOTHING)
    provider = word(hidden.custom_llm_provider) or _prefix(asked.model)
    return facts if provider is None else msgspec.structs.replace(facts, provider=provider)


def _hidden(raw: bytes) -> _Hidden:
    if b"_hidden_params" not in raw:
        return _NONE_HIDDEN
    found = (_hiddens.of(body.hidden) for body in _bodies.each(raw))
    return next((one for one in found if one is not None), _NONE_HIDDEN)


def _prefix(model: str | None) -> str | None:
    prefix, slash, _ = (model or "").partition("/")
    return prefix if slash and prefix not in _NO_PROVIDERS else None


# The name of a proxy, which bills nothing itself.
_NO_PROVIDERS = frozenset({"", "litellm_proxy"})
