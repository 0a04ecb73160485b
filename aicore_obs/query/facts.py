"""This module is where operations and spans are read from a store as the facts that are shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import polars as pl

from aicore_obs import plugins
from aicore_obs.display.facts import (
    NOTHING,
    Conversation,
    CostFacts,
    Facts,
    OperationFacts,
    Totals,
    TraceTree,
    totals_of,
)
from aicore_obs.display.shown import Shown
from aicore_obs.display.talk import conversation_of
from aicore_obs.display.tree import Step, tree_of
from aicore_obs.errors import StoreNotFoundError, UnknownIdError
from aicore_obs.guard import attempt
from aicore_obs.model.events import Span
from aicore_obs.model.frame_columns import FRAME_COLUMNS
from aicore_obs.model.record import ErrorInfo
from aicore_obs.model.usage import COUNT_FIELDS, TOKEN_FIELDS
from aicore_obs.protocols import Address, Spans
from aicore_obs.query.ids import OPERATION, TRACE, Found, Ids
from aicore_obs.query.scan import scan
from aicore_obs.shapes.answers import read_answer
from aicore_obs.shapes.messages import read_messages

# More operations than anybody reads at once, with their texts and without.
MOST_TURNS = 500
MOST_STEPS = 5_000
_ALSO = ("extras_json", "labels_json", "flags_json", "scores_json")
_WHOLE = (*(name for name in FRAME_COLUMNS if name not in ("labels", "extras")), *_ALSO)
_IN_A_TREE = (
    *("operation_id", "timestamp", "api", "operation_type", "model", "status", "error_type", "error_message"),
    *("latency_ms", "total_tokens", "cost_usd", "cost_reason", "trace_id", "span_id", "parent_id"),
)
_TEXTS = ("operation_type", "status", "provider", "model", "response_model", "api", "server_address", "finish_reason",
          "stream_state", "latency_ms", "time_to_first_token_ms")  # fmt: skip
_SCOPES = ("project", "session_id", "run_id", "trace_id", "span_id", "parent_id", "seq", "workspace", "agent_id",
           "action_id", "user_id", "response_id")  # fmt: skip
_TOTALS = ("input_tokens", "output_tokens", "total_tokens")
Before = Callable[[], object]
Row = Mapping[str, Any]


class Reading:
    """What is shown of one store; arguments as in :class:`~aicore_obs.query.ids.Ids`."""

    def __init__(self, address: Address, *, before: Before | None = None, is_ours: bool = False) -> None:
        self._address = address
        self._before = before
        self._is_ours = is_ours
        self._ids = Ids(address, before=before, is_ours=is_ours)

    def anything(self, given: str) -> OperationFacts | Conversation | TraceTree:
        found = self._ids.find(given)
        if found.scope == OPERATION:
            return self._operation(found.id)
        return self._trace(found) if found.scope == TRACE else self._conversation(found)

    def operation(self, given: str) -> OperationFacts:
        found = self._ids.find(given)
        if found.scope != OPERATION:
            kind = found.scope.removesuffix("_id")
            raise UnknownIdError(f"{found.id!r} is the id of a {kind}, not of an operation: show_conversation and "
                                 "show_trace show what is in it")  # fmt: skip
        return self._operation(found.id)

    def conversation(self, given: str) -> Conversation:
        return self._conversation(self._ids.find(given))

    def trace(self, given: str) -> TraceTree:
        found = self._ids.find(given)
        if found.scope == OPERATION:
            traces = [row[TRACE] for row in self._rows(found, (TRACE,), 1) if row[TRACE] is not None]
            found = Found(TRACE, traces[0]) if traces else found
        return self._trace(found)

    def _operation(self, operation_id: str) -> OperationFacts:
        return operation_of(self._rows(Found(OPERATION, operation_id), _WHOLE, 1)[0])

    def _conversation(self, found: Found) -> Conversation:
        rows = self._rows(found, _WHOLE, MOST_TURNS + 1)
        operations = map(operation_of, rows[:MOST_TURNS])
        return conversation_of(found.scope, found.id, operations, is_cut=len(rows) > MOST_TURNS)

    def _trace(self, found: Found) -> TraceTree:
        rows = self._rows(found, _IN_A_TREE, MOST_STEPS + 1)
        spans = self._spans(found)
        steps = [*map(_step_of_row, rows[:MOST_STEPS]), *map(_step_of_span, spans[:MOST_STEPS])]
        return tree_of(found.scope, found.id, steps, is_cut=max(len(rows), len(spans)) > MOST_STEPS)

    def _spans(self, found: Found) -> list[Span]:
        reader = plugins.reader(self._address)
        if found.scope == OPERATION or not isinstance(reader, Spans):
            return []
        with suppress(StoreNotFoundError):
            return list(reader.spans(found.scope, found.id, limit=MOST_STEPS + 1))
        return []

    def _rows(self, found: Found, columns: tuple[str, ...], limit: int) -> list[dict[str, Any]]:
        filters = {} if found.scope == TRACE else {found.scope: found.id}
        frame = scan(self._address, filters, before=self._before, is_ours=self._is_ours, also=_ALSO)
        if found.scope == TRACE:
            frame = frame.filter(pl.col(TRACE) == found.id)
        return frame.select(columns).head(limit).collect().to_dicts()


def shown(
    address: Address,
    what: str,
    given: str,
    *,
    full: bool = False,
    before: Before | None = None,
    is_ours: bool = False,
) -> Shown[Facts]:
    """Return what is shown of an id; ``what`` names a method of :class:`Reading`.

    Raises:
        UnknownIdError: the store has no such id.
        StoreNotFoundError: there is no store.
    """
    reading = Reading(address, before=before, is_ours=is_ours)
    return Shown(getattr(reading, what)(given), full=full)


def operation_of(row: Row) -> OperationFacts:
    """Return one operation of a row of a whole frame."""
    response = _json(row["response"])
    beside = {name: row[name] for name in (*TOKEN_FIELDS, *COUNT_FIELDS) if row[name] is not None}
    return OperationFacts(
        id=row["operation_id"],
        timestamp=_in_utc(row["timestamp"]),
        **{name: row[name] for name in _TEXTS},
        usage={**{name: row[name] for name in _TOTALS}, **beside},
        cost=CostFacts(
            total_usd=row["cost_usd"],
            input_usd=row["input_cost_usd"],
            output_usd=row["output_cost_usd"],
            source=row["cost_source"],
            reason=row["cost_reason"],
            price_id=row["price_id"],
            model=row["priced_model"],
        ),
        error=_error(row),
        request=read_messages(_json(row["completion_args"])),
        answers=read_answer(response, row["response_text"]),
        scopes={name: row[name] for name in _SCOPES if row[name] is not None},
        labels=_object(row["labels_json"]),
        tags=tuple(row["tags"] or ()),
        flags=tuple(sorted({one["reason"] for one in _json(row["flags_json"]) or ()})),
        scores={one["name"]: _json(one["value"]) for one in _listed(row["scores_json"])},
        extras=_object(row["extras_json"]),
    )


def _error(row: Row) -> ErrorInfo | None:
    error = ErrorInfo(type=row["error_type"], message=row["error_message"], stack=row["error_stack"])
    return error if row["status"] == "error" or error != ErrorInfo() else None


def _step_of_row(row: Row) -> Step:
    is_error = row["status"] == "error"
    cost = CostFacts(total_usd=row["cost_usd"], reason=row["cost_reason"])
    return Step(
        id=row["operation_id"],
        is_operation=True,
        name=row["api"] or row["operation_type"],
        started_at=_in_utc(row["timestamp"]),
        duration_ms=row["latency_ms"],
        model=row["model"],
        error=_told(row["error_type"], row["error_message"]) if is_error else None,
        span_id=row["span_id"],
        parent_id=row["parent_id"],
        totals=totals_of(tokens=row["total_tokens"], cost=cost, is_error=is_error),
    )


def _step_of_span(span: Span) -> Step:
    return Step(
        id=span.id,
        is_operation=False,
        name=span.name,
        started_at=span.timestamp,
        duration_ms=span.duration_ms,
        error=None if span.error is None else _told(span.error.type, span.error.message),
        span_id=span.span_id,
        parent_id=span.parent_id,
        totals=NOTHING if span.error is None else Totals(errors=1),
    )


def _told(kind: str | None, message: str | None) -> str:
    return f"{kind or 'Error'}: {message}" if message else kind or "Error"


def _listed(text: str | None) -> Iterator[dict[str, Any]]:
    return iter(sorted(_json(text) or (), key=lambda one: str(one["name"])))


def _object(text: str | None) -> dict[str, Any]:
    found = _json(text)
    return found if isinstance(found, dict) else {}


def _json(text: str | None) -> Any:
    """Return what JSON text holds; lone surrogates, which a payload may hold, stay; what cannot be read stays text."""
    if text is None:
        return None
    for read in (msgspec.json.decode, json.loads):
        found = attempt(read, text)
        if found.error is None:
            return found.value
    return text


def _in_utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC)
