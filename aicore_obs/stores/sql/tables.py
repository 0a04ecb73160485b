"""This module is where the tables of the SQL stores are declared, once for both dialects.

Numbers and names live in ``operations``; texts live in ``payloads``, one row for each request or response, so that
a scan of numbers does not drag them along and so that they can later be compressed or shared without a rewrite.
In SQLite every table name carries the prefix ``aicore_obs_``; in PostgreSQL the tables have a schema of their own.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Boolean, Column, Index, Integer, MetaData, SmallInteger, Table, Text

from aicore_obs.model.usage import COUNT_FIELDS, FRACTION_FIELDS, TOKEN_FIELDS
from aicore_obs.stores.sql.dialects import Money, UtcMicroseconds, count, json_text, number, record_id

SQLITE_PREFIX = "aicore_obs_"

# Stored as text as the caller gave them.
_TEXT_BEFORE_USAGE = (
    "project",
    "operation_type",
    "provider",
    "model",
    "response_model",
    "api",
    "server_address",
    "status",
    "finish_reason",
    "response_id",
    "stream_state",
)
_TEXT_AFTER_USAGE = (
    "usage_source",
    "session_id",
    "run_id",
    "experiment_id",
    "trace_id",
    "span_id",
    "parent_id",
    "workspace",
    "agent_id",
    "action_id",
    "user_id",
)


def _cost_columns() -> tuple[Column[Any], ...]:
    """What is kept of a cost, of an operation's own and of each later one; null where it has no such part."""
    return (
        Column("priced_model", Text()),
        *(Column(name, Money()) for name in ("cost_usd", "input_cost_usd", "output_cost_usd")),
        *(Column(name, Text()) for name in ("cost_source", "cost_reason", "price_id", "price_book")),
        Column("cost_lines", json_text()),
    )


class There(msgspec.Struct, frozen=True):
    """Which tables that came later a schema has, as far as readers ask: costs since version 2, scores since 4."""

    costs: bool = True
    scores: bool = True


EVERYTHING = There()


class Tables:
    """The tables of one store: declared for a prefix (SQLite) or a schema (PostgreSQL)."""

    def __init__(self, *, prefix: str = "", schema: str | None = None) -> None:
        self.metadata = MetaData(schema=schema)
        self.prefix = prefix
        self.operations = self._operations()
        self.payloads = self._payloads()
        self.records = self._records()
        self.flags = self._flags()
        self.cost_revisions = self._cost_revisions()
        self.scores = self._scores()
        self.keys = self._keys()
        self.deletions = self._deletions()
        self.deleted_operations = self._deleted_operations()
        self.archives = self._archives()
        self.schema_log = self._schema_log()

    @property
    def written(self) -> tuple[Table, ...]:
        """The tables that records go into, and those of what was deleted or given to archives."""
        records = (self.operations, self.payloads, self.records, self.flags, self.cost_revisions, self.scores)
        return (*records, self.keys, self.deletions, self.deleted_operations, self.archives)

    def _name(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def _operations(self) -> Table:
        table = Table(
            self._name("operations"),
            self.metadata,
            Column("id", record_id(), primary_key=True),
            Column("timestamp", UtcMicroseconds(), nullable=False),
            *(Column(name, Text()) for name in _TEXT_BEFORE_USAGE),
            Column("latency_ms", number()),
            Column("time_to_first_token_ms", number()),
            Column("temperature", number()),
            Column("max_tokens", count()),
            *(Column(name, count()) for name in TOKEN_FIELDS),
            *(Column(name, number() if name in FRACTION_FIELDS else count()) for name in COUNT_FIELDS),
            *(Column(name, Text()) for name in _TEXT_AFTER_USAGE),
            Column("seq", count()),
            Column("request_payload_id", record_id()),
            Column("response_payload_id", record_id()),
            Column("tags", json_text()),
            Column("labels", json_text()),
            Column("extras", json_text()),
            Column("usage_raw", json_text()),
            Column("odd", json_text()),
            Column("error_type", Text()),
            Column("error_message", Text()),
            Column("error_stack", Text()),
            *_cost_columns(),
            # What a price depends on besides usage, so that the operation can be costed again.
            Column("billing", json_text()),
        )
        Index(self._name("operations_by_time"), table.c.timestamp)
        for name in ("session_id", "run_id"):
            column = table.c[name]
            present = column.is_not(None)
            Index(self._name(f"operations_by_{name}"), column, sqlite_where=present, postgresql_where=present)
        return table

    def _payloads(self) -> Table:
        """``encoding``: ``json``, or ``json+escaped`` when the text holds codes of :mod:`aicore_obs.model.escape`."""
        return Table(
            self._name("payloads"),
            self.metadata,
            Column("payload_id", record_id(), primary_key=True),
            Column("encoding", Text(), nullable=False),
            Column("size_bytes", count(), nullable=False),
            Column("body", json_text(), nullable=False),
        )

    def _records(self) -> Table:
        """Every kind but operation, as it was written: scopes, spans, flags, and kinds that are yet to come."""
        table = Table(
            self._name("records"),
            self.metadata,
            Column("id", record_id(), primary_key=True),
            Column("timestamp", UtcMicroseconds(), nullable=False),
            Column("kind", Text(), nullable=False),
            *(Column(name, Text()) for name in ("project", "session_id", "run_id", "trace_id", "span_id")),
            Column("encoding", Text(), nullable=False),
            Column("body", json_text(), nullable=False),
        )
        Index(self._name("records_by_kind"), table.c.kind, table.c.timestamp)
        return table

    def _flags(self) -> Table:
        """The folded state of flag records; reason ``''`` is an un-flag of every reason.

        An operation is flagged for a reason when its row says ``active`` and its ``record_id`` is above that of the
        operation's ``''`` row, if there is one.
        """
        return Table(
            self._name("flags"),
            self.metadata,
            Column("operation_id", record_id(), primary_key=True),
            Column("reason", Text(), primary_key=True),
            Column("active", Boolean(), nullable=False),
            Column("record_id", record_id(), nullable=False),
            Column("timestamp", UtcMicroseconds(), nullable=False),
            Column("note", Text()),
            sqlite_with_rowid=False,
        )

    def _cost_revisions(self) -> Table:
        """Every cost that was made again, one row each; of an operation the one with the highest ``record_id`` counts.

        The rows of one operation lie together, so that the newest is found by one look into the key.
        """
        return Table(
            self._name("cost_revisions"),
            self.metadata,
            Column("operation_id", record_id(), primary_key=True),
            Column("record_id", record_id(), primary_key=True),
            Column("timestamp", UtcMicroseconds(), nullable=False),
            Column("author", Text()),
            *_cost_columns(),
            sqlite_with_rowid=False,
        )

    def _scores(self) -> Table:
        """The folded state of score records: of an operation and a name the record with the highest ``record_id``.

        ``value`` is JSON text, null where the score is taken away; ``number`` is what filters compare, null where the
        value is a category.
        """
        return Table(
            self._name("scores"),
            self.metadata,
            Column("operation_id", record_id(), primary_key=True),
            Column("name", Text(), primary_key=True),
            Column("record_id", record_id(), nullable=False),
            Column("timestamp", UtcMicroseconds(), nullable=False),
            Column("value", Text()),
            Column("number", number()),
            Column("comment", Text()),
            sqlite_with_rowid=False,
        )

    def _keys(self) -> Table:
        """The catalogue of keys seen in ``extras`` and ``labels``, with the JSON types of their values."""
        return Table(
            self._name("keys"),
            self.metadata,
            Column("field", Text(), primary_key=True),
            Column("key", Text(), primary_key=True),
            Column("type", Text(), primary_key=True),
            sqlite_with_rowid=False,
        )

    def _deletions(self) -> Table:
        """What was deleted: whatever was recorded before (a lower id) and matches the filter is not stored again.

        ``by_id``: the filter asks for what records do not have themselves, so that the ids are kept beside.
        """
        return Table(
            self._name("deletions"),
            self.metadata,
            Column("id", record_id(), primary_key=True),
            Column("timestamp", UtcMicroseconds(), nullable=False),
            Column("author", Text()),
            Column("filter", json_text(), nullable=False),
            Column("content_only", Boolean(), nullable=False),
            Column("by_id", Boolean(), nullable=False),
        )

    def _deleted_operations(self) -> Table:
        """The operations of deletions that are ``by_id``."""
        return Table(
            self._name("deleted_operations"),
            self.metadata,
            Column("operation_id", record_id(), primary_key=True),
            Column("deletion_id", record_id(), primary_key=True),
            sqlite_with_rowid=False,
        )

    def _archives(self) -> Table:
        """The archives that operations were given to: where each lies, and before which time its operations are."""
        return Table(
            self._name("archives"),
            self.metadata,
            Column("id", record_id(), primary_key=True),
            Column("timestamp", UtcMicroseconds(), nullable=False),
            Column("location", Text(), nullable=False),
            Column("before", UtcMicroseconds(), nullable=False),
        )

    def _schema_log(self) -> Table:
        """One row for each step taken. ``oldest_writer`` is the lowest version that may still write."""
        return Table(
            self._name("schema_log"),
            self.metadata,
            Column("version", Integer(), primary_key=True, autoincrement=False),
            Column("step", Text(), nullable=False),
            Column("oldest_writer", SmallInteger(), nullable=False),
            Column("applied_at", UtcMicroseconds(), nullable=False),
            Column("applied_by", Text(), nullable=False),
        )


def sqlite_tables() -> Tables:
    """Return the tables as SQLite has them."""
    return Tables(prefix=SQLITE_PREFIX)


def postgres_tables(schema: str) -> Tables:
    """Return the tables as PostgreSQL has them."""
    return Tables(schema=schema)
