"""This module is where schema version 5 is made: which archives a store has given operations to.

A table is added and nothing is needed, so that a program of an earlier version goes on reading and writing. It names no
archive when it deletes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects import postgresql

from aicore_obs.stores.sql.migrations.place import Place

revision = "0005"
down_revision = "0004"
step = "minor"
oldest_writer = 1

_ID = sa.Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")
_TIME = sa.Integer().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
_TEXT = sa.Text()

# The rights of every role but the owner on one table, given again on the other.
_GRANTS = """DO $grants$ DECLARE one record; BEGIN
  FOR one IN
    SELECT a.privilege_type AS kind,
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
      FROM pg_class AS c, aclexplode(c.relacl) AS a
     WHERE c.oid = $name$@schema@.deletions$name$::regclass AND a.grantee <> c.relowner
       AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
  LOOP
    EXECUTE 'GRANT ' || one.kind || $name$ ON @schema@.archives TO $name$ || one.role;
  END LOOP;
END $grants$"""


def upgrade(op: Operations, place: Place) -> None:
    """Add the table."""
    op.create_table(
        place.name("archives"),
        sa.Column("id", _ID, primary_key=True),
        sa.Column("timestamp", _TIME, nullable=False),
        sa.Column("location", _TEXT, nullable=False),
        sa.Column("before", _TIME, nullable=False),
        schema=place.schema,
    )
    if place.schema is not None:
        _grant_as_before(op, place.schema)


def downgrade(op: Operations, place: Place) -> None:
    """Take it away; archives stay as they are, and the store no longer knows of them."""
    op.drop_table(place.name("archives"), schema=place.schema)


def _grant_as_before(op: Operations, schema: str) -> None:
    """Give whoever may read or write deletions the same rights on the new table."""
    quoted = op.get_context().dialect.identifier_preparer.quote(schema)
    op.execute(sa.text(_GRANTS.replace("@schema@", quoted)))
