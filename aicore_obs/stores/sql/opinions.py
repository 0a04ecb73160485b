"""This module is where it is asked in SQL what was said of operations later: flags and scores, by whomever; costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, Text, cast, false, select, union_all

from aicore_obs.model.filter import SCORE_RANGES, Filter
from aicore_obs.stores.matching import storable
from aicore_obs.stores.sql.tables import Tables, There
from aicore_obs.stores.sql.words import Words


def flagged(tables: Tables, words: Words, reasons: Sequence[str]) -> ColumnElement[bool]:
    """Say that the operation of the statement is flagged for one of these reasons."""
    flag = tables.flags.alias("flag")
    meant = words.one_of(flag.c.reason, [words.text(storable(reason)) for reason in reasons])
    return select(flag.c.operation_id).where(meant, *_marks(tables, flag)).exists()


def flags_of(tables: Tables, words: Words) -> ColumnElement[Any]:
    """Return the marks of an operation as JSON: a list of objects, in no order, or null."""
    flag = tables.flags.alias("flag")
    parts = {"id": flag.c.record_id, "reason": flag.c.reason, "note": flag.c.note}
    listed = words.objects({**parts, "at": words.microseconds(flag.c.timestamp)})
    return select(listed).where(*_marks(tables, flag)).scalar_subquery()


def _marks(tables: Tables, flag: Any) -> Iterator[ColumnElement[bool]]:
    """Say that a row of flags marks the operation of the statement, and that no later row takes all marks away."""
    cleared = tables.flags.alias("cleared")
    later = (cleared.c.operation_id == flag.c.operation_id) & (cleared.c.reason == "")
    yield flag.c.operation_id == tables.operations.c.id
    yield flag.c.active
    yield ~select(cleared.c.operation_id).where(later, cleared.c.record_id >= flag.c.record_id).exists()


def scores_match(tables: Tables, words: Words, query: Filter, *, there: bool) -> Iterator[ColumnElement[bool]]:
    """Yield what a filter asks of the scores of the statement's operation; nothing matches where there are none."""
    score = tables.scores.alias("score")
    asked: list[tuple[ColumnElement[bool], ...]] = []
    if query.scored is not None:
        asked.append((words.one_of(score.c.name, [words.text(storable(name)) for name in query.scored]),))
    for field, comparison in SCORE_RANGES.items():
        for name, bound in getattr(query, field).items():
            within = score.c.number >= bound if comparison == ">=" else score.c.number <= bound
            asked.append((score.c.name == words.text(storable(name)), within))
    for conditions in asked:
        yield select(score.c.operation_id).where(*conditions, *_held(tables, score)).exists() if there else false()


def scores_of(tables: Tables, words: Words) -> ColumnElement[Any]:
    """Return the scores of the statement's operation as JSON: a list of objects, in no order, or null."""
    score = tables.scores.alias("score")
    parts = {"id": score.c.record_id, "name": score.c.name, "value": score.c.value, "comment": score.c.comment}
    listed = words.objects({**parts, "at": words.microseconds(score.c.timestamp)})
    return select(listed).where(*_held(tables, score)).scalar_subquery()


def _held(tables: Tables, score: Any) -> Iterator[ColumnElement[bool]]:
    yield score.c.operation_id == tables.operations.c.id
    yield score.c.value.is_not(None)


def said_of(tables: Tables, words: Words, *, there: There) -> ColumnElement[Any]:
    """Return the records that speak of the statement's operation as JSON: a list of encodings and bodies, or null.

    Of flags and scores the newest of each reason and name; of costs every revision.
    """
    record = tables.records.alias("record")
    mine = [
        select(table.c.record_id).where(table.c.operation_id == tables.operations.c.id).correlate(tables.operations)
        for table in _speaking(tables, there)
    ]
    listed = words.objects({"encoding": record.c.encoding, "body": cast(record.c.body, Text())})
    return select(listed).where(record.c.id.in_(union_all(*mine))).scalar_subquery()


def select_said(tables: Tables, words: Words, until: datetime, *, there: There) -> Select[Any]:
    """Return the SELECT of encodings and bodies of the records that speak of other operations than those after a time.

    That is: of operations that are not here, or not from after ``until``.
    """
    operations, records = tables.operations, tables.records
    not_after = operations.c.id.is_(None) | (operations.c.timestamp <= words.time(until))
    spoken = [
        select(table.c.record_id)
        .select_from(table.outerjoin(operations, operations.c.id == table.c.operation_id))
        .where(not_after)
        for table in _speaking(tables, there)
    ]
    return select(records.c.encoding, cast(records.c.body, Text())).where(records.c.id.in_(union_all(*spoken)))


def _speaking(tables: Tables, there: There) -> Iterator[Table]:
    yield tables.flags
    if there.costs:
        yield tables.cost_revisions
    if there.scores:
        yield tables.scores
