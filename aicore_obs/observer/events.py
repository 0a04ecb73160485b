"""This module is where recorded lines become events of the export, in the words of its users."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from aicore_obs.derivation import read_text
from aicore_obs.guard import attempt
from aicore_obs.model import codec
from aicore_obs.model.events import Span
from aicore_obs.model.operation import Operation
from aicore_obs.model.record import ErrorInfo, Payload, Record

# In the export a provider has the name that its users know.
_PROVIDERS = {"google": "gemini"}


def event_of(line: bytes) -> dict[str, Any]:
    """Return a recorded line as an event; ``event_type`` says which kind it is."""
    record = codec.decode(line)
    return _provider_event(record) if isinstance(record, Operation) else _function_event(record)


def function_event(line: bytes) -> dict[str, Any]:
    """Return the line of a step as a function's event."""
    return _function_event(codec.decode(line))


def seconds(when: datetime | None) -> float | None:
    """Return a time as seconds since 1970."""
    return None if when is None else when.timestamp()


def _provider_event(operation: Operation) -> dict[str, Any]:
    extras = _plain(operation.extras) or {}
    request = _plain(operation.completion_args)
    known = {
        "event_type": "provider",
        "provider": _PROVIDERS.get(operation.provider or "", operation.provider),
        "api": operation.api,
        "request": request,
        "response": _response(operation),
        "callsite": extras.get("callsite"),
        "operation_id": operation.id,
        "stream_state": operation.stream_state,
        "stream_chunks": extras.get("stream_chunks"),
        "time_to_first_token_ms": operation.time_to_first_token_ms,
    }
    return {**known, **_common(operation, operation.latency_ms, operation.error)}


def _function_event(record: Record) -> dict[str, Any]:
    assert isinstance(record, Span)
    body = _plain(record.body) or {}
    arguments = body.get("arguments") or {}
    known = {
        "event_type": "function",
        "provider": "function",
        "api": record.name,
        "name": record.name,
        "module": body.get("module"),
        "args": arguments.get("args", []),
        "kwargs": arguments.get("kwargs", {}),
        "result": body.get("result"),
        "callsite": body.get("callsite"),
        "enh_prompt": body.get("enh_prompt_id") is not None,
        "enh_prompt_id": body.get("enh_prompt_id"),
        "auto_enhance_after": body.get("auto_enhance_after"),
    }
    more = {name: body[name] for name in ("items", "stream_state") if name in body}
    return {**known, **more, **_common(record, record.duration_ms, record.error)}


def _common(record: Record, duration_ms: float | None, error: ErrorInfo | None) -> dict[str, Any]:
    ended = record.timestamp + timedelta(milliseconds=duration_ms or 0.0)
    return {
        "error": _error(error),
        "started_at": seconds(record.timestamp),
        "ended_at": seconds(ended),
        "duration_ms": duration_ms,
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "parent_span_id": record.parent_id,
        "session_id": record.session_id,
    }


def _error(error: ErrorInfo | None) -> str | None:
    if error is None:
        return None
    return f"{error.type or 'Error'}: {error.message}" if error.message is not None else error.type or "Error"


def _response(operation: Operation) -> Any:
    """Return what came back: a body with its text beside it, or of a stream the text, the usage and the chunks."""
    body = _plain(operation.response)
    if body is None or operation.response is msgspec.UNSET:
        return None
    text = attempt(read_text, operation.provider, bytes(operation.response)).value
    if isinstance(body, dict):
        return {**body, "text": text} if text is not None and "text" not in body else body
    if isinstance(body, list):
        usage = next((one["usage"] for one in reversed(body) if isinstance(one, dict) and one.get("usage")), None)
        return {"text": text, "usage": usage, "chunks": body}
    return body


def _plain(payload: Payload) -> Any:
    return None if payload is msgspec.UNSET else attempt(msgspec.json.decode, payload).value
