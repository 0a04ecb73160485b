"""This module is where it is said what a store may look at before it hands rows over: a predicate without Polars.

A condition is a *hint*: it may let rows pass that whoever asked does not want, and never keeps one back that is wanted.
Who sets one tries the whole predicate again on what comes. So a store translates what it is sure of, and leaves out the
rest. There is no "not": it is turned into the opposite of what it stands before when a condition is made.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
STARTS, CONTAINS, ENDS = "starts_with", "contains", "ends_with"
Value = str | int | float | Decimal | datetime


class Compare(msgspec.Struct, frozen=True, tag=True):
    """A known value of a column stands in this relation (one of :data:`COMPARISONS`) to a value.

    The value is of the column's own kind: text, int for counts, float for quantities, Decimal for money, an aware time.
    """

    column: str
    comparison: str
    # A Value; a struct is not converted (from a kept filter, say) where a union of text and times is anywhere in it.
    value: Any


class OneOf(msgspec.Struct, frozen=True, tag=True):
    """A known value of a column is one of some, or none of them."""

    column: str
    values: tuple[Any, ...]
    wanted: bool = True


class Known(msgspec.Struct, frozen=True, tag=True):
    """A column has a value, or has none."""

    column: str
    wanted: bool = True


class Part(msgspec.Struct, frozen=True, tag=True):
    """A known text starts with a text, contains it or ends with it, or does not."""

    column: str
    where: str
    text: str
    wanted: bool = True


class Has(msgspec.Struct, frozen=True, tag=True):
    """A column of labels has this label with this text."""

    column: str
    label: str
    text: str


class Every(msgspec.Struct, frozen=True, tag=True):
    """All of these hold."""

    parts: tuple[Condition, ...]


class Either(msgspec.Struct, frozen=True, tag=True):
    """At least one of these holds."""

    parts: tuple[Condition, ...]


Condition = Compare | OneOf | Known | Part | Has | Every | Either


def columns_in(condition: Condition) -> frozenset[str]:
    """Return the columns that a condition looks at."""
    if isinstance(condition, Every | Either):
        return frozenset().union(*map(columns_in, condition.parts))
    return frozenset({condition.column})
