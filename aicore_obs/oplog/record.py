"""This module is where an operation is defined as this door hands it back: a record in the words of `oplog`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Self

import msgspec


class Mark(str):
    """A flag on an operation: the text is the reason; ``note`` and ``flagged_at`` say more.

    As text, so that ``"training" in record.flags`` says what it seems to say.
    """

    __slots__ = ("flagged_at", "note")

    note: str | None
    flagged_at: datetime

    def __new__(cls, reason: str, *, note: str | None, flagged_at: datetime) -> Self:
        """Return the mark for a reason."""
        mark = super().__new__(cls, reason)
        mark.note, mark.flagged_at = note, flagged_at
        return mark

    @property
    def reason(self) -> str:
        """The reason, as plain text."""
        return str.__str__(self)


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation was scored under a name: the newest such score."""

    name: str
    value: bool | float | str
    comment: str | None
    scored_at: datetime


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One operation as it is stored, whichever door recorded it.

    ``meta`` is what the operation and its run were given; ``seq`` its place in the run, None outside of runs. Then
    come three fields of the collector's: who answered, ``ok`` or ``error``, and why the model stopped. ``scores`` are
    by their names.
    """

    id: str
    project: str | None
    operation: str
    model: str | None
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    meta: dict[str, Any]
    tags: list[str]
    run_id: str | None
    seq: int | None
    created_at: datetime
    flags: list[Mark]
    provider: str | None = None
    status: str = "ok"
    finish_reason: str | None = None
    scores: dict[str, Score] = {}


# What an export has where nobody names fields, in this order.
FIELDS = (
    "id",
    "project",
    "operation",
    "model",
    "inputs",
    "outputs",
    "meta",
    "tags",
    "run_id",
    "seq",
    "created_at",
    "flags",
)


class Records(list[Record]):
    """A list of records that remembers what was asked, for the manifest of an export."""

    def __init__(self, records: Iterable[Record] = (), *, filters: Mapping[str, Any] | None = None) -> None:
        super().__init__(records)
        self.filters = dict(filters or {})
