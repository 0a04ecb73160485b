"""This module is where a PostgreSQL role's rights on our schema are read, and turned into the GRANT that is missing."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from aicore_obs.errors import SchemaError

INSUFFICIENT_PRIVILEGE = "42501"

# Asked of the catalogue before anything is tried: a refused statement aborts the transaction, and says less.
_QUESTION = sa.text(
    """
    SELECT current_user AS role,
           current_database() AS database,
           has_database_privilege(current_database(), 'CREATE') AS may_create_schema,
           n.oid IS NOT NULL AS has_schema,
           coalesce(has_schema_privilege(n.oid, 'USAGE'), false) AS may_use,
           coalesce(has_schema_privilege(n.oid, 'CREATE'), false) AS may_create_tables,
           c.oid IS NOT NULL AS has_versions,
           coalesce(has_table_privilege(c.oid, 'SELECT'), false) AS may_read
      FROM (SELECT 1) AS one
      LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = :schema
      LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = :table
    """
)


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """What there is, and what the connected role may do with it."""

    schema: str
    role: str
    database: str
    may_create_schema: bool
    has_schema: bool
    may_use: bool
    may_create_tables: bool
    has_versions: bool
    may_read: bool

    @classmethod
    def read(cls, connection: sa.Connection, *, schema: str, version_table: str) -> Rights:
        """Ask the catalogue, which every role may read."""
        row = connection.execute(_QUESTION, {"schema": schema, "table": version_table}).one()
        return cls(schema=schema, **row._mapping)  # noqa: SLF001 - the public name, only spelt like a private one

    def check_create(self) -> None:
        """Raise :class:`SchemaError` when this role cannot make the schema or tables in it."""
        if not self.has_schema and not self.may_create_schema:
            raise self._error("create", f'CREATE ON DATABASE "{self.database}"')
        if self.has_schema and not (self.may_use and self.may_create_tables):
            raise self._error("create tables in", f'USAGE, CREATE ON SCHEMA "{self.schema}"')

    def check_read(self) -> None:
        """Raise :class:`SchemaError` when there are tables that this role may not read."""
        if self.has_versions and not self.may_use:
            raise self._error("use", f'USAGE ON SCHEMA "{self.schema}"')
        if self.has_versions and not self.may_read:
            raise self._error("read", f'SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{self.schema}"')

    def refused(self, error: sa.exc.DBAPIError) -> SchemaError:
        """Return what to raise for a statement that the server refused all the same (a table of another owner)."""
        return SchemaError(
            f'role "{self.role}" may not change schema "{self.schema}": {error.orig}; '
            f"run `aicore-obs migrate` as the tables' owner, or give a DBA the output of `aicore-obs migrate --sql`"
        )

    def _error(self, deed: str, grant: str) -> SchemaError:
        return SchemaError(
            f'role "{self.role}" may not {deed} schema "{self.schema}" in database "{self.database}"; needed: '
            f'GRANT {grant} TO "{self.role}"; or give a DBA the output of `aicore-obs migrate --sql`'
        )
