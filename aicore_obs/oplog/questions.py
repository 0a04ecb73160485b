"""This module is where the filters of ``db`` are named, and turned into those of the readers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypedDict

from aicore_obs.errors import FilterError
from aicore_obs.model.filter import FILTER_NAMES
from aicore_obs.oplog.record import Record

Texts = str | Sequence[str] | None


class Filters(TypedDict, total=False):
    """What ``db.query`` filters by; each means what it means to the collector's readers.

    ``ids`` are the collector's ``operation_id``; ``project=None`` is every project.
    """

    ids: Iterable[str | Record] | None
    model: Texts
    run_id: Texts
    flagged_for: Texts
    scored: Texts
    min_score: Mapping[str, float] | None
    max_score: Mapping[str, float] | None
    tags: Texts
    limit: int | None
    offset: int
    order: str
    project: Texts
    provider: Texts
    status: Texts
    session_id: Texts
    workspace: Texts
    agent_id: Texts
    action_id: Texts
    user_id: Texts
    labels: Mapping[str, str] | None
    start_date: str | date | datetime | None
    end_date: str | date | datetime | None
    min_tokens: int | None
    max_tokens: int | None
    min_latency: float | None
    max_latency: float | None
    min_cost: Decimal | float | str | None
    max_cost: Decimal | float | str | None


# Ours → the readers'.
_NAMES = {"operation": "operation_type", "ids": "operation_id"}
# The readers' own words are understood as well; columns are not ours to choose, costs of the past no part of a record.
_KNOWN = frozenset({"operation", *Filters.__annotations__, *FILTER_NAMES}) - {"columns", "cost_as_of"}


def readers_filters(filters: Mapping[str, Any], *, project: str | None) -> dict[str, Any]:
    """Return the readers' filters; newest first, and of one project, where nothing else is said.

    Raises:
        FilterError: a name that does not exist; the message lists the right ones.
    """
    wrong = sorted(filters.keys() - _KNOWN)
    if wrong:
        names = ", ".join(("operation", *Filters.__annotations__))
        raise FilterError(f"unknown filter {', '.join(map(repr, wrong))}; filters are: {names}")
    asked = {"project": project, "order": "desc", **{_NAMES.get(name, name): value for name, value in filters.items()}}
    if asked.get("operation_id") is not None:
        asked["operation_id"] = ids_of(asked["operation_id"])
    return {name: value for name, value in asked.items() if value is not None}


def ids_of(given: Any) -> list[str]:
    """Return ids, each once, of ids or records, or of one of them.

    Raises:
        FilterError: something is neither.
    """
    several = [given] if isinstance(given, str | Record) else given
    if not isinstance(several, Iterable) or isinstance(several, Mapping):
        raise FilterError(f"ids={given!r}: a list of ids or records is needed")
    ids = [one.id if isinstance(one, Record) else one for one in several]
    wrong = [one for one in ids if not isinstance(one, str)]
    if wrong:
        raise FilterError(f"ids: {wrong[0]!r} is neither an id nor a record")
    return list(dict.fromkeys(ids))
