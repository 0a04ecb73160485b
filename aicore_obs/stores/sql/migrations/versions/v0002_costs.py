"""This module is where schema version 2 is made: the cost of each operation, and the ledger of costs made again.

Everything is added and nothing is needed, so that a program of version 1 goes on reading and writing; what it writes
has no cost.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from aicore_obs.stores.sql.migrations.place import Place

revision = "0002"
down_revision = "0001"
step = "minor"
oldest_writer = 1

_ID = sa.Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")
_TIME = sa.Integer().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
_JSON = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
# US dollars; in SQLite whole numbers of 1e-12.
_MONEY = sa.Integer().with_variant(sa.Numeric(38, 12), "postgresql")
_TEXT = sa.Text()

_COST_COLUMNS: dict[str, TypeEngine[Any]] = {
    "priced_model": _TEXT,
    "cost_usd": _MONEY,
    "input_cost_usd": _MONEY,
    "output_cost_usd": _MONEY,
    "cost_source": _TEXT,
    "cost_reason": _TEXT,
    "price_id": _TEXT,
    "price_book": _TEXT,
    "cost_lines": _JSON,
}
# The rights of every role but the owner on one table, given again on the other.
_GRANTS = """DO $grants$ DECLARE one record; BEGIN
  FOR one IN
    SELECT a.privilege_type AS kind,
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
      FROM pg_class AS c, aclexplode(c.relacl) AS a
     WHERE c.oid = $name$@schema@.operations$name$::regclass AND a.grantee <> c.relowner
       AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
  LOOP
    EXECUTE 'GRANT ' || one.kind || $name$ ON @schema@.cost_revisions TO $name$ || one.role;
  END LOOP;
END $grants$"""


def upgrade(op: Operations, place: Place) -> None:
    """Add the columns and the table."""
    for column, kind in {**_COST_COLUMNS, "billing": _JSON}.items():
        op.add_column(place.name("operations"), sa.Column(column, kind), schema=place.schema)
    op.create_table(
        place.name("cost_revisions"),
        sa.Column("operation_id", _ID, primary_key=True),
        sa.Column("record_id", _ID, primary_key=True),
        sa.Column("timestamp", _TIME, nullable=False),
        sa.Column("author", _TEXT),
        *(sa.Column(column, kind) for column, kind in _COST_COLUMNS.items()),
        schema=place.schema,
        sqlite_with_rowid=False,
    )
    if place.schema is not None:
        _grant_as_before(op, place.schema)


def downgrade(op: Operations, place: Place) -> None:
    """Take them away, and every cost with them."""
    op.drop_table(place.name("cost_revisions"), schema=place.schema)
    for column in ("billing", *reversed(_COST_COLUMNS)):
        op.drop_column(place.name("operations"), column, schema=place.schema)


def _grant_as_before(op: Operations, schema: str) -> None:
    """Give whoever may read or write operations the same rights on the new table.

    Without that, a role that is not the owner would be refused the moment that its program is updated.
    """
    quoted = op.get_context().dialect.identifier_preparer.quote(schema)
    op.execute(sa.text(_GRANTS.replace("@schema@", quoted)))
