"""This module is where the one filter of all stores and readers is defined and checked.

A :class:`Filter` holds plain, checked values; every store turns the same values into its own words, and the same
filter returns the same records from each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from aicore_obs.errors import FilterError
from aicore_obs.model.frame_columns import FRAME_COLUMNS, OPINION_COLUMNS
from aicore_obs.model.predicate import Condition

ORDERS = ("asc", "desc")
STATUSES = ("ok", "error")
# Filters that take one text or several, each equal to the column of the same name.
MATCH_FIELDS = (
    "operation_id",
    "project",
    "provider",
    "operation_type",
    "model",
    "status",
    "session_id",
    "run_id",
    "workspace",
    "agent_id",
    "action_id",
    "user_id",
)
# Filters by size: field → (column, comparison).
RANGE_FIELDS = {
    "min_tokens": ("total_tokens", ">="),
    "max_tokens": ("total_tokens", "<="),
    "min_latency": ("latency_ms", ">="),
    "max_latency": ("latency_ms", "<="),
}
# The same for the cost that is shown: the newest revision's, else the operation's own.
COST_RANGES = {"min_cost": ">=", "max_cost": "<="}
# The same for the numbers of scores, each by the name of its score.
SCORE_RANGES = {"min_score": ">=", "max_score": "<="}
SCORE_FILTERS = ("scored", *SCORE_RANGES)


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which operations, in which order, with which columns. Make one with :meth:`of`, which checks the values.

    ``start`` is inclusive; ``end`` is inclusive unless ``end_exclusive``. A record without the value that a filter
    asks about does not match it. Several values of one field mean any of them; ``tags``, ``labels`` and the bounds of
    scores mean all; yes counts as 1 and no as 0, a category is no number.
    ``cost_as_of`` shows costs as they were then: later revisions are not seen; inclusive unless
    ``cost_as_of_exclusive``. ``where`` is what a lazy frame's predicate allows a store to leave out; a store that looks
    at it not at all is right, too, and with a ``limit`` there is none.
    """

    start: datetime | None = None
    end: datetime | None = None
    end_exclusive: bool = False
    operation_id: tuple[str, ...] | None = None
    project: tuple[str, ...] | None = None
    provider: tuple[str, ...] | None = None
    operation_type: tuple[str, ...] | None = None
    model: tuple[str, ...] | None = None
    status: tuple[str, ...] | None = None
    session_id: tuple[str, ...] | None = None
    run_id: tuple[str, ...] | None = None
    workspace: tuple[str, ...] | None = None
    agent_id: tuple[str, ...] | None = None
    action_id: tuple[str, ...] | None = None
    user_id: tuple[str, ...] | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    min_latency: float | None = None
    max_latency: float | None = None
    min_cost: Decimal | None = None
    max_cost: Decimal | None = None
    cost_as_of: datetime | None = None
    cost_as_of_exclusive: bool = False
    # Of our own questions, not a filter that users give: only operations whose id is below this one.
    id_below: str | None = None
    tags: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    flagged_for: tuple[str, ...] | None = None
    scored: tuple[str, ...] | None = None
    min_score: dict[str, float] = {}
    max_score: dict[str, float] = {}
    limit: int | None = None
    # How many of those that match are passed over first, before ``limit`` counts.
    offset: int = 0
    order: str = "asc"
    columns: tuple[str, ...] | None = None
    where: Condition | None = None

    @classmethod
    def of(cls, **filters: Any) -> Filter:
        """Check user-given filters and return them as one value.

        Raises:
            FilterError: a name or value that does not exist; the message lists the right ones.
        """
        wrong = sorted(set(filters) - set(FILTER_NAMES))
        if wrong:
            raise FilterError(f"unknown filter {', '.join(map(repr, wrong))}; filters are: {', '.join(FILTER_NAMES)}")
        checked: dict[str, Any] = {}
        for name, value in filters.items():
            if value is not None:
                checked.update(_CHECKS[name](name, value))
        return cls(**checked)


def _match(name: str, value: Any) -> dict[str, Any]:
    values = (value,) if isinstance(value, str) else value
    if not isinstance(values, Iterable) or isinstance(values, Mapping):
        raise FilterError(f"{name}={value!r}: a text or a list of texts is needed")
    texts = tuple(values)
    wrong = [one for one in texts if not isinstance(one, str)]
    if wrong:
        raise FilterError(f"{name}={value!r}: {wrong[0]!r} is no text")
    if name == "status" and not set(texts) <= set(STATUSES):
        raise FilterError(f"status={value!r}: statuses are {', '.join(STATUSES)}")
    return {name: texts}


def _tags(name: str, value: Any) -> dict[str, Any]:
    return _match(name, value)


def _labels(name: str, value: Any) -> dict[str, Any]:
    pairs = value.items() if isinstance(value, Mapping) else [(None, None)]
    if not all(isinstance(key, str) and isinstance(text, str) for key, text in pairs):
        raise FilterError(f"{name}={value!r}: a mapping of text to text is needed")
    return {name: dict(value)}


def _number(name: str, value: Any) -> dict[str, Any]:
    convert: Callable[[Any], Any] = Decimal if name.endswith("cost") else float
    try:
        number = convert(str(value)) if isinstance(value, int | float | Decimal | str) else None
        # NaN does not equal itself; a signalling one does not even compare.
        number = number if number == number else None
    except (ValueError, InvalidOperation):
        number = None
    if number is None or isinstance(value, bool):
        raise FilterError(f"{name}={value!r}: a number is needed")
    return {name: number}


def _bounds(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise FilterError(
            f"{name}={value!r}: a mapping of scores' names to numbers is needed, such as {{'helpful': 0.5}}"
        )
    return {name: {key: _number(name, bound)[name] for key, bound in value.items()}}


def _whole(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise FilterError(f"{name}={value!r}: a whole number of 0 or more is needed")
    return {name: value}


def _order(name: str, value: Any) -> dict[str, Any]:
    if value not in ORDERS:
        raise FilterError(f"{name}={value!r}: orders are {', '.join(ORDERS)} (by time)")
    return {name: value}


def _columns(name: str, value: Any) -> dict[str, Any]:
    names = tuple(_match(name, value)[name])
    known = (*FRAME_COLUMNS, *OPINION_COLUMNS)
    wrong = [one for one in names if one not in known]
    if wrong:
        raise FilterError(f"unknown column {', '.join(map(repr, wrong))}; columns are: {', '.join(known)}")
    return {name: names}


def _start(name: str, value: Any) -> dict[str, Any]:
    return {"start": _when(name, value)[0]}


def _end(name: str, value: Any) -> dict[str, Any]:
    when, exclusive = _until(name, value)
    return {"end": when, "end_exclusive": exclusive}


def _cost_as_of(name: str, value: Any) -> dict[str, Any]:
    when, exclusive = _until(name, value)
    return {name: when, f"{name}_exclusive": exclusive}


def _until(name: str, value: Any) -> tuple[datetime, bool]:
    """Return the end that is meant, and whether it is exclusive: a bare date means its whole day."""
    when, whole_day = _when(name, value)
    if not whole_day:
        return when, False
    if when.date() == date.max:
        return datetime.max.replace(tzinfo=UTC), False
    return when + timedelta(days=1), True


def time_of(name: str, value: Any) -> datetime:
    """Return the aware UTC time that a date (its first moment), a time or text of one means.

    Raises:
        FilterError: it is none.
    """
    return _when(name, value)[0]


def _when(name: str, value: Any) -> tuple[datetime, bool]:
    """Return the aware UTC time meant by ``value`` and whether it was a bare date."""
    given = value
    try:
        if isinstance(value, str):
            value = date.fromisoformat(value) if len(value) <= 10 else datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC), False
        if isinstance(value, date):
            return datetime.combine(value, time(), tzinfo=UTC), True
    except (ValueError, OverflowError):
        pass
    raise FilterError(f"{name}={given!r}: a date or time is needed, such as '2026-01-31' or '2026-01-31T12:00:00Z'")


_CHECKS: dict[str, Callable[[str, Any], dict[str, Any]]] = {
    "start_date": _start,
    "end_date": _end,
    **dict.fromkeys(MATCH_FIELDS, _match),
    "min_tokens": _whole,
    "max_tokens": _whole,
    "min_latency": _number,
    "max_latency": _number,
    "min_cost": _number,
    "max_cost": _number,
    "cost_as_of": _cost_as_of,
    "tags": _tags,
    "labels": _labels,
    "flagged_for": _match,
    "scored": _match,
    "min_score": _bounds,
    "max_score": _bounds,
    "limit": _whole,
    "offset": _whole,
    "order": _order,
    "columns": _columns,
}
FILTER_NAMES: tuple[str, ...] = tuple(_CHECKS)
