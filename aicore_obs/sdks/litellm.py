"""This module is where LiteLLM's callbacks are read: what was asked, what is said beside it, and what came back.

Source: litellm 1.110.2 (``integrations.custom_logger``, ``litellm_core_utils.litellm_logging``), read 2026-11-28. All
callbacks get the same ``kwargs``: the details of the call as far as they are known then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from aicore_obs.guard import attempt
from aicore_obs.protocols import Asked

# Begins the api of what LiteLLM's callbacks tell; such a body is in LiteLLM's shape, whoever answered.
API = "litellm."
# The function that was called, without the ``a`` of the async ones → the kind of operation. Others call no model.
_TYPES = {
    "completion": "completion", "text_completion": "completion", "responses": "completion",
    "anthropic_messages": "completion", "generate_content": "completion", "generate_content_stream": "completion",
    "embedding": "embedding", "image_generation": "image", "image_edit": "image", "image_variation": "image",
    "speech": "audio", "transcription": "audio", "moderation": "moderation", "rerank": "rerank",
    "video_generation": "video", "create_video": "video", "ocr": "ocr",
}  # fmt: skip
# Asked in OpenAI's words whoever answers; the others as the provider is asked.
_CHATS = frozenset({"completion", "anthropic_messages", "generate_content", "generate_content_stream"})
# Parameters that are LiteLLM's, not the model's: where and as whom to call.
_NOT_ASKED = ("aws_", "azure_", "vertex_", "litellm_", "api_", "extra_headers", "headers", "client", "shared_session")
# What LiteLLM and its proxy write into the user's metadata themselves.
_NOT_SAID = ("user_api_key", "litellm_", "hidden_params", "previous_models", "model_info", "caching_groups", "headers",
             "requester_", "endpoint", "deployment", "api_base", "tags")  # fmt: skip


def call_id_of(kwargs: Mapping[str, Any]) -> str | None:
    """Return LiteLLM's id of a call, the same in all of its callbacks and attempts."""
    found = getattr(kwargs.get("litellm_logging_obj"), "litellm_call_id", None) or kwargs.get("litellm_call_id")
    return found if isinstance(found, str) else None


def asked(kwargs: Mapping[str, Any], *, with_content: bool = True) -> Asked | None:
    """Return what is asked for; None for what is no call of a model, or shall not be logged."""
    name = _name(kwargs)
    params = _mapping(kwargs.get("litellm_params"))
    if name is None or params.get("no-log") is True or is_mocked(kwargs):
        return None
    base = params.get("api_base")
    where = base.partition("?")[0] if isinstance(base, str) else ""
    return Asked(
        api=API + name,
        operation_type=_TYPES[name],
        request=_request(name, kwargs, with_content=with_content),
        base_url=where or None,
        provider=_text(kwargs.get("custom_llm_provider")),
    )


def _name(kwargs: Mapping[str, Any]) -> str | None:
    called = str(kwargs.get("call_type"))
    return next((one for one in (called, called.removeprefix("a")) if one in _TYPES), None)


def _request(name: str, kwargs: Mapping[str, Any], *, with_content: bool) -> dict[str, Any]:
    params = {key: value for key, value in _mapping(kwargs.get("optional_params")).items()
              if value is not None and not key.startswith(_NOT_ASKED)}  # fmt: skip
    stream = {"stream": True} if kwargs.get("stream") is True else {}
    request = {"model": kwargs.get("model"), **params, **stream}
    if not with_content:
        return request
    if name in _CHATS:
        return {**request, "messages": kwargs.get("messages")}
    body = _mapping(kwargs.get("additional_args")).get("complete_input_dict")
    if isinstance(body, str | bytes):
        body = attempt(msgspec.json.decode, body).value
    if isinstance(body, dict):
        return {**request, **{key: value for key, value in body.items() if not key.startswith(_NOT_ASKED)}}
    return {**request, "input": kwargs.get("input")}


def said(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the user says of a call, in the words of ``record_completion``: who, what for, tags, metadata."""
    params = _mapping(kwargs.get("litellm_params"))
    metadata = _mapping(params.get("metadata")) or _mapping(params.get("litellm_metadata"))
    optional = _mapping(kwargs.get("optional_params"))
    about = {
        "call_id": call_id_of(kwargs),
        "call_type": _text(kwargs.get("call_type")),
        "model": _text(kwargs.get("model")),
        "provider": _text(kwargs.get("custom_llm_provider")),
        "model_group": _text(metadata.get("model_group")),
        "metadata": {key: value for key, value in metadata.items() if _is_said(key, value)} or None,
    }
    tags = metadata.get("tags")
    return {
        "user_id": _text(kwargs.get("user")) or _text(optional.get("user")) or _text(metadata.get("user_id")),
        "session_id": _text(params.get("litellm_session_id")) or _text(metadata.get("session_id")),
        "tags": [one for one in tags if isinstance(one, str)] if isinstance(tags, list | tuple) else [],
        "extras": {"litellm": {key: value for key, value in about.items() if value is not None}},
    }


def _is_said(key: Any, value: Any) -> bool:
    if not isinstance(key, str) or key.startswith(_NOT_SAID) or key in ("model_group", "user_id", "session_id"):
        return False
    items = value if isinstance(value, list) else value.values() if isinstance(value, dict) else (value,)
    return all(isinstance(one, str | int | float) for one in items)


def is_cached(kwargs: Mapping[str, Any]) -> bool:
    """Return whether an answer came out of LiteLLM's cache: nobody was asked."""
    return kwargs.get("cache_hit") is True


def is_mocked(kwargs: Mapping[str, Any]) -> bool:
    """Return whether a request will not be made, since LiteLLM was told what to answer."""
    return kwargs.get("api_key") == "mock-key"


def answer(kwargs: Mapping[str, Any], response: Any) -> Any:
    """Return an answer as LiteLLM's description reads it: with who answered, and whether it was asked at all."""
    body = _dumped(response)
    if not isinstance(body, dict):
        return body
    hidden = {"custom_llm_provider": kwargs.get("custom_llm_provider")}
    if is_cached(kwargs):
        hidden["cache_hit"] = True
    return {**body, "_hidden_params": hidden}


class BareUsage(msgspec.Struct, frozen=True):
    """Tokens without any detail that only a provider knows, and the text that was made of them."""

    read: int
    made: int
    text: str


def bare_usage(body: Any) -> BareUsage | None:
    """Return the usage of an assembled stream, None where it has details, so that it was reported."""
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict) or usage.get("prompt_tokens_details") or "cache_read_input_tokens" in usage:
        return None
    messages = [_mapping(choice.get("message")) for choice in body.get("choices") or ()]
    text = "".join(one["content"] for one in messages if isinstance(one.get("content"), str))
    thought = _mapping(usage.get("completion_tokens_details")).get("reasoning_tokens") or 0
    return BareUsage(usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0) - thought, text)


def _dumped(response: Any) -> Any:
    if hasattr(response, "model_dump"):
        # Without its warnings, which would be the application's.
        body = attempt(response.model_dump, warnings=False).value
        if not isinstance(body, dict):
            return response
        # Where it is of another kind than is declared, the dump has no more than its total.
        usage: Any = getattr(response, "usage", None)
        if hasattr(usage, "model_dump"):
            usage = attempt(usage.model_dump, warnings=False).value
        return {**body, "usage": usage} if isinstance(usage, dict) else body
    http = getattr(response, "response", None)
    if http is not None and hasattr(http, "headers"):
        size = attempt(lambda: len(http.content)).value
        return {"content_type": str(http.headers.get("content-type", "")), "size_bytes": size}
    return response


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
