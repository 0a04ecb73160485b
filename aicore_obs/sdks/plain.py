"""This module is where SDKs are described whose methods are the calls: keywords in, an answer or a stream out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aicore_obs.protocols import Asked

# Marks of parameters that were not given, and what is no part of the request.
_NOTHING = (None, ...)
_NOT_ASKED = frozenset({"request_options", "retries", "server_url", "timeout_ms", "http_headers"})


def keywords(
    api: str, operation_type: str, base_url: Callable[[Any], str | None]
) -> Callable[[Any, tuple[Any, ...], dict[str, Any]], Asked]:
    """Return what reads a call whose keywords are the request."""

    def read_call(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked:  # noqa: ARG001 - a duty
        request = {
            name: value
            for name, value in kwargs.items()
            if name not in _NOT_ASKED and not any(value is nothing for nothing in _NOTHING)
        }
        return Asked(api=api, operation_type=operation_type, request=request, base_url=base_url(instance))

    return read_call
