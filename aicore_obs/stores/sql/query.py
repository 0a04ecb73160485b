"""This module is where a :class:`~aicore_obs.model.filter.Filter` becomes SQL, and nowhere else.

Values are always bound. The words that differ between the dialects are in :mod:`~aicore_obs.stores.sql.words`;
everything else is said once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    cast,
    func,
    literal_column,
    null,
    select,
    union_all,
)

from aicore_obs.model.cost import CostSum
from aicore_obs.model.filter import MATCH_FIELDS, RANGE_FIELDS, Filter
from aicore_obs.model.frame_columns import LEDGER_COLUMNS
from aicore_obs.stores.frame import REVISION, raw_columns
from aicore_obs.stores.matching import storable
from aicore_obs.stores.sql.conditions import Conditions
from aicore_obs.stores.sql.costs import COLUMNS as COST_COLUMNS
from aicore_obs.stores.sql.costs import Costs
from aicore_obs.stores.sql.opinions import flagged, flags_of, said_of, scores_match, scores_of
from aicore_obs.stores.sql.tables import EVERYTHING, Tables, There
from aicore_obs.stores.sql.words import Words

_PAYLOADS = ("request", "response")
_INT64_MAX = 2**63 - 1
_ID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def select_operations(
    tables: Tables, words: Words, query: Filter, columns: Sequence[str], *, there: There = EVERYTHING
) -> Select[Any]:
    """Return the SELECT of the raw columns that these columns of a frame need, of the operations that match.

    The statement's columns have the names and the order of :func:`~aicore_obs.stores.frame.raw_columns`.
    ``there`` says what the schema has: an older one has less.
    """
    needed = raw_columns(columns)
    operations = tables.operations
    costs = Costs(tables, words, query, there=there.costs)
    source = costs.joined(operations, needed)
    found: dict[str, ColumnElement[Any]] = {**costs.shown(), "timestamp": words.microseconds(operations.c.timestamp)}
    for part in _PAYLOADS:
        if f"{part}_body" in needed:
            payload = tables.payloads.alias(part)
            source = source.outerjoin(payload, payload.c.payload_id == operations.c[f"{part}_payload_id"])
            found |= {f"{part}_body": payload.c.body, f"{part}_encoding": payload.c.encoding}
    if REVISION in needed:
        found[REVISION] = cast(costs.shown_revision(), Text())
    if "flags" in needed:
        found["flags"] = flags_of(tables, words)
    if "scores" in needed:
        found["scores"] = scores_of(tables, words) if there.scores else cast(null(), Text())
    if "said" in needed:
        found["said"] = said_of(tables, words, there=there)
    chosen = [(found[name] if name in found else operations.c[name]).label(name) for name in needed]
    statement = select(*chosen).select_from(source).where(*_conditions(tables, words, query, costs, there))
    return _limited(_ordered(statement, query, operations.c.timestamp, operations.c.id), query)


def select_ids(tables: Tables, words: Words, query: Filter) -> Select[Any]:
    """Return the SELECT of id, time and payloads' ids of the operations that match, in their order."""
    operations = tables.operations
    costs = Costs(tables, words, query)
    names = ("id", "timestamp", "request_payload_id", "response_payload_id")
    statement = select(*(operations.c[name] for name in names)).select_from(costs.joined(operations, ()))
    statement = statement.where(*_conditions(tables, words, query, costs, EVERYTHING))
    return _limited(_ordered(statement, query, operations.c.timestamp, operations.c.id), query)


def header_conditions(columns: Any, words: Words, query: Filter) -> Iterator[ColumnElement[bool]]:
    """Yield what a filter says about the header of a record of any kind: time, project, session, run."""
    yield from _times(columns.timestamp, words, query)
    if query.id_below is not None:
        yield columns.id < query.id_below
    for name in ("project", "session_id", "run_id"):
        values = getattr(query, name)
        if values is not None:
            yield words.one_of(columns[name], [words.text(storable(value)) for value in values])


def select_spans(tables: Tables, words: Words, scope: str, value: str, *, limit: int) -> Select[Any]:
    """Return the SELECT of id, encoding and body of the spans of one scope, in their order."""
    records = tables.records
    statement = select(cast(records.c.id, Text()), records.c.encoding, cast(records.c.body, Text()))
    statement = statement.where(records.c.kind == "span", records.c[scope] == words.text(storable(value)))
    return statement.order_by(records.c.timestamp, records.c.id).limit(limit)


def select_cost_sum(tables: Tables, words: Words, query: Filter, *, there: There = EVERYTHING) -> Select[Any]:
    """Return the SELECT of one row: priced, partial and unpriced operations, and two sums in their parts.

    The sums are of the costs, and of the tokens of operations without one; :func:`cost_sum_of` reads the row.
    """
    operations = tables.operations
    costs = Costs(tables, words, query, there=there.costs)
    shown = costs.shown()
    each = select(
        shown["cost_usd"].label("cost"), shown["cost_reason"].label("reason"), operations.c.total_tokens.label("tokens")
    ).select_from(costs.joined(operations, COST_COLUMNS))
    each = each.where(*_conditions(tables, words, query, costs, there))
    if _is_part(query):
        each = _limited(_ordered(each, query, operations.c.timestamp, operations.c.id), query)
    one = each.subquery("one").c
    priced, unpriced = one.cost.is_not(None), one.cost.is_(None)
    sums: list[ColumnElement[Any]] = [
        func.count().filter(priced),
        func.count().filter(priced, one.reason.is_not(None)),
        func.count().filter(unpriced),
        *(func.sum(part) for part in (words.parts(one.cost) if there.costs else ())),
        *(func.sum(part).filter(unpriced) for part in words.parts(one.tokens)),
    ]
    return select(*sums)


def cost_sum_of(words: Words, row: Sequence[Any], as_of: datetime) -> CostSum:
    """Return what the row of :func:`select_cost_sum` says."""
    priced, partial, unpriced, *sums = row
    size = len(words.parts(null()))
    tokens = int(words.whole(sums[-size:]))
    cost = words.amount(words.whole(sums[:-size])) if sums[:-size] else Decimal(0)
    return CostSum(total=cost, priced=priced, partial=partial, unpriced=unpriced, unpriced_tokens=tokens, as_of=as_of)


def select_ledger(tables: Tables, words: Words, query: Filter, *, there: There = EVERYTHING) -> Select[Any]:
    """Return the SELECT of the ledger of the operations that match: each as recorded, then each revision, in order.

    The statement's columns have the names and the order of :data:`LEDGER_COLUMNS`.
    """
    operations = tables.operations
    costs = Costs(tables, words, query, there=there.costs)
    own = [column.label(name) for name, column in costs.own().items()]
    matched = select(operations.c.id, operations.c.timestamp, *own).select_from(costs.joined(operations, ()))
    matched = matched.where(*_conditions(tables, words, query, costs, there))
    if _is_part(query):
        matched = _limited(_ordered(matched, query, operations.c.timestamp, operations.c.id), query)
    one = matched.cte("matched")
    as_recorded = select(
        one.c.id.label("operation_id"),
        one.c.timestamp.label("made_at"),
        literal_column("0").label("revision"),
        one.c.timestamp.label("recorded_at"),
        cast(null(), Text()).label("author"),
        *(one.c[name] for name in COST_COLUMNS),
    )
    rows = union_all(as_recorded, costs.revisions_of(one)) if there.costs else as_recorded
    found = rows.subquery("found").c
    times = {"recorded_at": words.microseconds(found.recorded_at)}
    chosen = [(times[name] if name in times else found[name]).label(name) for name in LEDGER_COLUMNS]
    return _ordered(select(*chosen), query, found.made_at, found.operation_id).order_by(found.revision)


def _ordered(statement: Select[Any], query: Filter, *columns: ColumnElement[Any]) -> Select[Any]:
    return statement.order_by(*(each.desc() if query.order == "desc" else each for each in columns))


def _is_part(query: Filter) -> bool:
    """Return whether a query means some of those that match, and not all."""
    return query.limit is not None or query.offset > 0


def _limited(statement: Select[Any], query: Filter) -> Select[Any]:
    if query.offset:
        statement = statement.offset(min(query.offset, _INT64_MAX))
    return statement if query.limit is None else statement.limit(min(query.limit, _INT64_MAX))


def select_keys(tables: Tables) -> Select[Any]:
    """Return the SELECT of the catalogue of keys: field, key, type."""
    keys = tables.keys.c
    return select(keys.field, keys.key, keys.type).order_by(keys.field, keys.key, keys.type)


def _conditions(
    tables: Tables, words: Words, query: Filter, costs: Costs, there: There
) -> Iterator[ColumnElement[bool]]:
    columns = tables.operations.c
    yield from _times(columns.timestamp, words, query)
    if query.id_below is not None:
        yield columns.id < query.id_below
    yield from _matches(columns, words, query)
    yield from _ranges(columns, query)
    yield from costs.conditions()
    if query.tags:
        yield words.contains(columns.tags, _json(words, list(query.tags)))
    if query.labels:
        yield words.contains(columns.labels, _json(words, query.labels))
    if query.where is not None:
        yield Conditions(tables, words, costs.told()).sql(query.where)
    if query.flagged_for is not None:
        yield flagged(tables, words, query.flagged_for)
    yield from scores_match(tables, words, query, there=there.scores)


def _times(timestamp: ColumnElement[Any], words: Words, query: Filter) -> Iterator[ColumnElement[bool]]:
    if query.start is not None:
        yield timestamp >= words.time(query.start)
    if query.end is not None:
        end = words.time(query.end)
        yield timestamp < end if query.end_exclusive else timestamp <= end


def _matches(columns: Any, words: Words, query: Filter) -> Iterator[ColumnElement[bool]]:
    for name in MATCH_FIELDS:
        values = getattr(query, name)
        if values is None:
            continue
        if name == "operation_id":
            # What is no id as we write them is nobody's; PostgreSQL would not even compare it.
            yield words.one_of(columns.id, [value for value in values if _ID.fullmatch(value)])
        else:
            yield words.one_of(columns[name], [words.text(storable(value)) for value in values])


def _ranges(columns: Any, query: Filter) -> Iterator[ColumnElement[bool]]:
    for name, (column, comparison) in RANGE_FIELDS.items():
        value = getattr(query, name)
        if value is None:
            continue
        bound = min(value, _INT64_MAX) if isinstance(value, int) else value
        yield columns[column] >= bound if comparison == ">=" else columns[column] <= bound


def _json(words: Words, wanted: list[str] | dict[str, str]) -> str:
    def held(value: str) -> str:
        return words.text(storable(value))

    plain = [held(one) for one in wanted] if isinstance(wanted, list) else {held(k): held(v) for k, v in wanted.items()}
    return json.dumps(plain)
