"""This module is where our own exports are described: the columns of a frame, as JSON lines or Parquet.

The ids are kept, and so is every column; what an export does not have (where its usage was read, what its price
depends on) is read again from the payloads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from aicore_obs.capture.plain import encodable
from aicore_obs.derivation import derive
from aicore_obs.guard import attempt
from aicore_obs.importing.made import BadRow, required, time_of, unpacked
from aicore_obs.model import codec
from aicore_obs.model.cost import Cost
from aicore_obs.model.escape import escape
from aicore_obs.model.frame_columns import NOT_PRICED
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.record import FIRST_VERSION, ErrorInfo, Payload, Record
from aicore_obs.model.usage import Usage

name = "export"
_PLAIN = ("project", "operation_type", "provider", "api", "latency_ms", "time_to_first_token_ms", "session_id",
          "run_id", "trace_id", "span_id", "parent_id", "seq", "workspace", "agent_id", "action_id",
          "user_id")  # fmt: skip
_DERIVED = ("model", "response_model", "response_id", "server_address", "finish_reason", "stream_state", "temperature",
            "max_tokens", "usage_source")  # fmt: skip
_TEXTS = frozenset({"labels", "extras", "completion_args", "response"})
_COST = {"source": "cost_source", "reason": "cost_reason", "model": "priced_model", "price_id": "price_id"}
_AMOUNTS = {"total": "cost_usd", "input": "input_cost_usd", "output": "output_cost_usd"}


def fits(row: Mapping[str, Any]) -> bool:
    """Return whether a row is one of ours."""
    return {"operation_id", "timestamp", "operation_type"} <= row.keys() and (
        "cost_usd" in row or "usage_source" in row or "trace_id" in row
    )


def decoded(element: bytes) -> dict[str, Any]:
    """Return a line's columns; what is JSON text in a frame stays text, so that no number is spelled anew."""
    try:
        members = msgspec.json.decode(element, type=dict[str, msgspec.Raw])
    except ValueError:
        # Lone surrogates, which Python's own reader takes; or no JSON, which it raises for.
        found = json.loads(element)
        return {key: json.dumps(one) if key in _TEXTS and one is not None else one for key, one in found.items()}
    return {
        key: bytes(raw).decode() if key in _TEXTS and bytes(raw) != b"null" else msgspec.json.decode(raw)
        for key, raw in members.items()
    }


def records(row: Mapping[str, Any], tz: tzinfo) -> Iterator[Record]:
    """Yield the operation of one row."""
    known = {field: row[field] for field in _PLAIN if row.get(field) is not None}
    error = ErrorInfo(**{part: row.get(f"error_{part}") for part in ("type", "message", "stack")})
    request, response, escaped = _payloads(row)
    made = Operation(
        id=required(row, "operation_id"),
        timestamp=time_of(row.get("timestamp"), tz),
        v=FIRST_VERSION,
        labels=_labels(row.get("labels")),
        tags=tuple(row.get("tags") or ()),
        extras=_payload(row.get("extras")),
        error=error if row.get("status") == "error" or error != ErrorInfo() else None,
        escaped=escaped,
        completion_args=request,
        response=response,
        **known,
    )
    try:
        # As the road would take it; a column of another type than ours is found here.
        line = codec.encode(msgspec.structs.replace(made, derived=_derived(made, row)))
        yield codec.decode(line)
    except (TypeError, ValueError) as error_:
        raise BadRow("a column of another type") from error_


def _derived(made: Operation, row: Mapping[str, Any]) -> Derived:
    """Return what the columns say; the parts that are no columns as they are read from the payloads again."""
    again = derive(made) or Derived()
    usage = Usage(**{field: row.get(field) for field in Usage.__struct_fields__})
    told = {field: row.get(field) for field in _DERIVED}
    return msgspec.structs.replace(again, **told, usage=usage, cost=_cost(row))


def _cost(row: Mapping[str, Any]) -> Cost:
    try:
        told: dict[str, Any] = {part: Decimal(row[one]) for part, one in _AMOUNTS.items() if row.get(one) is not None}
    except (InvalidOperation, TypeError, ValueError) as error:
        raise BadRow("an amount that is none") from error
    told |= {part: row.get(field) for part, field in _COST.items()}
    cost = Cost(**told)
    # It has a reason always, so that what had no price in the past is not priced by today's.
    return cost if cost.total is not None or cost.reason else Cost(reason=NOT_PRICED)


def _labels(value: Any) -> dict[str, Any]:
    found = unpacked(value)
    return found if isinstance(found, dict) else {}


def _payloads(row: Mapping[str, Any]) -> tuple[Payload, Payload, bool]:
    """Return request and response, and whether lone surrogates had to be escaped in them again."""
    given = (row.get("completion_args"), row.get("response"))
    if all(one is None or attempt(msgspec.json.decode, one).error is None for one in given):
        return _payload(given[0]), _payload(given[1]), False
    # Python's own reader takes lone surrogates, and JSON that is none raises here.
    texts = [None if one is None else msgspec.json.encode(encodable(json.loads(one), escape)).decode() for one in given]
    return _payload(texts[0]), _payload(texts[1]), True


def _payload(value: Any) -> Payload:
    if value is None:
        return msgspec.UNSET
    return msgspec.Raw(value.encode())
