"""This module is where the keyword parameters of ``record_*`` and the caller's context become fields of a record.

Each is checked by type. What is not what it should be is kept: as text where text is wanted, else in ``odd``.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypedDict

from aicore_obs.capture.plain import printable, to_plain
from aicore_obs.capture.redaction import without_secrets
from aicore_obs.capture.scrub import scrub
from aicore_obs.context import EMPTY, Context
from aicore_obs.errors import UnknownParameterError
from aicore_obs.guard import as_text, attempt
from aicore_obs.model.ids import from_microseconds
from aicore_obs.model.record import ErrorInfo

# The innermost ones.
MAX_STACK_FRAMES = 50
MAX_ODD_TEXT = 1_000


class RecordOptions(TypedDict, total=False):
    """The keyword-only parameters of ``record_completion``."""

    error: BaseException | str | Mapping[str, Any] | None
    extras: Mapping[str, Any] | None
    timestamp: datetime | str | float | None
    time_to_first_token_ms: float | None
    stream_state: str | None
    api: str | None
    session_id: str | None
    run_id: str | None
    seq: int | None
    workspace: str | None
    agent_id: str | None
    action_id: str | None
    user_id: str | None
    tags: tuple[str, ...] | list[str]
    labels: Mapping[str, str] | None


def check_parameters(options: Mapping[str, Any], *, also: tuple[str, ...] = ()) -> None:
    """Check that every option is a parameter of ``record_*`` (or one of ``also``).

    Raises:
        UnknownParameterError: one is not; the message lists the parameters.
    """
    unknown = options.keys() - _CHECKS.keys()
    if unknown and unknown - set(also):
        names = ", ".join(sorted(map(repr, unknown - set(also))))
        raise UnknownParameterError(
            f"record_completion() has no parameter {names}; keywords are: {', '.join(_CHECKS)} "
            "(anything else belongs into extras)"
        )


def fields_of(context: Context, options: Mapping[str, Any], odd: dict[str, Any]) -> dict[str, Any]:
    """Return the record's fields from the caller's context and options; what is odd is noted in ``odd``."""
    fields = (
        {}
        if context is EMPTY
        else {name: value for name in Context.__struct_fields__ if (value := getattr(context, name))}
    )
    for name, value in options.items():
        if value is not None:
            checked = _CHECKS[name](name, value, odd)
            fields[name] = _added(fields[name], checked) if name in fields else checked
    for name in ("extras", "labels"):
        if name in fields:
            fields[name] = without_secrets(fields[name])
    return fields


def rescued_fields(context: Context, options: Mapping[str, Any], odd: dict[str, Any]) -> dict[str, Any]:
    """Do as :func:`fields_of`, one by one and from plain data, where a value of a caller has raised at the touch."""
    fields = attempt(fields_of, context, {}, odd).value or {}
    for name, value in options.items():
        one = attempt(fields_of, EMPTY, {name: value}, odd)
        if one.error is not None:
            one = attempt(fields_of, EMPTY, {name: to_plain(value)[0]}, odd)
        fields.update(one.value or {})
    return fields


def _added(outer: Any, inner: Any) -> Any:
    """Labels, tags and extras add to those of the context; anything else replaces."""
    if isinstance(outer, dict):
        return {**outer, **inner}
    return tuple(dict.fromkeys((*outer, *inner))) if isinstance(outer, tuple) else inner


def text_of(name: str, value: Any, odd: dict[str, Any]) -> str | None:
    if value is None or type(value) is str:
        return value
    text = str.__str__(value) if isinstance(value, str) else as_text(value)
    if not isinstance(value, str | int):
        odd[name] = _shown(value)
    return text


def _shown(value: Any) -> str:
    return scrub(as_text(value)[:MAX_ODD_TEXT])


def quantity_of(name: str, value: Any, odd: dict[str, Any]) -> float | None:
    """Keep a number as given (marked when negative); what is no finite number is kept in ``odd`` only."""
    number = attempt(float, value).value if not isinstance(value, bool) else None
    if number is None or not math.isfinite(number) or isinstance(value, str):
        odd[name] = _shown(value)
        return None
    if number < 0:
        odd[name] = number
    return number


def _whole(name: str, value: Any, odd: dict[str, Any]) -> int | None:
    """Keep a place in an order; what is no whole number of 64 bits is kept in ``odd`` only."""
    if type(value) is int and 0 <= value < 2**63:
        return value
    odd[name] = _shown(value)
    return None


def _timestamp(name: str, value: Any, odd: dict[str, Any]) -> datetime | None:
    when = attempt(_as_time, value).value
    if when is None:
        odd[name] = _shown(value)
    return when


def _as_time(value: Any) -> datetime:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    return from_microseconds(round(float(value) * 1_000_000))


def _labels(name: str, value: Any, odd: dict[str, Any]) -> dict[str, str]:
    pairs = attempt(lambda: list(value.items())).value
    if pairs is None:
        odd[name] = _shown(value)
        return {}
    if not all(isinstance(key, str) and isinstance(text, str) for key, text in pairs):
        odd[name] = _shown(value)
    return {as_text(key): as_text(text) for key, text in pairs}


def _tags(name: str, value: Any, odd: dict[str, Any]) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else attempt(lambda: list(value)).value
    if items is None:
        items = [value]
    if not all(isinstance(item, str) for item in items) or isinstance(value, str):
        odd[name] = _shown(value)
    return tuple(map(as_text, items))


def _extras(name: str, value: Any, odd: dict[str, Any]) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    plain = to_plain(value)[0]
    if isinstance(plain, dict):
        return plain
    odd[name] = "no mapping; kept under the key 'value'"
    return {"value": plain}


def error_of(value: Any) -> ErrorInfo | None:
    """Return what an error says, whatever form it came in, without keys and passwords."""
    if value is None or isinstance(value, ErrorInfo):
        return value
    if value is False or (isinstance(value, str) and not value):
        return None
    if isinstance(value, BaseException):
        stack = attempt(lambda: "".join(traceback.format_exception(value, limit=-MAX_STACK_FRAMES))).value
        parts = {"type": type(value).__name__, "message": as_text(value), "stack": stack}
    elif isinstance(value, Mapping):
        parts = {name: value.get(name) for name in ("type", "message", "stack")}
    else:
        parts = {"message": as_text(value)}
    return ErrorInfo(**{name: printable(scrub(as_text(part))) for name, part in parts.items() if part is not None})


_CHECKS: dict[str, Callable[[str, Any, dict[str, Any]], Any]] = {
    "error": lambda _name, value, _odd: error_of(value),
    "extras": _extras,
    "timestamp": _timestamp,
    "time_to_first_token_ms": quantity_of,
    "stream_state": text_of,
    "api": text_of,
    "session_id": text_of,
    "run_id": text_of,
    "seq": _whole,
    "workspace": text_of,
    "agent_id": text_of,
    "action_id": text_of,
    "user_id": text_of,
    "tags": _tags,
    "labels": _labels,
}


def positional(
    operation_type: str = "completion",
    provider: str | None = None,
    response: Any = None,
    latency_ms: float | None = None,
    **options: Any,
) -> tuple[Any, ...]:
    """Return what follows the request in a call of ``record_completion``, in the order in which a capture takes it."""
    return operation_type, provider, response, latency_ms, options
