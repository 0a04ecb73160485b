"""This module is where a database is opened for work on its rows by hand, its schema brought up to date first."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from aicore_obs.errors import AicoreObsError, StoreError, StoreNotFoundError
from aicore_obs.protocols import Address
from aicore_obs.stores.sql.schema import Schema
from aicore_obs.stores.sql.space import PostgresSpace, Space, SqliteSpace
from aicore_obs.stores.sql.tables import Tables
from aicore_obs.stores.sql.upkeep import engine_of


def space_of(address: Address) -> Space:
    """Return what knows of the space of a database."""
    return SqliteSpace() if address.kind == "sqlite" else PostgresSpace(address.options.db_schema)


@asynccontextmanager
async def opened(address: Address, tables: Tables | None = None) -> AsyncIterator[AsyncConnection]:
    """Connect to a database that is there; with ``tables`` bring their schema up to date before.

    Raises:
        StoreNotFoundError: there is none, or it has no tables of ours.
        StoreError: the database says no.
    """
    if address.path is not None and not address.path.exists():
        raise StoreNotFoundError(f"there is no database {address.path}; nothing is deleted")
    with _translated(address.name):
        engine = engine_of(address)
        try:
            if tables is not None:
                await _check_schema(address, engine, tables)
            async with engine.connect() as connection:
                await space_of(address).prepare(connection)
                yield connection
        finally:
            await engine.dispose()


async def _check_schema(address: Address, engine: AsyncEngine, tables: Tables) -> None:
    schema = Schema(engine, tables)
    if not await schema.version():
        raise StoreNotFoundError(f"{address.name} has no tables of aicore-obs; nothing is deleted")
    await schema.ensure(address.options.migrate)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except AicoreObsError:
        # Some are an OSError too.
        raise
    except (sa.exc.SQLAlchemyError, sqlite3.Error, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        words = " ".join(str(cause).split()) or type(cause).__name__
        raise StoreError(f"{name}: {words}; what went is gone, run it again for the rest") from error
