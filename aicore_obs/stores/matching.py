"""This module is where a filter is tried on a record in memory: the same meaning as the SQL of the databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from aicore_obs.model.events import CostRevision, Flag, Score
from aicore_obs.model.filter import COST_RANGES, MATCH_FIELDS, RANGE_FIELDS, SCORE_RANGES, Filter
from aicore_obs.model.ids import to_microseconds
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.record import Record

Match = Callable[[Operation], bool]
_NOTHING = Derived()
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": lambda value, bound: value >= bound,
    "<=": lambda value, bound: value <= bound,
    "<": lambda value, bound: value < bound,
}


def matcher(query: Filter) -> Match:
    """Return the test of one operation; flags, costs, order and limit concern many records and are not in it."""
    checks = list(_checks(query))
    return lambda operation: all(check(operation) for check in checks)


def header_matcher(query: Filter) -> Callable[[Record], bool]:
    """Return the test of a record of any kind by its header: time, project, session, run."""
    asked = {name: frozenset(map(storable, getattr(query, name))) for name in _HEADERS if getattr(query, name)}
    times: list[Callable[[Any], bool]] = list(_times(query))
    return lambda record: (
        all(check(record) for check in times) and all(getattr(record, name) in one for name, one in asked.items())
    )


_HEADERS = ("project", "session_id", "run_id")


def _checks(query: Filter) -> Iterator[Match]:
    yield from _times(query)
    if query.id_below is not None:
        yield _below(query.id_below)
    for name in MATCH_FIELDS:
        values = getattr(query, name)
        if values is not None:
            yield _one_of(name, frozenset(map(storable, values)))
    for name, (column, comparison) in RANGE_FIELDS.items():
        bound = getattr(query, name)
        if bound is not None:
            yield _range(column, comparison, bound)
    if query.tags:
        yield _tags(frozenset(map(storable, query.tags)))
    if query.labels:
        yield _labels({storable(key): storable(value) for key, value in query.labels.items()})


def _below(bound: str) -> Match:
    return lambda operation: operation.id < bound


def _times(query: Filter) -> Iterator[Match]:
    if query.start is not None:
        yield _time(">=", query.start)
    if query.end is not None:
        yield _time("<" if query.end_exclusive else "<=", query.end)


def storable(text: str) -> str:
    """Return text as the header of a record holds it: what UTF-8 cannot hold by its name (``\\ud800``)."""
    return text.encode("utf-8", "backslashreplace").decode()


def _time(comparison: str, bound: datetime) -> Match:
    compare = _COMPARE[comparison]
    return lambda operation: compare(operation.timestamp, bound)


def _one_of(name: str, values: frozenset[str]) -> Match:
    if name == "model":
        return lambda operation: (operation.derived or _NOTHING).model in values
    if name == "operation_id":
        return lambda operation: operation.id in values
    return lambda operation: getattr(operation, name) in values


def _range(column: str, comparison: str, bound: Any) -> Match:
    compare = _COMPARE[comparison]

    def check(operation: Operation) -> bool:
        value = _number(operation, column)
        return value is not None and compare(value, bound)

    return check


def _number(operation: Operation, column: str) -> Any:
    if column == "total_tokens":
        return (operation.derived or _NOTHING).usage.total_tokens
    return getattr(operation, column)


def _tags(wanted: frozenset[str]) -> Match:
    return lambda operation: wanted.issubset(operation.tags)


def _labels(wanted: dict[str, str]) -> Match:
    return lambda operation: all(operation.labels.get(key) == value for key, value in wanted.items())


def cost_matcher(query: Filter) -> Callable[[Decimal | None], bool] | None:
    """Return the test of the cost that is shown, None when the filter does not ask; what is unknown fails it."""
    bounds = [(_COMPARE[sign], getattr(query, name)) for name, sign in COST_RANGES.items()]
    asked = [(compare, bound) for compare, bound in bounds if bound is not None]
    if not asked:
        return None
    return lambda amount: amount is not None and all(compare(amount, bound) for compare, bound in asked)


def is_seen(revision: CostRevision, query: Filter) -> bool:
    """Return whether a revision was there at the time whose costs are asked for."""
    if query.cost_as_of is None:
        return True
    compare = _COMPARE["<" if query.cost_as_of_exclusive else "<="]
    return compare(revision.timestamp, query.cost_as_of)


class FoldedFlags:
    """Which operations are flagged for what, folded from flag records in any order; the newest record (by id) wins."""

    def __init__(self) -> None:
        # operation → reason → the newest record; the reason of an un-flag of all is ''
        self._newest: dict[str, dict[str, Flag]] = {}

    def add(self, flag: Flag) -> None:
        """Take one flag record."""
        reason = flag.reason or ""
        for operation in flag.operation_ids:
            marks = self._newest.setdefault(operation, {})
            if reason not in marks or marks[reason].id < flag.id:
                marks[reason] = flag

    def any_of(self, operation: str, reasons: Sequence[str]) -> bool:
        """Return whether an operation is flagged for one of the reasons."""
        return not {mark.reason for mark in self._marks(operation)}.isdisjoint(map(storable, reasons))

    def of(self, operation: str) -> str | None:
        """Return the marks of an operation as the databases do: a JSON list of objects; None where there are none."""
        marks = [
            {"id": mark.id, "reason": mark.reason, "note": mark.note, "at": to_microseconds(mark.timestamp)}
            for mark in self._marks(operation)
        ]
        return msgspec.json.encode(marks).decode() if marks else None

    def _marks(self, operation: str) -> Iterator[Flag]:
        marks = self._newest.get(operation, {})
        cleared = marks[""].id if "" in marks else ""
        return (mark for reason, mark in marks.items() if reason and mark.active and mark.id > cleared)


class FoldedScores:
    """What operations were scored, folded from score records in any order; the newest record (by id) of a name wins."""

    def __init__(self) -> None:
        # operation → name → the newest record
        self._newest: dict[str, dict[str, Score]] = {}

    def add(self, score: Score) -> None:
        """Take one score record."""
        scores = self._newest.setdefault(score.operation_id, {})
        if score.name not in scores or scores[score.name].id < score.id:
            scores[score.name] = score

    def match(self, operation: str, query: Filter) -> bool:
        """Return whether the scores of an operation are what a filter asks for."""
        held = {score.name: score for score in self._scores(operation)}
        if query.scored is not None and held.keys().isdisjoint(map(storable, query.scored)):
            return False
        return all(
            _is_within(held.get(storable(name)), comparison, bound)
            for field, comparison in SCORE_RANGES.items()
            for name, bound in getattr(query, field).items()
        )

    def of(self, operation: str) -> str | None:
        """Return the scores of an operation as the databases do: a JSON list of objects; None where there are none."""
        scores = [
            {
                "id": score.id,
                "name": score.name,
                "value": score_text(score),
                "comment": score.comment,
                "at": to_microseconds(score.timestamp),
            }
            for score in self._scores(operation)
        ]
        return msgspec.json.encode(scores).decode() if scores else None

    def _scores(self, operation: str) -> Iterator[Score]:
        return (score for score in self._newest.get(operation, {}).values() if score.value is not None)


def _is_within(score: Score | None, comparison: str, bound: float) -> bool:
    number = None if score is None else score_number(score)
    return number is not None and _COMPARE[comparison](number, bound)


def score_text(score: Score) -> str | None:
    """Return the value of a score as JSON text, None where it is taken away."""
    return None if score.value is None else msgspec.json.encode(score.value).decode()


def score_number(score: Score) -> float | None:
    """Return the value of a score as a number to compare; see :func:`number_of`."""
    return number_of(score.value)


def number_of(value: bool | float | str | None) -> float | None:
    """Return what a score says as a number to compare: yes is 1, no is 0, a category is none."""
    return None if isinstance(value, str | None) else float(value)
