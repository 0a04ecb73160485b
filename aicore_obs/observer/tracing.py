"""This module is where traces are continued: ids of spans, and W3C's ``traceparent`` in and out.

Source: https://www.w3.org/TR/trace-context/, level 1.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from aicore_obs import context
from aicore_obs.observer import sessions
from aicore_obs.observer.outers import Outer, nearest

_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def new_span_id() -> str:
    """Return a random id of a span, 16 hexadecimal digits."""
    return os.urandom(8).hex()


def new_trace_id() -> str:
    """Return a random id of a trace, 32 hexadecimal digits."""
    return os.urandom(16).hex()


def span_ids(around: tuple[Outer, ...] = ()) -> dict[str, Any]:
    """Return the ids of a span that begins here: its own, its trace's, its parent's; ``around`` is what is outside."""
    now = context.current()
    outer = nearest(around) if around else None
    if outer is not None:
        return {"trace_id": outer.trace_id, "span_id": new_span_id(), "parent_id": outer.inside_id}
    return {"trace_id": now.trace_id or new_trace_id(), "span_id": new_span_id(), "parent_id": now.span_id}


def context_in(session: sessions.Session | None, around: tuple[Outer, ...]) -> context.Context:
    """Return the context of a span that begins here, with what is said of what is ``around`` it."""
    now = sessions.context_of(session, **span_ids(around))
    for one in around:
        now = one.dressed(now)
    return now


def traceparent() -> str | None:
    """Return the header that lets another process continue the trace of now; None outside of a span."""
    now = context.current()
    if now.trace_id is None or now.span_id is None:
        return None
    header = f"00-{now.trace_id}-{now.span_id}-01"
    return header if _parsed(header) is not None else None


@contextmanager
def continued(header: str | None) -> Iterator[None]:
    """Continue the trace that a ``traceparent`` header names; one that is missing or malformed is as good as none."""
    found = _parsed(header)
    if found is None:
        yield
        return
    trace_id, span_id = found
    token = context.enter(msgspec.structs.replace(context.current(), trace_id=trace_id, span_id=span_id))
    try:
        yield
    finally:
        context.leave(token)


def _parsed(header: Any) -> tuple[str, str] | None:
    match = _HEADER.fullmatch(header.strip()) if isinstance(header, str) else None
    if match is None:
        return None
    version, trace_id, span_id, _, more = match.groups()
    # A version that is forbidden, ids of zeros, and in version 00 anything more are invalid.
    if version == "ff" or not trace_id.strip("0") or not span_id.strip("0") or (version == "00" and more):
        return None
    return trace_id, span_id
