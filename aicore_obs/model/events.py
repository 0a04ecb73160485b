"""This module is where the small kinds are defined: span, flag, cost and score.

``log``, ``metric``, ``param`` and ``artifact`` will stand here too.
"""

from __future__ import annotations

import msgspec

from aicore_obs.model.cost import Cost
from aicore_obs.model.record import ErrorInfo, Payload, Record

# In which scopes spans are looked for.
SPAN_SCOPES = ("trace_id", "session_id", "run_id")


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


class CostRevision(Record, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="cost"):
    """One operation costed again: who did it and when is the header's, by which price book is the cost's own.

    It stands beside what was known before and overwrites nothing; readers show the newest by id. Such a record has
    ``v`` 2, so that a program that does not know the kind leaves it alone.
    """

    operation_id: str
    cost: Cost
    author: str | None = None


class Score(Record, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="score"):
    """What somebody, or a program, thinks of one operation under a name: a number, yes or no, or a category.

    Without a value the score of that name is taken away. The newest record (by id) of an operation and a name wins, so
    that the order of arrival does not matter. Such a record has ``v`` 3; see :class:`CostRevision`.
    """

    operation_id: str
    name: str
    value: bool | float | str | None = None
    comment: str | None = None
