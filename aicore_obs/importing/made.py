"""This module is where a row of another program becomes a record: one id, secrets removed, usage and cost kept.

Every value goes through the same capture as a call that is recorded, so that keys are removed and odd values marked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any, cast

import msgspec

from aicore_obs.capture.record import Capture
from aicore_obs.derivation import derive
from aicore_obs.model import codec
from aicore_obs.model.cost import Cost, money
from aicore_obs.model.ids import id_from
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.usage import NO_USAGE, Usage, count_of, settled

_capture = Capture(derive=derive)
# Text headers that ``record_completion`` has no parameter for.
_HEADER = ("project", "trace_id", "span_id", "parent_id")


class BadRow(ValueError):  # noqa: N818 - a verdict on the source's row
    """A row from which no record can be made; the message is the reason, without the row's values."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call as another program kept it: who it was (``source``), and what it says in our words.

    ``described`` is the provider whose description reads the response, where that is not ``provider``. What is in
    ``told`` (fields of :class:`Derived`), ``usage`` and ``cost`` goes before what the payloads say; None says nothing.
    """

    source: tuple[str, ...]
    when: datetime
    request: Any = None
    response: Any = None
    operation_type: str = "completion"
    provider: str | None = None
    described: str | None = None
    latency_ms: float | None = None
    options: Mapping[str, Any] = {}
    header: Mapping[str, str | None] = {}
    seq: int | None = None
    told: Mapping[str, Any] = {}
    usage: Usage = NO_USAGE
    cost: Cost | None = None


def operation(call: Call) -> Operation:
    """Return the operation of a call; its cost is None where the source has none, so that it is priced on its way."""
    options = {name: value for name, value in call.options.items() if value not in (None, "", (), {})}
    provider = call.described or call.provider
    captured = _capture.operation(
        call.request, call.operation_type, provider, call.response, call.latency_ms, {**options, "timestamp": call.when}
    )
    made = cast("Operation", codec.decode(captured.line))
    header = {name: text(call.header.get(name)) for name in _HEADER}
    request = made.completion_args if call.request else msgspec.UNSET
    made = msgspec.structs.replace(
        made, id=id_from(call.when, *call.source), seq=call.seq, completion_args=request, **header
    )
    return msgspec.structs.replace(made, provider=call.provider, derived=_derived(made, call))


def _derived(made: Operation, call: Call) -> Derived | None:
    read = derive(made) or Derived()
    told = {name: value for name, value in call.told.items() if value not in (None, "")}
    usage = read.usage if call.usage == NO_USAGE else settled(call.usage)
    source = read.usage_source if call.usage == NO_USAGE else call.source[0]
    found = msgspec.structs.replace(read, **told, usage=usage, usage_source=source, cost=call.cost)
    return None if found == Derived() else found


def text(value: Any) -> str | None:
    """Return a text that says something, else None."""
    return value if isinstance(value, str) and value else None


def number(value: Any) -> float | None:
    """Return a number of 0 or more, else None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) and value >= 0 else None


def counts(**values: Any) -> Usage:
    """Return the counts that are counts; where all are zero nobody counted."""
    known = {name: count for name, value in values.items() if (count := count_of(value)) is not None}
    return Usage(**known) if any(known.values()) else NO_USAGE


def cost_of(amount: Any, source: str) -> Cost | None:
    """Return what the source reckoned; 0 is what programs write that did not know, and so is no cost."""
    value = number(amount)
    return Cost(total=money(Decimal(repr(amount))), source=source) if value and value < _MOST_USD else None


_MOST_USD = 1e9


def time_of(value: Any, tz: tzinfo = UTC) -> datetime:
    """Return a time in UTC; one that names no zone is of ``tz``.

    Raises:
        BadRow: it is no time.
    """
    try:
        when = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return (when if when.tzinfo else when.replace(tzinfo=tz)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRow("no time") from error


def unpacked(value: Any) -> Any:
    """Return JSON that a column holds as text as what it says; other text stays text, and nothing is None."""
    if not isinstance(value, str) or not value:
        return None if value in ("", b"") else value
    try:
        return msgspec.json.decode(value)
    except (ValueError, RecursionError):
        return value


def required(row: Mapping[str, Any], name: str) -> str:
    """Return a text that a row must have.

    Raises:
        BadRow: it has none.
    """
    value = text(row.get(name))
    if value is None:
        raise BadRow(f"no {name}")
    return value


def objects(value: Any) -> dict[str, Any] | None:
    """Return an object with something in it, else None."""
    found = unpacked(value)
    return found if isinstance(found, dict) and found else None
