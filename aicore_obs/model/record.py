"""This module is where the header that every record carries is defined."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

# The version of the record's JSON. A reader that meets a higher one leaves the record alone, so that a kind that an
# older program does not know is written with the version that brought it, and every other kind with version 1.
CODEC_VERSION = 3
FIRST_VERSION = 1
COST_VERSION = 2
SCORE_VERSION = 3

# JSON text that is carried along and never parsed whole; UNSET when it was not given.
Payload = msgspec.Raw | msgspec.UnsetType


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """The header: who, when, in which scope. A kind adds its body as further fields of the same object.

    ``timestamp`` is aware UTC. ``labels`` are text by text; ``extras`` is a free JSON object. Records are never
    changed, only replaced (``msgspec.structs.replace``).
    """

    id: str
    timestamp: datetime
    v: int
    project: str | None = None
    session_id: str | None = None
    run_id: str | None = None
    experiment_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    parent_id: str | None = None
    seq: int | None = None
    labels: dict[str, Any] = {}
    tags: tuple[str, ...] = ()
    extras: Payload = msgspec.UNSET
    # What was odd about the caller's values: parameter → the value as given (its repr where JSON has no word).
    odd: dict[str, Any] = {}


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An error as kept in a record: the class name, its message, its stack as text."""

    type: str | None = None
    message: str | None = None
    stack: str | None = None
