"""This module is where the statements that write are made, once for a store, from the declared tables."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Dialect, Table, Text, bindparam, cast, func, select
from sqlalchemy.dialects import postgresql, sqlite

from aicore_obs.stores.sql.tables import Tables


class Statements(msgspec.Struct, frozen=True, kw_only=True):
    """SQL text with positional parameters in the order of the table's columns; a row that is there is left alone."""

    operations: str
    payloads: str
    records: str
    flags: str
    cost_revisions: str
    scores: str
    keys: str
    known_keys: str
    deletions: str
    deleted: str
    replaced_operation: str
    replaced_payload: str


def statements(tables: Tables, dialect: Dialect) -> Statements:
    """Return the statements for one store's tables in its dialect."""
    return Statements(
        operations=_ignore(tables.operations, dialect),
        payloads=_ignore(tables.payloads, dialect),
        records=_ignore(tables.records, dialect),
        flags=_newest(tables.flags, dialect),
        cost_revisions=_ignore(tables.cost_revisions, dialect),
        scores=_newest(tables.scores, dialect),
        keys=_ignore(tables.keys, dialect),
        known_keys=_text(tables.keys.select(), dialect),
        deletions=_text(_deletions_after(tables), dialect),
        deleted=_text(_deleted_among(tables, dialect), dialect),
        replaced_operation=_text(_by_id(tables.operations), dialect),
        replaced_payload=_text(_by_id(tables.payloads), dialect),
    )


@cache
def repeated(statement: str, times: int) -> str:
    """Return an insert of one row as an insert of ``times`` rows."""
    row = _ROW.search(statement)
    if row is None:
        raise AssertionError(f"no VALUES in {statement}")
    return statement[: row.start(1)] + ", ".join([row[1]] * times) + statement[row.end(1) :]


_ROW = re.compile(r"VALUES (\([?, ]+\))")


def _deletions_after(tables: Tables) -> Any:
    """Every deletion after an id, in the order of :func:`aicore_obs.stores.sql.deletions.deletion_of`."""
    table = tables.deletions
    names = ("id", "timestamp", "filter", "content_only", "author")
    chosen = [table.c[name] for name in names]
    return select(*chosen).where(table.c.id > bindparam("after", type_=table.c.id.type)).order_by(table.c.id)


def _deleted_among(tables: Tables, dialect: Dialect) -> Any:
    """Which of some operations were deleted by which deletion; the ids come as one JSON array of text."""
    table = tables.deleted_operations
    ids = bindparam("ids", type_=Text())
    if dialect.name == "postgresql":
        each = func.jsonb_array_elements_text(cast(ids, postgresql.JSONB())).column_valued("value")
        wanted = select(cast(each, table.c.operation_id.type))
    else:
        wanted = select(func.json_each(ids).table_valued("value").c.value)
    return select(table.c.deletion_id, table.c.operation_id).where(table.c.operation_id.in_(wanted))


def _by_id(table: Table) -> Any:
    (key,) = table.primary_key.columns
    return table.delete().where(key == bindparam("of", type_=key.type))


def _insert(table: Table, dialect: Dialect) -> Any:
    module = postgresql if dialect.name == "postgresql" else sqlite
    return module.insert(table).values(dict.fromkeys(table.columns.keys()))


def _ignore(table: Table, dialect: Dialect) -> str:
    return _text(_insert(table, dialect).on_conflict_do_nothing(), dialect)


def _newest(table: Table, dialect: Dialect) -> str:
    """An upsert in which the row of the newest record stays, whatever the order of arrival."""
    insert = _insert(table, dialect)
    keys = [column.name for column in table.primary_key.columns]
    changes = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in keys}
    newer = insert.excluded.record_id > table.c.record_id
    return _text(insert.on_conflict_do_update(index_elements=keys, set_=changes, where=newer), dialect)


def _text(statement: Any, dialect: Dialect) -> str:
    return str(statement.compile(dialect=dialect))
