"""This module is where operations leave a SQL store for an archive: by their ids, in batches.

The tables go in the order in which writers fill them, so that neither waits for the other in a circle.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import anyio
import sqlalchemy as sa

from aicore_obs.model.archive import Archive, Given
from aicore_obs.protocols import Address
from aicore_obs.stores.sql.opened import opened
from aicore_obs.stores.sql.pruned_rows import PostgresSpeech, Speech, SqliteSpeech


class SqlOrigin:
    """Gives operations of one database away. Each method uses a connection of its own."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._speech: Speech = SqliteSpeech() if address.kind == "sqlite" else PostgresSpeech(address.options.db_schema)
        self._tables = self._speech.tables

    async def archives(self) -> tuple[Archive, ...]:
        """Return the archives that the database knows of; a schema that has no table of them knows of none."""
        async with opened(self._address) as connection, connection.begin():
            return await connection.run_sync(self._archives)

    async def keep(self, archive: Archive) -> None:
        """Keep that there is this archive."""
        table = self._tables.archives
        async with opened(self._address, self._tables) as connection, connection.begin():
            await connection.execute(sa.delete(table).where(table.c.id == archive.id))
            values = {name: getattr(archive, name) for name in Archive.__struct_fields__}
            await connection.execute(sa.insert(table).values(values))

    async def give(self, parts: Iterable[Given], tell: Callable[[int], object]) -> int:
        """Let what the parts name go, one part a transaction."""
        gone = done = 0
        async with opened(self._address, self._tables) as connection:
            for part in parts:
                started = time.monotonic()
                async with connection.begin():
                    gone += await connection.run_sync(self._give, part)
                done += len(part.operation_ids)
                tell(done)
                # As long again for others: whoever waits for SQLite's lock looks only now and then.
                await anyio.sleep(time.monotonic() - started)
        return gone

    def _archives(self, connection: sa.Connection) -> tuple[Archive, ...]:
        table = self._tables.archives
        if not sa.inspect(connection).has_table(table.name, schema=table.schema):
            return ()
        rows = connection.execute(sa.select(table).order_by(table.c.id))
        return tuple(Archive(**row) for row in rows.mappings())

    def _give(self, connection: sa.Connection, part: Given) -> int:
        tables = self._tables
        payloads = self._payloads(connection, part.operation_ids)
        gone = self._delete(connection, tables.operations.c.id, part.operation_ids)
        self._delete(connection, tables.payloads.c.payload_id, payloads)
        self._delete(connection, tables.records.c.id, part.records)
        for table in (tables.flags, tables.cost_revisions, tables.scores):
            mine = self._speech.among(table.c.operation_id, part.operation_ids)
            # A row that a newer record has taken since stays.
            archived = self._speech.among(table.c.record_id, part.said)
            connection.execute(sa.delete(table).where(mine, archived))
        return gone

    def _payloads(self, connection: sa.Connection, ids: Sequence[str]) -> list[str]:
        columns = self._tables.operations.c
        found = connection.execute(
            sa.select(columns.request_payload_id, columns.response_payload_id).where(
                self._speech.among(columns.id, ids)
            )
        )
        return [one for row in found for one in row if one is not None]

    def _delete(self, connection: sa.Connection, column: sa.Column[Any], ids: Sequence[str]) -> int:
        return connection.execute(sa.delete(column.table).where(self._speech.among(column, ids))).rowcount
