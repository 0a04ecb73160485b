"""This module is where an id that a user gave is looked for: an operation's, a session's, a run's, a trace's.

A whole id is looked for first: an operation's by the key, a session's and a run's by their indexes. Only what is found
nowhere so is looked for in every row, ids alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import polars as pl

from aicore_obs import plugins
from aicore_obs.errors import FilterError, StoreNotFoundError, UnknownIdError
from aicore_obs.protocols import Address, Spans
from aicore_obs.query.scan import scan

# The newest operation of a store.
LAST = "last"
OPERATION, TRACE = "operation_id", "trace_id"
# In the order in which an id is taken for one of them.
SCOPES = (OPERATION, "session_id", "run_id", TRACE)
# Fewer characters begin too many ids.
_SHORTEST = 4
_FEW = 5
_KIND = {"operation_id": "operation", "session_id": "session", "run_id": "run", "trace_id": "trace"}


class Found(msgspec.Struct, frozen=True):
    """What an id belongs to: the column of the scope (``operation_id``, ``session_id`` …) and the whole id."""

    scope: str
    id: str


class Ids:
    """The ids of one store; ``before`` and ``is_ours`` as in :func:`~aicore_obs.query.reader.read_frame`."""

    def __init__(self, address: Address, *, before: Callable[[], object] | None = None, is_ours: bool = False) -> None:
        self._address = address
        self._before = before
        self._is_ours = is_ours

    def find(self, given: str) -> Found:
        """Return what an id, its beginning, or the word ``last`` belongs to.

        Raises:
            UnknownIdError: nothing, or more than one; the message says what to do.
            StoreNotFoundError: there is no store.
        """
        if not isinstance(given, str) or not given.strip():
            raise FilterError(
                f"id={given!r}: the id of an operation, session, run or trace is needed, or its beginning"
            )
        wanted = given.strip()
        return self._exact(wanted) or self._of_spans(wanted) or self._last(wanted) or self._beginning(wanted)

    def _exact(self, wanted: str) -> Found | None:
        for scope in SCOPES[:-1]:
            with suppress(FilterError):
                if self._rows({scope: wanted, "limit": 1}, (OPERATION,)):
                    return Found(scope, wanted)
        rows = self._rows({}, (OPERATION,), pl.col(TRACE) == wanted)
        return Found(TRACE, wanted) if rows else None

    def _of_spans(self, wanted: str) -> Found | None:
        reader = plugins.reader(self._address)
        if isinstance(reader, Spans):
            with suppress(StoreNotFoundError):
                for scope in ("session_id", "run_id", TRACE):
                    if list(reader.spans(scope, wanted, limit=1)):
                        return Found(scope, wanted)
        return None

    def _last(self, wanted: str) -> Found | None:
        if wanted != LAST:
            return None
        rows = self._rows({"limit": 1, "order": "desc"}, (OPERATION,))
        if not rows:
            raise UnknownIdError(f"there is no operation in {self._address.name} yet, so that none is the last one")
        return Found(OPERATION, rows[0][OPERATION])

    def _beginning(self, wanted: str) -> Found:
        found: dict[str, Found] = {}
        if len(wanted) >= _SHORTEST:
            begins = [pl.col(scope).str.starts_with(wanted) for scope in SCOPES]
            for row in self._rows({}, SCOPES, pl.any_horizontal(begins)):
                for scope in SCOPES:
                    if row[scope] is not None and row[scope].startswith(wanted):
                        found.setdefault(row[scope], Found(scope, row[scope]))
        if len(found) == 1:
            return next(iter(found.values()))
        raise UnknownIdError(self._ambiguous(wanted, list(found.values())) if found else self._nothing(wanted))

    def _ambiguous(self, wanted: str, found: Sequence[Found]) -> str:
        some = ", ".join(f"{_KIND[one.scope]} {one.id}" for one in found[:_FEW])
        more = ", …" if len(found) > _FEW else ""
        return f"{wanted!r} is the beginning of {len(found):,} ids ({some}{more}): give more of the one that is meant"

    def _nothing(self, wanted: str) -> str:
        shorter = f"; beginnings have {_SHORTEST} characters at least" if len(wanted) < _SHORTEST else ""
        return (
            f"no operation, session, run or trace in {self._address.name} has an id {wanted!r} or one that begins so"
            f"{shorter}; `aicore-obs tail` and `aicore-obs sessions` list ids, and `store` names another store"
        )

    def _rows(
        self, filters: dict[str, Any], columns: Sequence[str], predicate: pl.Expr | None = None
    ) -> list[dict[str, Any]]:
        frame = scan(self._address, filters, before=self._before, is_ours=self._is_ours)
        if predicate is not None:
            frame = frame.filter(predicate)
        return frame.select(columns).collect().to_dicts()
