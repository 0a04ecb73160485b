"""This module is where tests capture a call and look at the record that came of it."""

from __future__ import annotations

import json
from typing import Any

from aicore_obs.capture.record import Capture, Captured
from aicore_obs.derivation import derive
from aicore_obs.model import codec
from aicore_obs.model.operation import Operation

PLAIN = Capture(derive=derive)


def capture(
    completion_args: Any = None,
    response: Any = None,
    *,
    by: Capture = PLAIN,
    operation_type: Any = "completion",
    provider: Any = None,
    latency_ms: Any = None,
    **options: Any,
) -> Operation:
    """Capture one call and decode it as the road does."""
    return decoded(by.operation(completion_args, operation_type, provider, response, latency_ms, options))


def decoded(captured: Captured) -> Operation:
    """Return the record of a captured line; it is one line, of this id, and odd when it says so."""
    assert b"\n" not in captured.line
    record = codec.decode(captured.line)
    assert isinstance(record, Operation)
    assert record.id == captured.id
    assert captured.odd == bool(record.odd)
    assert captured.odd or not record.escaped
    return record


def args_of(record: Operation) -> Any:
    """Return the arguments as plain data."""
    return json.loads(bytes(record.completion_args))  # type: ignore[arg-type]


def response_of(record: Operation) -> Any:
    """Return the response as plain data."""
    return json.loads(bytes(record.response))  # type: ignore[arg-type]


def extras_of(record: Operation) -> Any:
    """Return the extras as plain data."""
    return json.loads(bytes(record.extras))  # type: ignore[arg-type]
