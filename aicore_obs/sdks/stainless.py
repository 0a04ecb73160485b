"""This module is where SDKs made by Stainless are described: openai, anthropic, groq and others pass one function.

Source: openai 3.57.0, anthropic 2.14.0, groq 1.7.0 (``_base_client``, ``_streaming``, ``_response``), read 2026-11-27.
``request`` is called once for ``create``, ``stream``, ``parse``, ``with_raw_response`` and ``with_streaming_response``;
retries are inside of it. ``post`` is bound when a client is made and cannot be changed afterwards.
"""

from __future__ import annotations

import re
from typing import Any

from aicore_obs.protocols import Asked, Carrier, Hook

# Path → the method that users call, and the kind of operation.
_APIS = {
    "chat/completions": ("chat.completions.create", "completion"),
    "completions": ("completions.create", "completion"),
    "responses": ("responses.create", "completion"),
    "messages": ("messages.create", "completion"),
    "complete": ("completions.create", "completion"),
    "embeddings": ("embeddings.create", "embedding"),
    "moderations": ("moderations.create", "moderation"),
    "images/generations": ("images.generate", "image"),
    "images/edits": ("images.edit", "image"),
    "images/variations": ("images.create_variation", "image"),
    "audio/speech": ("audio.speech.create", "audio"),
    "audio/transcriptions": ("audio.transcriptions.create", "audio"),
    "audio/translations": ("audio.translations.create", "audio"),
    "videos": ("videos.create", "video"),
    "rerank": ("rerank.create", "rerank"),
}
# Fireworks asks for whole URLs where no base URL was given.
_IN_FRONT = re.compile(r"^(?:https://[^/]+/inference)?/?(?:openai/)?(?:v\d+/)?(?:deployments/[^/]+/)?")
# Part of a client's name → who answers it, also through a gateway that has another host.
_CLOUDS = {"Azure": "azure", "Foundry": "azure", "Bedrock": "bedrock", "Vertex": "vertex"}
# Marks of parameters that were not given.
_NOTHING = frozenset({"Omit", "NotGiven"})
_BEFORE_TOKENS = (
    # OpenAI: the first chunk has a role and no text; Responses; Anthropic.
    b'"content":""', b'"content": ""', b"response.created", b"response.in_progress", b"response.output_item.added",
    b"response.content_part.added", b"message_start", b"content_block_start", b'"ping"',
)  # fmt: skip


def hooks(package: str, *, tested: str) -> tuple[Hook, ...]:
    """Return the hooks of an SDK of this make."""
    return tuple(
        Hook(
            package=package,
            module=f"{package}._base_client",
            function=f"{client}.request",
            tested=tested,
            parameters=("cast_to", "options", "stream", "stream_cls"),
            read_call=read_call,
            carrier=carrier,
            is_async=client.startswith("Async"),
            before_tokens=_BEFORE_TOKENS,
        )
        for client in ("SyncAPIClient", "AsyncAPIClient")
    )


def read_call(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked | None:
    """Read the options of a request: its path says which method was called."""
    options = kwargs["options"] if "options" in kwargs else args[1]
    path = _IN_FRONT.sub("", options.url.partition("?")[0])
    found = _APIS.get(path.rstrip("/"))
    if found is None or options.method.lower() != "post":
        return None
    given = [one for one in (options.json_data, options.extra_json) if isinstance(one, dict)]
    request = {name: value for one in given for name, value in one.items() if type(value).__name__ not in _NOTHING}
    return Asked(
        api=found[0],
        operation_type=found[1],
        request=request,
        base_url=str(client.base_url),
        provider=_cloud(type(client)),
    )


def _cloud(client: type) -> str | None:
    """Return whose cloud a class of clients is for, an application's own subclass too."""
    names = [base.__name__ for base in client.__mro__]
    return next((cloud for mark, cloud in _CLOUDS.items() if any(mark in name for name in names)), None)


def carrier(result: Any) -> Carrier | None:
    """Return what carries a stream or a raw response."""
    kind = type(result)
    if hasattr(kind, "__stream__"):
        return Carrier(result.response, "_iterator")
    if "http_response" in vars(result):
        return Carrier(result.http_response, is_read=result.http_response.is_closed)
    # Speech: the whole body, read, and no model of pydantic.
    if hasattr(kind, "write_to_file"):
        return Carrier(result.response, is_read=True)
    return None
