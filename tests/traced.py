"""This module is where tests trace: a tracer provider of OpenTelemetry that is listened to, and spans by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span

import aicore_obs

CHAT: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.usage.input_tokens": 11,
    "gen_ai.usage.output_tokens": 2,
}


@contextmanager
def tracing() -> Iterator[TracerProvider]:
    """A tracer provider whose spans are recorded, for a block."""
    provider = TracerProvider()
    aicore_obs.instrument_opentelemetry(provider)
    try:
        yield provider
    finally:
        provider.shutdown()


def span(provider: TracerProvider, attributes: dict[str, Any], *, scope: str = "by hand", **options: Any) -> Span:
    """Begin a span that is not the current one."""
    return provider.get_tracer(scope).start_span("a span", attributes=attributes, **options)
