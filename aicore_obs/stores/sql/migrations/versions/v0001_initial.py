"""This module is where schema version 1 is made: operations, payloads, records, flags, keys and the log of steps."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from aicore_obs.errors import SchemaError
from aicore_obs.stores.sql.migrations.place import Place

revision = "0001"
down_revision = None
step = "minor"
oldest_writer = 1

# Written out and not taken from the package's tables, which move on while this step stays as it is.
_ID = sa.Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")
_TIME = sa.Integer().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
_JSON = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
_NUMBER = sa.Float().with_variant(postgresql.DOUBLE_PRECISION(), "postgresql")
_COUNT = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
_TEXT = sa.Text()

_OPERATION_COLUMNS: dict[str, TypeEngine[Any]] = {
    "project": _TEXT,
    "operation_type": _TEXT,
    "provider": _TEXT,
    "model": _TEXT,
    "response_model": _TEXT,
    "api": _TEXT,
    "server_address": _TEXT,
    "status": _TEXT,
    "finish_reason": _TEXT,
    "response_id": _TEXT,
    "stream_state": _TEXT,
    "latency_ms": _NUMBER,
    "time_to_first_token_ms": _NUMBER,
    "temperature": _NUMBER,
    "max_tokens": _COUNT,
    "input_tokens": _COUNT,
    "cache_read_tokens": _COUNT,
    "cache_write_tokens": _COUNT,
    "cache_write_5m_tokens": _COUNT,
    "cache_write_1h_tokens": _COUNT,
    "input_audio_tokens": _COUNT,
    "input_image_tokens": _COUNT,
    "input_video_tokens": _COUNT,
    "cache_read_audio_tokens": _COUNT,
    "tool_prompt_tokens": _COUNT,
    "output_tokens": _COUNT,
    "reasoning_tokens": _COUNT,
    "output_audio_tokens": _COUNT,
    "output_image_tokens": _COUNT,
    "total_tokens": _COUNT,
    "web_searches": _COUNT,
    "images": _COUNT,
    "audio_seconds": _NUMBER,
    "video_seconds": _NUMBER,
    "input_characters": _COUNT,
    "search_units": _COUNT,
    "usage_source": _TEXT,
    "session_id": _TEXT,
    "run_id": _TEXT,
    "experiment_id": _TEXT,
    "trace_id": _TEXT,
    "span_id": _TEXT,
    "parent_id": _TEXT,
    "workspace": _TEXT,
    "agent_id": _TEXT,
    "action_id": _TEXT,
    "user_id": _TEXT,
    "seq": _COUNT,
    "request_payload_id": _ID,
    "response_payload_id": _ID,
    "tags": _JSON,
    "labels": _JSON,
    "extras": _JSON,
    "usage_raw": _JSON,
    "odd": _JSON,
    "error_type": _TEXT,
    "error_message": _TEXT,
    "error_stack": _TEXT,
}


def upgrade(op: Operations, place: Place) -> None:
    """Make every table of version 1."""
    _create_operations(op, place)
    _create_payloads(op, place)
    _create_records(op, place)
    _create_flags(op, place)
    _create_keys(op, place)
    _create_schema_log(op, place)


def downgrade(op: Operations, place: Place) -> None:  # noqa: ARG001 - every step has the same signature
    """Refuse: below version 1 there is nothing, so this would delete every record."""
    raise SchemaError(
        "version 1 is the first; going below it would delete every record. If that is what you want, drop "
        + (f'the schema "{place.schema}"' if place.schema else f"the tables whose names start with {place.prefix}")
    )


def _create_operations(op: Operations, place: Place) -> None:
    name = place.name("operations")
    op.create_table(
        name,
        sa.Column("id", _ID, primary_key=True),
        sa.Column("timestamp", _TIME, nullable=False),
        *(sa.Column(column, kind) for column, kind in _OPERATION_COLUMNS.items()),
        schema=place.schema,
    )
    op.create_index(f"{name}_by_time", name, ["timestamp"], schema=place.schema)
    for column in ("session_id", "run_id"):
        present = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"{name}_by_{column}",
            name,
            [column],
            schema=place.schema,
            sqlite_where=present,
            postgresql_where=present,
        )


def _create_payloads(op: Operations, place: Place) -> None:
    op.create_table(
        place.name("payloads"),
        sa.Column("payload_id", _ID, primary_key=True),
        sa.Column("encoding", _TEXT, nullable=False),
        sa.Column("size_bytes", _COUNT, nullable=False),
        sa.Column("body", _JSON, nullable=False),
        schema=place.schema,
    )
    if place.schema is not None:
        _compress_with_lz4(op, place.schema)


def _compress_with_lz4(op: Operations, schema: str) -> None:
    """Compress texts with lz4, several times faster than the default, where the server can (PostgreSQL 14, built so).

    One statement that catches its own error: a failed one would abort the transaction of the whole step.
    """
    quoted = op.get_context().dialect.identifier_preparer.quote(schema)
    op.execute(
        sa.text(
            "DO $guard$ BEGIN\n"
            f"  EXECUTE $ddl$ALTER TABLE {quoted}.payloads ALTER COLUMN body SET COMPRESSION lz4$ddl$;\n"
            "EXCEPTION WHEN syntax_error OR feature_not_supported OR invalid_parameter_value THEN NULL;\n"
            "END $guard$"
        )
    )


def _create_records(op: Operations, place: Place) -> None:
    name = place.name("records")
    op.create_table(
        name,
        sa.Column("id", _ID, primary_key=True),
        sa.Column("timestamp", _TIME, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("project", _TEXT),
        sa.Column("session_id", _TEXT),
        sa.Column("run_id", _TEXT),
        sa.Column("trace_id", _TEXT),
        sa.Column("span_id", _TEXT),
        sa.Column("encoding", _TEXT, nullable=False),
        sa.Column("body", _JSON, nullable=False),
        schema=place.schema,
    )
    op.create_index(f"{name}_by_kind", name, ["kind", "timestamp"], schema=place.schema)


def _create_flags(op: Operations, place: Place) -> None:
    op.create_table(
        place.name("flags"),
        sa.Column("operation_id", _ID, primary_key=True),
        sa.Column("reason", _TEXT, primary_key=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("record_id", _ID, nullable=False),
        sa.Column("timestamp", _TIME, nullable=False),
        sa.Column("note", _TEXT),
        schema=place.schema,
        sqlite_with_rowid=False,
    )


def _create_keys(op: Operations, place: Place) -> None:
    op.create_table(
        place.name("keys"),
        sa.Column("field", _TEXT, primary_key=True),
        sa.Column("key", _TEXT, primary_key=True),
        sa.Column("type", _TEXT, primary_key=True),
        schema=place.schema,
        sqlite_with_rowid=False,
    )


def _create_schema_log(op: Operations, place: Place) -> None:
    op.create_table(
        place.name("schema_log"),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("step", _TEXT, nullable=False),
        sa.Column("oldest_writer", sa.SmallInteger(), nullable=False),
        sa.Column("applied_at", _TIME, nullable=False),
        sa.Column("applied_by", _TEXT, nullable=False),
        schema=place.schema,
    )
