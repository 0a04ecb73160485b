"""This module is where the small kinds are defined: span and flag.

``log``, ``metric``, ``param`` and ``artifact`` will stand here too.
"""

from __future__ import annotations

import msgspec

from aicore_obs.model.record import ErrorInfo, Payload, Record


class Span(Record, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="span"):
    """A timed step of a program. ``timestamp`` is its start."""

    name: str
    duration_ms: float | None = None
    error: ErrorInfo | None = None
    body: Payload = msgspec.UNSET


class Flag(Record, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="flag"):
    """Operations marked for a reason, or (``active=False``) the mark taken away.

    An inactive flag without a reason takes every mark of these operations away. The newest record (by id) wins,
    so that the order of arrival does not matter.
    """

    operation_ids: tuple[str, ...]
    reason: str | None = None
    note: str | None = None
    active: bool = True
