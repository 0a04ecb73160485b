"""This module is where operations, or their content, go from a SQL store, in batches that let writers in between.

What is about to go is said first, in a transaction of its own, so that no writer stores it again. From then on the work
may be stopped at any moment and done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from aicore_obs.model.deletion import Deletion, Pruned
from aicore_obs.model.filter import Filter
from aicore_obs.protocols import Address
from aicore_obs.stores.sql.deletions import deletion_of
from aicore_obs.stores.sql.opened import opened, space_of
from aicore_obs.stores.sql.pruned_rows import PostgresSpeech, PrunedRows, Row, SqliteSpeech

# What one transaction deletes: tens of milliseconds.
BATCH_ROWS = 500
_NOTHING = Pruned()

Tell = Callable[[int], object]


class SqlPruner:
    """Deletes from one database. Each method uses a connection of its own."""

    def __init__(self, address: Address) -> None:
        self._address = address
        is_sqlite = address.kind == "sqlite"
        self._rows = PrunedRows(SqliteSpeech() if is_sqlite else PostgresSpeech(address.options.db_schema))
        self._space = space_of(address)

    async def count(self, query: Filter, *, content_only: bool) -> Pruned:
        """Return what would go; nothing is changed."""
        async with opened(self._address, self._rows.tables) as connection:
            found, at = _NOTHING, None
            while batch := await self._batch(connection, query, at, content_only):
                async with connection.begin():
                    found = found.and_also(await connection.run_sync(self._rows.counted, batch, content_only))
                at = batch[-1]
            return found

    async def delete(self, deletion: Deletion, tell: Tell) -> Pruned:
        """Say what goes, and let it go."""
        query = msgspec.structs.replace(deletion.query, id_below=deletion.id, order="asc")
        async with opened(self._address, self._rows.tables) as connection:
            await self._say(connection, deletion)
            gone, at = _NOTHING, None
            while True:
                started = time.monotonic()
                async with connection.begin():
                    batch = await connection.run_sync(self._rows.matching, query, at, deletion.content_only, BATCH_ROWS)
                    if batch:
                        gone = gone.and_also(await connection.run_sync(self._rows.removed, batch, deletion))
                if not batch:
                    break
                at = batch[-1]
                tell(gone.operations)
                # As long again for others: whoever waits for SQLite's lock looks only now and then.
                await anyio.sleep(time.monotonic() - started)
            if deletion.by_header and not deletion.content_only:
                async with connection.begin():
                    gone = gone.and_also(await connection.run_sync(self._rows.others_removed, query))
            return gone

    async def oldest(self, query: Filter, rows: int, *, content_only: bool) -> Any | None:
        """Return the time of the last of the oldest rows that match, None when there is none."""
        async with opened(self._address) as connection, connection.begin():
            batch = await connection.run_sync(self._rows.matching, query, None, content_only, rows)
            return batch[-1].when if batch else None

    async def used_bytes(self) -> int | None:
        """Return how much of the files holds something; None where the store does not tell."""
        async with opened(self._address) as connection:
            return await self._space.used(connection)

    async def total_bytes(self) -> int | None:
        """Return the size of the store."""
        async with opened(self._address) as connection:
            return await self._space.total(connection)

    async def give_back(self, *, all_of_it: bool) -> tuple[str, ...]:
        """Return freed space to the system, as far as that locks nobody out; ``all_of_it`` may. Returns notes."""
        async with opened(self._address) as connection:
            return await self._space.give_back(connection, all_of_it=all_of_it)

    async def _batch(
        self, connection: AsyncConnection, query: Filter, at: Row | None, content_only: bool
    ) -> Sequence[Row]:
        async with connection.begin():
            return await connection.run_sync(self._rows.matching, query, at, content_only, BATCH_ROWS)

    async def _say(self, connection: AsyncConnection, deletion: Deletion) -> None:
        async with connection.begin():
            await connection.run_sync(self._rows.lock_deletions)
            older = [deletion_of(row) for row in await connection.run_sync(self._rows.deletions)]
            replaced = [one.id for one in older if deletion.replaces(one)]
            await connection.run_sync(self._rows.say, deletion, replaced)
