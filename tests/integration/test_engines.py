"""This module is where the SQL engines are tested: the file that SQLite gets, transactions, URLs of PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from aicore_obs.errors import ConfigurationError, StoreDamagedError
from aicore_obs.stores.sql.engines import READ_ONLY, connect_arguments, postgres_engine, sqlite_engine


def pragmas(path: Path, *, sync: bool) -> list[object]:
    """What a connection of the engine is set to."""

    async def run() -> list[object]:
        engine = sqlite_engine(path, sync=sync, file_mode=0o600)
        async with engine.connect() as connection:
            names = ("journal_mode", "synchronous", "busy_timeout")
            return [(await connection.execute(text(f"PRAGMA {name}"))).scalar() for name in names]

    return asyncio.run(run())


def test_sqlite_commits_are_as_durable_as_asked(tmp_path: Path) -> None:
    """WAL and a busy timeout always; synchronous NORMAL (1), or FULL (2) when power loss counts."""
    assert pragmas(tmp_path / "a.db", sync=False) == ["wal", 1, 5000]
    assert pragmas(tmp_path / "b.db", sync=True) == ["wal", 2, 5000]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_sqlite_file_and_its_companions_have_the_mode_that_was_asked_for(tmp_path: Path, mode: int) -> None:
    """Missing folders are made; the file, its log and its index are never open to others."""
    path = tmp_path / "new" / "folder" / "store.db"

    async def run() -> set[int]:
        engine = sqlite_engine(path, sync=False, file_mode=mode)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE t (n)"))
            return {stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}

    assert asyncio.run(run()) == {mode}


def test_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """The message has the path; the file is left as it was."""
    path = tmp_path / "notes.db"
    path.write_text("dear diary, " * 500)
    with pytest.raises(StoreDamagedError, match=r"notes\.db is not a SQLite database"):
        pragmas(path, sync=False)
    assert path.read_text().startswith("dear diary")


def test_sqlite_ddl_rolls_back_and_writers_take_turns(tmp_path: Path) -> None:
    """A transaction holds DDL too, keeps a second writer out, and lets readers in."""

    async def tables(engine: AsyncEngine) -> int:
        async with engine.execution_options(**READ_ONLY).connect() as connection:
            return int((await connection.execute(text("SELECT count(*) FROM sqlite_master"))).scalar_one())

    async def run() -> list[int]:
        engine = sqlite_engine(tmp_path / "store.db", sync=False, file_mode=0o600)
        seen = []
        async with engine.connect() as connection:
            await connection.execute(text("CREATE TABLE t (n)"))
            seen.append(await tables(engine))
            await connection.rollback()
            seen.append(await tables(engine))
            await connection.execute(text("CREATE TABLE t (n)"))
            await connection.commit()
            seen.append(await tables(engine))
        return seen

    assert asyncio.run(run()) == [0, 0, 1]


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_url_of_any_usual_form_connects(postgres_url: str, scheme: str) -> None:
    """Scheme variants, libpq's words and hosters' words in the URL all work."""
    words = (
        "sslmode=prefer&connect_timeout=7&channel_binding=prefer&application_name=mine&prepared_statement_cache_size=5"
    )
    url = f"{scheme}://{postgres_url.split('://')[1]}?{words}"

    async def run() -> str:
        async with postgres_engine(url).connect() as connection:
            return str((await connection.execute(text("SHOW application_name"))).scalar_one())

    assert asyncio.run(run()) == "mine"
    assert connect_arguments(url)["timeout"] == 7
    assert "s3cret" not in repr(postgres_engine(url)) + str(postgres_engine(url).url)


def test_url_that_cannot_work_is_refused() -> None:
    """Another scheme or a limit that is no number is named; a password is not repeated."""
    with pytest.raises(ConfigurationError, match="starts with postgresql://, this one with 'mysql'"):
        connect_arguments("mysql://u:s3cret@h/d")
    with pytest.raises(ConfigurationError, match="connect_timeout='soon'"):
        connect_arguments("postgresql://h/d?connect_timeout=soon")


def test_server_that_demands_encryption_it_does_not_have_is_refused(postgres_url: str) -> None:
    """sslmode=require reaches the driver: a server without TLS is not talked to in clear."""

    async def run() -> None:
        async with postgres_engine(f"{postgres_url}?sslmode=require").connect():
            pass

    with pytest.raises(ConnectionError, match="rejected SSL upgrade"):
        asyncio.run(run())
