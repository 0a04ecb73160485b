"""This module is where schema version 3 is made: views for other programs, and what is known of deletions.

Everything is added and nothing is needed, so that a program of an earlier version goes on reading and writing. It does
not know what was deleted: a record that waited for it in a journal meanwhile, it stores.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects import postgresql

from aicore_obs.stores.sql.migrations.place import Place

revision = "0003"
down_revision = "0002"
step = "minor"
oldest_writer = 1

_ID = sa.Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")
_TIME = sa.Integer().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
_JSON = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
_TEXT = sa.Text()
# Microseconds in a second; 1e-12 USD in a dollar.
_SECOND = 10**6
_DOLLAR = 10**12

_VIEWS = ("v_operations", "v_costs", "v_daily_cost", "v_errors")
_MONEY = ("cost_usd", "input_cost_usd", "output_cost_usd")
_COST = ("priced_model", *_MONEY, "cost_source", "cost_reason", "price_id", "price_book")
_OBJECTS = ("tags", "labels", "extras")
_BEFORE_COST = [
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
    "latency_ms",
    "time_to_first_token_ms",
    "temperature",
    "max_tokens",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "input_video_tokens",
    "cache_read_audio_tokens",
    "tool_prompt_tokens",
    "output_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "total_tokens",
    "web_searches",
    "images",
    "audio_seconds",
    "video_seconds",
    "input_characters",
    "search_units",
    "usage_source",
]
_AFTER_COST = [
    "session_id",
    "run_id",
    "experiment_id",
    "trace_id",
    "span_id",
    "parent_id",
    "seq",
    "workspace",
    "agent_id",
    "action_id",
    "user_id",
    "tags",
    "labels",
    "extras",
    "error_type",
    "error_message",
]
_OF_ERRORS = [
    "project",
    "operation_type",
    "provider",
    "model",
    "api",
    "server_address",
    "error_type",
    "error_message",
    "error_stack",
    "latency_ms",
    "session_id",
    "run_id",
    "trace_id",
    "span_id",
    "workspace",
    "agent_id",
    "action_id",
    "user_id",
]

# The rights of every role but the owner on one table, given again on others.
_GRANTS = """DO $grants$ DECLARE one record; BEGIN
  FOR one IN
    SELECT a.privilege_type AS kind, t.name AS name,
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
      FROM pg_class AS c, aclexplode(c.relacl) AS a, unnest(ARRAY[@tables@]) AS t(name)
     WHERE c.oid = $name$@schema@.operations$name$::regclass AND a.grantee <> c.relowner
       AND (a.privilege_type = 'SELECT'
            OR a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE') AND t.name NOT LIKE 'v\\_%')
  LOOP
    EXECUTE 'GRANT ' || one.kind || $name$ ON @schema@.$name$ || one.name || ' TO ' || one.role;
  END LOOP;
END $grants$"""


def upgrade(op: Operations, place: Place) -> None:
    """Add the views and the tables."""
    for name, text in views(op, place).items():
        # The driver's own: a text() would take what follows a colon for a parameter.
        statement = f"CREATE VIEW {_full(op, place, name)} AS\n{text}".replace("%", "%%")
        op.execute(sa.DDL(statement))  # type: ignore[no-untyped-call]
    op.create_table(
        place.name("deletions"),
        sa.Column("id", _ID, primary_key=True),
        sa.Column("timestamp", _TIME, nullable=False),
        sa.Column("author", _TEXT),
        sa.Column("filter", _JSON, nullable=False),
        sa.Column("content_only", sa.Boolean(), nullable=False),
        sa.Column("by_id", sa.Boolean(), nullable=False),
        schema=place.schema,
    )
    op.create_table(
        place.name("deleted_operations"),
        sa.Column("operation_id", _ID, primary_key=True),
        sa.Column("deletion_id", _ID, primary_key=True),
        schema=place.schema,
        sqlite_with_rowid=False,
    )
    if place.schema is not None:
        _grant_as_before(op, place)


def downgrade(op: Operations, place: Place) -> None:
    """Take them away; what was deleted stays deleted, but a record that still waits somewhere may come back."""
    op.drop_table(place.name("deleted_operations"), schema=place.schema)
    op.drop_table(place.name("deletions"), schema=place.schema)
    for name in reversed(_VIEWS):
        op.execute(f"DROP VIEW {_full(op, place, name)}")


def views(op: Operations, place: Place) -> dict[str, str]:
    """Return the SELECT of each view by its name, in the order in which they need each other."""
    words = _Sqlite() if place.schema is None else _Postgres()
    tables = {name: _full(op, place, name) for name in ("operations", "cost_revisions")}
    texts = (_operations(words, tables), _costs(words, tables), _daily_cost(words, tables), _errors(words, tables))
    return dict(zip(_VIEWS, texts, strict=True))


def _full(op: Operations, place: Place, name: str) -> str:
    if place.schema is None:
        return place.name(name)
    return f"{op.get_context().dialect.identifier_preparer.quote(place.schema)}.{name}"


class _Sqlite:
    """Times become ISO 8601 text, whole numbers of 1e-12 USD decimal text; JSON is text already."""

    def time(self, column: str) -> str:
        micro = f"printf('.%06dZ', {_rest(column, _SECOND)})"
        return f"strftime('%Y-%m-%dT%H:%M:%S', {_floored(column, _SECOND)}, 'unixepoch') || {micro}"

    def day(self, column: str) -> str:
        return f"strftime('%Y-%m-%d', {_floored(column, _SECOND)}, 'unixepoch')"

    def money(self, column: str) -> str:
        sign = f"CASE WHEN {column} < 0 THEN '-' ELSE '' END"
        parts = f"abs({column} / {_DOLLAR}), abs({column} % {_DOLLAR})"
        return f"CASE WHEN {column} IS NOT NULL THEN printf('%s%d.%012d', {sign}, {parts}) END"

    def sums(self, column: str) -> dict[str, str]:
        # Past 9.2 million USD a sum of 1e-12 USD has more than 64 bits; dollars and the rest are summed apart.
        return {"dollars": f"sum({_floored(column, _DOLLAR)})", "rest": f"sum({_rest(column, _DOLLAR)})"}

    def sum(self) -> str:
        dollars, rest = f"g.dollars + g.rest / {_DOLLAR}", f"g.rest % {_DOLLAR}"
        return (
            "CASE WHEN g.dollars IS NULL THEN NULL\n"
            f"            WHEN {dollars} >= 0 OR {rest} = 0 THEN printf('%d.%012d', {dollars}, {rest})\n"
            f"            ELSE printf('-%d.%012d', -1 - ({dollars}), {_DOLLAR} - {rest}) END"
        )

    def text(self, column: str) -> str:
        return column


class _Postgres:
    """Times and amounts are what they are; JSON becomes text."""

    def time(self, column: str) -> str:
        return column

    def day(self, column: str) -> str:
        return f"({column} AT TIME ZONE 'UTC')::date"

    def money(self, column: str) -> str:
        return column

    def sums(self, column: str) -> dict[str, str]:
        return {"cost_usd": f"sum({column})"}

    def sum(self) -> str:
        return "g.cost_usd"

    def text(self, column: str) -> str:
        return f"{column}::text"


_Words = _Sqlite | _Postgres


def _floored(column: str, by: int) -> str:
    # Division in SQLite cuts towards zero.
    return f"{column} / {by} - ({column} % {by} < 0)"


def _rest(column: str, by: int) -> str:
    return f"({column} % {by} + {by}) % {by}"


def _newest(tables: dict[str, str]) -> str:
    """Return the FROM of operations with the newest revision of each one's cost."""
    revisions = tables["cost_revisions"]
    newer = f"SELECT 1 FROM {revisions} AS n WHERE n.operation_id = r.operation_id AND n.record_id > r.record_id"  # noqa: S608
    joined = f"{tables['operations']} AS o\n  LEFT JOIN {revisions} AS r ON r.operation_id = o.id"
    return f"  FROM {joined}\n   AND NOT EXISTS ({newer})"


def _shown(column: str) -> str:
    return f"CASE WHEN r.record_id IS NULL THEN o.{column} ELSE r.{column} END"


def _select(columns: dict[str, str], rest: str) -> str:
    lines = ",\n".join(f"       {text} AS {name}" for name, text in columns.items())
    return f"SELECT{lines[6:]}\n{rest}"


def _plain(words: _Words, names: list[str]) -> dict[str, str]:
    return {name: words.text(f"o.{name}") if name in _OBJECTS else f"o.{name}" for name in names}


def _priced(words: _Words, table: str) -> dict[str, str]:
    return {name: words.money(f"{table}.{name}") if name in _MONEY else f"{table}.{name}" for name in _COST}


def _operations(words: _Words, tables: dict[str, str]) -> str:
    inner = [*_BEFORE_COST, *_AFTER_COST]
    columns = {"operation_id": "o.id", "timestamp": "o.timestamp", **{name: f"o.{name}" for name in inner}}
    each = _select({**columns, **{name: _shown(name) for name in _COST}}, _newest(tables))
    outer = {"operation_id": "o.operation_id", "timestamp": words.time("o.timestamp"), **_plain(words, _BEFORE_COST)}
    outer |= {**_priced(words, "o"), **_plain(words, _AFTER_COST)}
    return _select(outer, f"  FROM (\n{each}\n) AS o")


def _costs(words: _Words, tables: dict[str, str]) -> str:
    revisions_of = f"FROM {tables['cost_revisions']} AS n WHERE n.operation_id ="
    own = {
        "operation_id": "o.id",
        "timestamp": words.time("o.timestamp"),
        "revision": "0",
        "recorded_at": words.time("o.timestamp"),
        "author": "CAST(NULL AS TEXT)",
        "is_newest": f"CASE WHEN (SELECT count(*) {revisions_of} o.id) = 0 THEN 1 ELSE 0 END",
        **_priced(words, "o"),
    }
    among = f"(SELECT count(*) {revisions_of} r.operation_id AND"
    later = {
        **own,
        "revision": f"{among} n.record_id <= r.record_id)",
        "recorded_at": words.time("r.timestamp"),
        "author": "r.author",
        "is_newest": f"CASE WHEN {among} n.record_id > r.record_id) = 0 THEN 1 ELSE 0 END",
        **_priced(words, "r"),
    }
    joined = f"  FROM {tables['operations']} AS o\n  JOIN {tables['cost_revisions']} AS r ON r.operation_id = o.id"
    return _select(own, f"  FROM {tables['operations']} AS o") + "\nUNION ALL\n" + _select(later, joined)


def _daily_cost(words: _Words, tables: dict[str, str]) -> str:
    group = ("day", "project", "provider", "model")
    names = ("project", "provider", "model", "status", "input_tokens", "output_tokens", "total_tokens")
    columns = {"day": words.day("o.timestamp"), **{name: f"o.{name}" for name in names}}
    each = _select({**columns, **{name: _shown(name) for name in ("cost_usd", "cost_reason")}}, _newest(tables))
    summed = {
        **{name: f"o.{name}" for name in group},
        "operations": "count(*)",
        "errors": "count(CASE WHEN o.status = 'error' THEN 1 END)",
        "priced": "count(o.cost_usd)",
        "partly_priced": "count(CASE WHEN o.cost_usd IS NOT NULL AND o.cost_reason IS NOT NULL THEN 1 END)",
        "unpriced": "count(CASE WHEN o.cost_usd IS NULL THEN 1 END)",
        "unpriced_tokens": "sum(CASE WHEN o.cost_usd IS NULL THEN o.total_tokens END)",
        **{name: f"sum(o.{name})" for name in names[-3:]},
    }
    by_group = f"  FROM (\n{each}\n) AS o\n GROUP BY {', '.join(f'o.{name}' for name in group)}"
    grouped = _select({**summed, **words.sums("o.cost_usd")}, by_group)
    shown = {**{name: f"g.{name}" for name in summed}, "cost_usd": words.sum()}
    return _select(shown, f"  FROM (\n{grouped}\n) AS g")


def _errors(words: _Words, tables: dict[str, str]) -> str:
    columns = {"operation_id": "o.id", "timestamp": words.time("o.timestamp"), **_plain(words, _OF_ERRORS)}
    return _select(columns, f"  FROM {tables['operations']} AS o\n WHERE o.status = 'error'")


def _grant_as_before(op: Operations, place: Place) -> None:
    """Give whoever may read or write operations the same rights on the new tables, and whoever may read the views."""
    quoted = op.get_context().dialect.identifier_preparer.quote(str(place.schema))
    names = ", ".join(f"'{name}'" for name in (*_VIEWS, "deletions", "deleted_operations"))
    op.execute(sa.text(_GRANTS.replace("@schema@", quoted).replace("@tables@", names)))
