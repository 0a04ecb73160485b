"""This module is where the predicate that Polars hands to a scan is read, as far as a store can be told of it.

Polars gives a predicate as an expression and shows its inside as JSON, of which it promises nothing from one version
to the next. What is not known here is left out, down to the whole predicate: the scan tries all of it again on the
rows that come, so what is read only has to let through every row that the predicate wants.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any, cast

import polars as pl

from aicore_obs.model.frame_columns import PAYLOAD_COLUMNS
from aicore_obs.model.predicate import (
    CONTAINS,
    ENDS,
    STARTS,
    Compare,
    Condition,
    Either,
    Every,
    Has,
    Known,
    OneOf,
    Part,
)

# More than anybody writes by hand; a longer statement costs a database more than the rows it would leave out.
MOST_VALUES = 10_000
_COMPARISONS = {"Eq": "==", "NotEq": "!=", "Lt": "<", "LtEq": "<=", "Gt": ">", "GtEq": ">="}
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_MIRRORED = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_BOUNDS = {"Both": (">=", "<="), "Left": (">=", "<"), "Right": (">", "<="), "None": (">", "<")}
_INT64 = range(-(2**63), 2**63)
# Far more than the error of a number that became a float, and far less than anybody means.
_SLACK = Decimal("1e-14")
_WIDE = Context(prec=60)
# Stands for characters that UTF-8 cannot hold: the store holds something else in its place.
_REPLACEMENT = "\ufffd"
_OTHER_FORMAT = (
    *(LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError),
    pl.exceptions.PolarsError,
)
# The field in which a store puts the labels past its cap.
REST = "_rest"
_Node = Mapping[str, Any]
Schema = Mapping[str, pl.DataType]


def read_predicate(predicate: pl.Expr, schema: Schema) -> Condition | None:
    """Return what of a predicate a store can be told of; None when that is nothing.

    Each row for which the predicate is true satisfies the condition.
    """
    try:
        return _Reading(schema).condition(json.loads(_serialized(predicate)), wanted=True)
    except _OTHER_FORMAT:
        return None


def _serialized(expression: pl.Expr) -> str:
    with warnings.catch_warnings():
        # Of a format that is not promised to stay.
        warnings.simplefilter("ignore")
        return expression.meta.serialize(format="json")


class _Reading:
    """Reads the nodes of one predicate; ``wanted`` False: the opposite of the node is asked for."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def condition(self, node: Any, *, wanted: bool) -> Condition | None:
        kind, inside = _only(node)
        if kind == "BinaryExpr":
            return self._binary(inside, wanted=wanted)
        return self._function(inside, wanted=wanted) if kind == "Function" else None

    def _binary(self, node: _Node, *, wanted: bool) -> Condition | None:
        if node["op"] in ("And", "Or"):
            parts = [self.condition(node[side], wanted=wanted) for side in ("left", "right")]
            return _every(parts) if (node["op"] == "And") == wanted else _either(parts)
        comparison = _COMPARISONS.get(node["op"])
        if comparison is None:
            return None
        left, right = node["left"], node["right"]
        if _is_constant(left):
            left, right, comparison = right, left, _MIRRORED[comparison]
        return self._compare(left, comparison if wanted else _OPPOSITE[comparison], right)

    def _compare(self, left: Any, comparison: str, right: Any) -> Condition | None:
        column, is_rounded = _column(left)
        if not _is_constant(right):
            return None
        value = _constant(right)
        if column is None:
            return self._has(left, comparison, value)
        if is_rounded:
            return self._near(column, comparison, value)
        value = self._fitting(column, value)
        return None if value is None else Compare(column, comparison, value)

    def _has(self, node: Any, comparison: str, value: Any) -> Condition | None:
        """Return that a label has a text; the field of all labels that are too many to have their own is none."""
        name, inside = _only(node)
        _, function = _only(inside["function"]) if name == "Function" else ("", {})
        label = function.get("FieldByName") if isinstance(function, dict) else None
        text = _text(value)
        if not isinstance(label, str) or label == REST or text is None or comparison != "==":
            return None
        return Has("labels", label, text) if inside["input"] == [{"Column": "labels"}] else None

    def _near(self, column: str, comparison: str, value: Any) -> Condition | None:
        """Return a comparison of a column that became floats: with a bound beyond which no rounding leads."""
        if not isinstance(value, float) or not math.isfinite(value) or comparison == "!=":
            return None
        exact = Decimal(value)
        slack = _WIDE.multiply(exact.copy_abs(), _SLACK)
        bounds: list[Condition | None] = []
        if comparison in (">", ">=", "=="):
            bounds.append(self._bound(column, ">=", _WIDE.subtract(exact, slack)))
        if comparison in ("<", "<=", "=="):
            bounds.append(self._bound(column, "<=", _WIDE.add(exact, slack)))
        return _every(bounds)

    def _bound(self, column: str, comparison: str, bound: Decimal) -> Condition | None:
        dtype = self._schema[column]
        if dtype == pl.Int64:
            whole = math.floor(bound) if comparison == ">=" else math.ceil(bound)
            return Compare(column, comparison, whole) if whole in _INT64 else None
        return Compare(column, comparison, bound) if isinstance(dtype, pl.Decimal) else None

    def _function(self, node: _Node, *, wanted: bool) -> Condition | None:
        family, function = _only(node["function"])
        if family == "Boolean":
            name, options = _only(function)
            read = _BOOLEAN.get(name)
            return None if read is None else read(self, node["input"], options, wanted)
        if family == "StringExpr":
            return self._part(node["input"], *_only(function), wanted=wanted)
        return None

    def known(self, given: Sequence[Any], _options: Any, wanted: bool) -> Condition | None:
        column, is_rounded = _column(given[0])
        is_told = column is not None and not is_rounded and self._kind(column) is not None
        return Known(cast("str", column), wanted) if is_told else None

    def unknown(self, given: Sequence[Any], options: Any, wanted: bool) -> Condition | None:
        return self.known(given, options, not wanted)

    def opposite(self, given: Sequence[Any], _options: Any, wanted: bool) -> Condition | None:
        return self.condition(given[0], wanted=not wanted)

    def between(self, given: Sequence[Any], options: Any, wanted: bool) -> Condition | None:
        comparisons = _BOUNDS[options["closed"]]
        pairs = zip(comparisons, given[1:], strict=True)
        if not all(_is_constant(bound) for bound in given[1:]):
            return None
        parts = [
            self._compare(given[0], comparison if wanted else _OPPOSITE[comparison], bound)
            for comparison, bound in pairs
        ]
        return _every(parts) if wanted else _either(parts)

    def one_of(self, given: Sequence[Any], options: Any, wanted: bool) -> Condition | None:
        column, is_rounded = _column(given[0])
        if column is None or is_rounded or options["nulls_equal"] or not _is_constant(given[1]):
            return None
        listed = _constant(given[1])
        if not isinstance(listed, list) or len(listed) > MOST_VALUES or (None in listed and not wanted):
            return None
        values = [self._fitting(column, one) for one in listed if one is not None]
        # One that a store cannot be told of makes the list too short, and no list says nothing.
        if None in values or not values:
            return None
        return OneOf(column, tuple(value for value in values if value is not None), wanted)

    def _part(self, given: Sequence[Any], name: str, options: Any, *, wanted: bool) -> Condition | None:
        where = _PARTS.get(name)
        column, _ = _column(given[0])
        if where is None or column is None or not _is_constant(given[1]):
            return None
        if where == CONTAINS and not options["literal"]:
            return None
        text = self._fitting(column, _constant(given[1]))
        return Part(column, where, text, wanted) if isinstance(text, str) else None

    def _fitting(self, column: str, value: Any) -> Any:
        """Return a value as one of the column's kind, None when it is none."""
        kind = self._kind(column)
        return None if kind is None else _FITTING[kind](value)

    def _kind(self, column: str) -> str | None:
        if column in PAYLOAD_COLUMNS:
            return None
        dtype = self._schema[column]
        return next((kind for kind, known in _KINDS.items() if dtype == known), None)


_BOOLEAN: dict[str, Callable[[_Reading, Sequence[Any], Any, bool], Condition | None]] = {
    "IsNull": _Reading.unknown,
    "IsNotNull": _Reading.known,
    "Not": _Reading.opposite,
    "IsBetween": _Reading.between,
    "IsIn": _Reading.one_of,
}
_PARTS = {"StartsWith": STARTS, "Contains": CONTAINS, "EndsWith": ENDS}
_KINDS: dict[str, Any] = {
    "text": pl.String,
    "count": pl.Int64,
    "quantity": pl.Float64,
    "money": pl.Decimal,
    "time": pl.Datetime("us", "UTC"),
}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and _REPLACEMENT not in value else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value in _INT64 else None


def _quantity(value: Any) -> float | None:
    return value if isinstance(value, float) and math.isfinite(value) else None


def _money(value: Any) -> Decimal | None:
    return value if isinstance(value, Decimal) and value.is_finite() else None


def _time(value: Any) -> datetime | None:
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else None


_FITTING: dict[str, Callable[[Any], Any]] = {
    "text": _text,
    "count": _count,
    "quantity": _quantity,
    "money": _money,
    "time": _time,
}


def _every(parts: Sequence[Condition | None]) -> Condition | None:
    told = tuple(_flat(parts, Every))
    return Every(told) if len(told) > 1 else next(iter(told), None)


def _either(parts: Sequence[Condition | None]) -> Condition | None:
    # What is not told may be true.
    return None if None in parts else Either(tuple(_flat(parts, Either)))


def _flat(parts: Sequence[Condition | None], kind: type[Every | Either]) -> Iterator[Condition]:
    for part in parts:
        if isinstance(part, Every | Either) and isinstance(part, kind):
            yield from part.parts
        elif part is not None:
            yield part


def _only(node: Any) -> tuple[str, Any]:
    """Return the name of a node and what is in it; some have only a name."""
    if isinstance(node, str):
        return node, None
    ((name, inside),) = node.items()
    return name, inside


def _column(node: Any) -> tuple[str | None, bool]:
    """Return the column that a node is, None when it is none, and whether Polars made floats of it."""
    name, inside = _only(node)
    if name == "Column":
        return inside, False
    if name == "Cast" and inside["dtype"] == {"Literal": "Float64"} and "Column" in inside["expr"]:
        return inside["expr"]["Column"], True
    return None, False


def _is_constant(node: Any) -> bool:
    name, inside = _only(node)
    if name != "Function":
        return name == "Literal"
    is_time = "DatetimeFunction" in str(inside["function"].get("TemporalExpr", ""))
    return is_time and all(_is_constant(one) for one in inside["input"])


def _constant(node: Any) -> Any:
    """Return the value of a node that says nothing of any column; None for what JSON cannot hold (NaN)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expression = pl.Expr.deserialize(json.dumps(node).encode(), format="json")
    value = pl.select(expression).item()
    return value.to_list() if isinstance(value, pl.Series) else value
