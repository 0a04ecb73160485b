"""This module is where it is defined what is shown: an operation, a conversation, a trace, as plain data.

Amounts are US dollars as :class:`~decimal.Decimal`; in JSON they are text, so that no digit is lost. ``None`` means
unknown, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

from aicore_obs.model.cost import EXACT
from aicore_obs.model.record import ErrorInfo
from aicore_obs.shapes.messages import Message, Request


class CostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation cost: by whose price (``source``, ``price_id``), or the ``reason`` why that is unknown.

    A total beside a reason is a lower bound.
    """

    total_usd: Decimal | None = None
    input_usd: Decimal | None = None
    output_usd: Decimal | None = None
    source: str | None = None
    reason: str | None = None
    price_id: str | None = None
    model: str | None = None

    @property
    def is_lower_bound(self) -> bool:
        """Whether something was used that has no price."""
        return self.total_usd is not None and self.reason is not None


class OperationFacts(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="operation"):
    """One operation. ``usage`` has ``input_tokens``, ``output_tokens``, ``total_tokens``, and what else is known.

    ``answers`` are several where the model was asked for several to choose from. ``scopes`` are the ids around it
    (``session_id``, ``trace_id`` …), as far as there are any.
    """

    id: str
    timestamp: datetime
    operation_type: str
    status: str
    provider: str | None = None
    model: str | None = None
    response_model: str | None = None
    api: str | None = None
    server_address: str | None = None
    finish_reason: str | None = None
    stream_state: str | None = None
    latency_ms: float | None = None
    time_to_first_token_ms: float | None = None
    usage: dict[str, float | None] = {}
    cost: CostFacts = CostFacts()
    error: ErrorInfo | None = None
    request: Request = Request()
    answers: tuple[Message, ...] = ()
    scopes: dict[str, str | int] = {}
    labels: dict[str, Any] = {}
    tags: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    scores: dict[str, Any] = {}
    extras: dict[str, Any] = {}


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What several operations come to. ``tokens`` and ``cost_usd`` are null where none of them is known.

    ``errors`` are the operations that failed, in a trace the steps that failed, too.
    ``tokens_unknown`` and ``unpriced`` operations are not in these sums; ``partly_priced`` are in it with a part.
    """

    operations: int = 0
    errors: int = 0
    tokens: int | None = None
    tokens_unknown: int = 0
    cost_usd: Decimal | None = None
    unpriced: int = 0
    partly_priced: int = 0

    @property
    def is_lower_bound(self) -> bool:
        """Whether something has no price."""
        return bool(self.unpriced or self.partly_priced)


NOTHING = Totals()


def total_of(parts: Iterable[Totals]) -> Totals:
    """Return the sum of sums."""
    listed = list(parts)
    tokens = [one.tokens for one in listed if one.tokens is not None]
    costs = [one.cost_usd for one in listed if one.cost_usd is not None]
    cost = None
    for amount in costs:
        cost = amount if cost is None else EXACT.add(cost, amount)
    return Totals(
        operations=sum(one.operations for one in listed),
        errors=sum(one.errors for one in listed),
        tokens=sum(tokens) if tokens else None,
        tokens_unknown=sum(one.tokens_unknown for one in listed),
        cost_usd=cost,
        unpriced=sum(one.unpriced for one in listed),
        partly_priced=sum(one.partly_priced for one in listed),
    )


def totals_of(*, tokens: float | None, cost: CostFacts, is_error: bool) -> Totals:
    """Return what one operation comes to."""
    return Totals(
        operations=1,
        errors=int(is_error),
        tokens=None if tokens is None else int(tokens),
        tokens_unknown=int(tokens is None),
        cost_usd=cost.total_usd,
        unpriced=int(cost.total_usd is None),
        partly_priced=int(cost.is_lower_bound),
    )


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of a conversation: what is new in its request, after ``repeated`` messages that stand above."""

    operation: OperationFacts
    messages: tuple[Message, ...] = ()
    repeated: int = 0


class Conversation(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="conversation"):
    """The operations of one scope in the order of time. ``is_cut``: there are more than were read."""

    scope: str
    id: str
    turns: tuple[Turn, ...]
    totals: Totals
    is_cut: bool = False


class Node(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="node"):
    """A span or an operation of a trace, with everything below it.

    ``start_ms`` counts from the start of the trace. ``totals`` are of the operations in and below it.
    """

    id: str
    is_operation: bool
    name: str
    start_ms: float
    started_at: datetime
    duration_ms: float | None = None
    model: str | None = None
    error: str | None = None
    span_id: str | None = None
    totals: Totals = NOTHING
    children: tuple[Node, ...] = ()


class TraceTree(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="trace"):
    """The steps and operations of one scope as trees of what called what. ``is_cut``: there are more than were read.

    ``duration_ms`` is from the first start to the last end that is known.
    """

    scope: str
    id: str
    roots: tuple[Node, ...]
    totals: Totals
    spans: int = 0
    started_at: datetime | None = None
    duration_ms: float = 0.0
    is_cut: bool = False


Facts: TypeAlias = OperationFacts | Conversation | TraceTree


def to_dict(facts: Facts) -> dict[str, Any]:
    """Return facts as what JSON has: objects, lists, text, numbers."""
    found: dict[str, Any] = _listed(msgspec.to_builtins(facts, enc_hook=str))
    return found


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(one) for key, one in value.items()}
    return [_listed(one) for one in value] if isinstance(value, tuple | list) else value
