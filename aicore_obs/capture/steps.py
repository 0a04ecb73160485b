"""This module is where a step of a program (a function that was called) becomes a span's bytes.

Its arguments and its result go the way of an operation's payloads: the same secrets are removed, the same hook runs,
the same values are odd.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aicore_obs.capture.record import Capture, Captured
from aicore_obs.model.events import Span
from aicore_obs.model.operation import Operation
from aicore_obs.model.record import Payload

_decoder = msgspec.json.Decoder(Operation)
_encoder = msgspec.json.Encoder()
# What a step has from the capture of an operation; the rest of an operation's fields are not a span's.
_HEADER = tuple(
    name
    for name in ("id", "timestamp", "v", "project", "session_id", "run_id", "experiment_id", "trace_id", "span_id",
                 "parent_id", "labels", "tags", "extras", "odd", "error")
)  # fmt: skip


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step that has ended. ``details`` are our own words about it, ``arguments`` and ``result`` the program's."""

    name: str
    started: Any
    duration_ms: float
    error: BaseException | None = None
    arguments: Any = None
    result: Any = None
    details: dict[str, Any] = {}


def captured_step(capture: Capture, step: Step) -> Captured:
    """Return one step as bytes, in the context of now; never raises for a value of it."""
    options = {"timestamp": step.started, "error": step.error}
    call = capture.operation(step.arguments, "step", None, step.result, step.duration_ms, options)
    operation = _decoder.decode(call.line)
    body: dict[str, Any] = dict(step.details)
    _put(body, "arguments", operation.completion_args)
    _put(body, "result", operation.response)
    if operation.escaped:
        body["escaped"] = True
    span = Span(
        name=step.name,
        duration_ms=operation.latency_ms,
        body=msgspec.Raw(_encoder.encode(body)),
        **{name: getattr(operation, name) for name in _HEADER},
    )
    return Captured(call.id, _encoder.encode(span), call.odd)


def _put(body: dict[str, Any], name: str, payload: Payload) -> None:
    if payload is not msgspec.UNSET and bytes(payload) != b"null":
        body[name] = payload
