"""This module is where tests name a database of either kind, and make its schema in this process or in a child.

As a program (``python -m tests.databases TARGET [FOLDER…]``) it says ``ready``, waits for a line, makes the schema
ready and says its version.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from aicore_obs.stores.sql.engines import postgres_engine, sqlite_engine
from aicore_obs.stores.sql.schema import Schema
from aicore_obs.stores.sql.tables import Tables, postgres_tables, sqlite_tables

ROOT = Path(__file__).parents[1]
STEPS = Path(__file__).parent / "fixtures" / "migrations"
MINOR = STEPS / "minor"
MAJOR = STEPS / "major"
FAILING = STEPS / "failing"
_VERSIONS = ROOT / "aicore_obs" / "stores" / "sql" / "migrations" / "versions"
# The version that this program makes, and the one of the steps in those folders: the next, whichever it is.
NEWEST = max(int(path.stem[1:5]) for path in _VERSIONS.glob("v[0-9]*.py"))
NEXT = NEWEST + 1
T = TypeVar("T")


class Database:
    """A SQLite file (a path) or a PostgreSQL database (a URL)."""

    def __init__(self, target: str, *, db_schema: str = "aicore_obs") -> None:
        self.target = target
        self.is_postgres = target.startswith("postgresql://")
        self.tables: Tables = postgres_tables(db_schema) if self.is_postgres else sqlite_tables()

    def engine(self) -> AsyncEngine:
        """Return an engine for the running loop."""
        if self.is_postgres:
            return postgres_engine(self.target)
        return sqlite_engine(Path(self.target), sync=False, file_mode=0o600)

    def name(self, table: str) -> str:
        """Return a table's full name in SQL."""
        return f'"{self.tables.metadata.schema}".{table}' if self.is_postgres else f"{self.tables.prefix}{table}"

    def on_engine(self, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
        """Run ``work`` on a loop and an engine of its own."""

        async def run() -> T:
            engine = self.engine()
            try:
                return await work(engine)
            finally:
                await engine.dispose()

        return asyncio.run(run())

    def on_schema(
        self, work: Callable[[Schema], Awaitable[T]], *, extra: Sequence[Path] = (), program: int | None = None
    ) -> T:
        """Run ``work`` on the schema, as program version ``program`` that knows the steps in ``extra``."""
        return self.on_engine(
            lambda engine: work(Schema(engine, self.tables, extra_versions=extra, program_version=program))
        )

    def ensure(self, mode: str = "auto", *, extra: Sequence[Path] = (), program: int | None = None) -> int:
        """Make the schema ready, as a writer does at its first use."""
        return self.on_schema(lambda schema: schema.ensure(mode), extra=extra, program=program)

    def execute(self, *statements: str) -> list[Any]:
        """Run statements in one transaction; rows of the last one."""

        async def run(engine: AsyncEngine) -> list[Any]:
            async with engine.begin() as connection:
                results = [await connection.execute(text(statement)) for statement in statements]
                return list(results[-1]) if results[-1].returns_rows else []

        return self.on_engine(run)

    def child(self, *folders: Path, **environment: str) -> subprocess.Popen[str]:
        """Start this module as a program; a line to its stdin lets it go on."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.databases", self.target, *map(str, folders)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )


def _main(target: str, *folders: str) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    print(Database(target).ensure(extra=[Path(folder) for folder in folders]), flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
