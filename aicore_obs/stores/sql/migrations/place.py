"""This module is where it is said where in a database our tables are."""

from __future__ import annotations

from typing import Literal

import msgspec

from aicore_obs.stores.sql.tables import Tables

DialectName = Literal["sqlite", "postgresql"]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A schema of our own in PostgreSQL, a prefix in SQLite."""

    prefix: str = ""
    schema: str | None = None

    @classmethod
    def of(cls, tables: Tables) -> Place:
        """Return the place of a store's tables."""
        return cls(prefix=tables.prefix, schema=tables.metadata.schema)

    @property
    def dialect(self) -> DialectName:
        """The dialect that has tables in such a place."""
        return "sqlite" if self.schema is None else "postgresql"

    def name(self, name: str) -> str:
        """Return the full name of a table or an index."""
        return f"{self.prefix}{name}"
