"""This module is where a deletion is defined: what was deleted, so that nothing brings it back, and what came of it."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any, Self, get_type_hints

import msgspec

from aicore_obs.model.filter import COST_RANGES, SCORE_FILTERS, Filter
from aicore_obs.model.operation import Operation
from aicore_obs.model.record import ErrorInfo

# What an operation's own record does not say: flags, later costs and scores are records of their own.
_SAID_LATER = ("flagged_for", *COST_RANGES, *SCORE_FILTERS)
# What the header of every kind says.
_IN_HEADERS = frozenset({"start", "end", "end_exclusive", "project", "session_id", "run_id"})
_NOTHING = Filter()


class Deletion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Operations that match ``filter`` and were recorded before (their id is below) are gone, or their content is.

    ``operation_ids`` are those that went, where the filter asks for what a record does not say itself.
    """

    id: str
    timestamp: datetime
    filter: dict[str, Any]
    content_only: bool = False
    author: str | None = None
    operation_ids: tuple[str, ...] = ()

    @property
    def query(self) -> Filter:
        """The filter as a value.

        Raises:
            ValueError: a newer program made it, and asks for what this one does not know.
        """
        kinds = _kinds()
        unknown = sorted(set(self.filter) - set(kinds))
        if unknown:
            raise ValueError(f"a newer program has deleted records by {', '.join(unknown)}")
        return Filter(**{name: msgspec.convert(one, kinds[name], strict=False) for name, one in self.filter.items()})

    @property
    def by_id(self) -> bool:
        """Whether only ids tell what went."""
        return any(name in self.filter for name in _SAID_LATER)

    @property
    def by_header(self) -> bool:
        """Whether the filter asks only for what every kind of record has."""
        return _IN_HEADERS.issuperset(self.filter)

    def replaces(self, older: Deletion) -> bool:
        """Return whether everything that an older deletion is about is in this one: the same filter, no earlier end."""
        same = self.content_only == older.content_only and not self.by_id and not older.by_id
        if not same or _without_end(self.filter) != _without_end(older.filter):
            return False
        mine, theirs = self.query, older.query
        return mine.end is None or (theirs.end is not None and theirs.end <= mine.end)


@cache
def _kinds() -> dict[str, Any]:
    """Return the type of each field of a filter but ``where``: no deletion has one, and JSON cannot tell its kinds."""
    return {name: kind for name, kind in get_type_hints(Filter).items() if name != "where"}


def filter_values(query: Filter) -> dict[str, Any]:
    """Return what a filter asks for, as plain JSON values; :attr:`Deletion.query` takes it back."""
    plain: dict[str, Any] = msgspec.to_builtins(query)
    nothing: dict[str, Any] = msgspec.to_builtins(_NOTHING)
    return {name: value for name, value in plain.items() if value != nothing[name]}


def _without_end(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in ("end", "end_exclusive")}


def without_content(operation: Operation) -> Operation:
    """Return an operation with its numbers and names only, as ``capture_content=False`` would have kept it."""
    error = operation.error
    return msgspec.structs.replace(
        operation,
        completion_args=msgspec.UNSET,
        response=msgspec.UNSET,
        error=error and ErrorInfo(type=error.type),
    )


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """The receipt of a deletion: what went, or would go, and what was not touched.

    ``operations`` went, or with ``content_only`` lost their content. ``payload_bytes`` is the text of requests and
    responses. ``records`` are those of other kinds. ``bytes_before`` and ``bytes_after`` are the store's files; None
    where the store does not tell. ``archives`` are the directories of archives of the stores; none was touched.
    ``notes`` say what remains to be done or was not reached.
    """

    stores: tuple[str, ...] = ()
    content_only: bool = False
    dry_run: bool = False
    operations: int = 0
    payloads: int = 0
    payload_bytes: int = 0
    flags: int = 0
    cost_revisions: int = 0
    scores: int = 0
    records: int = 0
    dead_letters: int = 0
    bytes_before: int | None = None
    bytes_after: int | None = None
    archives: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def and_also(self, other: Self) -> Pruned:
        """Return both in one."""
        values: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        values |= {name: _sum(getattr(self, name), getattr(other, name)) for name in ("bytes_before", "bytes_after")}
        values |= {name: tuple(dict.fromkeys(getattr(self, name) + getattr(other, name))) for name in _TEXTS}
        values |= {name: getattr(self, name) or getattr(other, name) for name in ("content_only", "dry_run")}
        return Pruned(**values)


COUNTS = ("operations", "payloads", "payload_bytes", "flags", "cost_revisions", "scores", "records", "dead_letters")
_TEXTS = ("stores", "archives", "notes")


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else one + other
