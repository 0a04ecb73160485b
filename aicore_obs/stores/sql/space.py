"""This module is where the space of a SQL store is measured, and what deletions have freed is given back."""

from __future__ import annotations

from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from aicore_obs.stores.sql.sqlite_reader import contains_all
from aicore_obs.stores.sql.words import CONTAINS_ALL

# Pages that are given back in one step; a writer waits no longer than for that.
_PAGES = 2_000
_NO_AUTO_VACUUM = (
    "this file was made without auto_vacuum: the space is used again, but the file grows no smaller until it is "
    "vacuumed as a whole once (--vacuum; writers wait meanwhile, and twice its size is needed on the disk)"
)
_SERVER = "PostgreSQL uses the space again after its autovacuum; only VACUUM FULL gives it back to the disk"


class Space(Protocol):
    """What is asked of a database about its space."""

    async def prepare(self, connection: AsyncConnection) -> None:
        """Make a new connection ready for questions."""

    async def used(self, connection: AsyncConnection) -> int | None:
        """Return how many bytes hold something; None where nobody can tell."""

    async def total(self, connection: AsyncConnection) -> int | None:
        """Return how many bytes there are."""

    async def give_back(self, connection: AsyncConnection, *, all_of_it: bool) -> tuple[str, ...]:
        """Give back what is free, and return what there is to know about the rest."""


class SqliteSpace:
    """One file, whose free pages SQLite gives back where it was made with ``auto_vacuum``."""

    async def prepare(self, connection: AsyncConnection) -> None:
        driver = await _driver(connection)
        await driver.create_function(CONTAINS_ALL, 2, contains_all, deterministic=True)

    async def used(self, connection: AsyncConnection) -> int | None:
        driver = await _driver(connection)
        pages, free, size = [await _pragma(driver, one) for one in ("page_count", "freelist_count", "page_size")]
        return (pages - free) * size

    async def total(self, connection: AsyncConnection) -> int | None:
        driver = await _driver(connection)
        return await _pragma(driver, "page_count") * await _pragma(driver, "page_size")

    async def give_back(self, connection: AsyncConnection, *, all_of_it: bool) -> tuple[str, ...]:
        driver = await _driver(connection)
        is_incremental = await _pragma(driver, "auto_vacuum") != 0
        if all_of_it:
            # Said before the whole is rewritten, so that the file is like a new one from then on.
            await driver.execute_fetchall("PRAGMA auto_vacuum=INCREMENTAL")
            await driver.execute_fetchall("VACUUM")
        elif is_incremental:
            # Counted, since writers free pages meanwhile.
            for _ in range(await _pragma(driver, "freelist_count") // _PAGES + 1):
                # As a script: a step of this statement frees one page, and only scripts are stepped to their end.
                await driver.executescript(f"PRAGMA incremental_vacuum({_PAGES})")
        # The file itself shrinks when the log is brought into it.
        await driver.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
        return () if is_incremental or all_of_it or not await _pragma(driver, "freelist_count") else (_NO_AUTO_VACUUM,)


class PostgresSpace:
    """Tables of a server, which looks after its space itself."""

    def __init__(self, schema: str) -> None:
        self._schema = schema

    async def prepare(self, connection: AsyncConnection) -> None:
        """Nothing is needed."""

    async def used(self, connection: AsyncConnection) -> int | None:  # noqa: ARG002 - a duty of the protocol
        return None

    async def total(self, connection: AsyncConnection) -> int | None:
        question = sa.text(
            "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = :schema AND c.relkind = 'r'"
        )
        async with connection.begin():
            return int((await connection.execute(question, {"schema": self._schema})).scalar() or 0)

    async def give_back(self, connection: AsyncConnection, *, all_of_it: bool) -> tuple[str, ...]:  # noqa: ARG002
        return (_SERVER,)


async def _driver(connection: AsyncConnection) -> Any:
    return (await connection.get_raw_connection()).driver_connection


async def _pragma(driver: Any, name: str) -> int:
    ((value,),) = await driver.execute_fetchall(f"PRAGMA {name}")
    return int(value)
