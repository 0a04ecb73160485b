"""This module is where schema version 4 is made: the scores of operations.

A table is added and nothing is needed, so that a program of an earlier version goes on reading and writing. It knows no
record of a score, and leaves one that waits in a journal to a newer program.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects import postgresql

from aicore_obs.stores.sql.migrations.place import Place

revision = "0004"
down_revision = "0003"
step = "minor"
oldest_writer = 1

_ID = sa.Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")
_TIME = sa.Integer().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
_NUMBER = sa.Float().with_variant(postgresql.DOUBLE_PRECISION(), "postgresql")
_TEXT = sa.Text()

# The rights of every role but the owner on one table, given again on the other.
_GRANTS = """DO $grants$ DECLARE one record; BEGIN
  FOR one IN
    SELECT a.privilege_type AS kind,
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
      FROM pg_class AS c, aclexplode(c.relacl) AS a
     WHERE c.oid = $name$@schema@.operations$name$::regclass AND a.grantee <> c.relowner
       AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
  LOOP
    EXECUTE 'GRANT ' || one.kind || $name$ ON @schema@.scores TO $name$ || one.role;
  END LOOP;
END $grants$"""


def upgrade(op: Operations, place: Place) -> None:
    """Add the table."""
    op.create_table(
        place.name("scores"),
        sa.Column("operation_id", _ID, primary_key=True),
        sa.Column("name", _TEXT, primary_key=True),
        sa.Column("record_id", _ID, nullable=False),
        sa.Column("timestamp", _TIME, nullable=False),
        sa.Column("value", _TEXT),
        sa.Column("number", _NUMBER),
        sa.Column("comment", _TEXT),
        schema=place.schema,
        sqlite_with_rowid=False,
    )
    if place.schema is not None:
        _grant_as_before(op, place.schema)


def downgrade(op: Operations, place: Place) -> None:
    """Take it away; the records of scores stay, and are folded no more."""
    op.drop_table(place.name("scores"), schema=place.schema)


def _grant_as_before(op: Operations, schema: str) -> None:
    """Give whoever may read or write operations the same rights on the new table."""
    quoted = op.get_context().dialect.identifier_preparer.quote(schema)
    op.execute(sa.text(_GRANTS.replace("@schema@", quoted)))
