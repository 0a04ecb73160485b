"""This module is where a mirror is compared with its database after any mix of what may happen to that."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aicore_obs import plugins, prune
from aicore_obs.addresses import address_of
from aicore_obs.model import codec
from aicore_obs.model.cost import Cost
from aicore_obs.model.record import Record
from aicore_obs.protocols import Address, Batch, StoreOptions
from aicore_obs.query.reader import read_frame
from aicore_obs.query.scan import scan
from aicore_obs.stores.mirror import parts
from aicore_obs.stores.mirror.source import MIRRORED
from aicore_obs.stores.sql import postgres_moment, sqlite_moment
from aicore_obs.stores.sql.tables import postgres_tables
from tests.databases import Database
from tests.postgres import PostgresServer
from tests.stored import START, flag, operation, record_id, revision, score

NUMBERS = st.integers(0, 40)
Step = tuple[str, Any]


class World:
    """One database, with a writer and somebody who changes it by hand."""

    def __init__(self, address: Address, runner: asyncio.Runner) -> None:
        self.address = address
        self._runner = runner
        self._store = plugins.sink(address)
        runner.run(self._store.open())

    def close(self) -> None:
        self._runner.run(self._store.aclose())

    def write(self, numbers: Sequence[int]) -> None:
        """Store operations; those of low numbers may come late."""
        self._write([made(number) for number in numbers])

    def recost(self, of: tuple[int, int]) -> None:
        """Store a revision, which may come before its operation, and before an older revision."""
        number, amount = of
        self._write([revision(100 + amount, number, Cost(total=Decimal(amount), model="m"))])

    def mark(self, number: int) -> None:
        """Store what no frame shows."""
        self._write([flag(200 + number, number, reason="odd"), score(300 + number, number, "helpful", value=True)])

    def prune(self, number: int) -> None:
        prune(store=self.address, session_id=f"s{number % 5}")

    def prune_old(self, number: int) -> None:
        prune(store=self.address, end_date=made(number // 4).timestamp)

    def prune_content(self, number: int) -> None:
        prune(store=self.address, session_id=f"s{number % 5}", content_only=True)

    def delete(self, numbers: Sequence[int]) -> None:
        """Delete as somebody does who knows nothing of mirrors."""
        ids = ", ".join(f"'{record_id(number)}'" for number in numbers)
        self.sql(f"DELETE FROM {self.name('operations')} WHERE id IN ({ids})")

    def delete_revisions(self, number: int) -> None:
        self.sql(f"DELETE FROM {self.name('cost_revisions')} WHERE operation_id = '{record_id(number)}'")

    def look(self, _: Any) -> None:
        """Compare; a mirror that is looked at after each step never has several to make up for."""
        direct = read_frame(self.address, {"columns": MIRRORED})
        assert_frame_equal(scan(self.address, {}, mirror=True).select(MIRRORED).collect(), direct)

    def name(self, table: str) -> str:
        return f"aicore_obs_{table}" if self.address.path else f"aicore_obs.{table}"

    def sql(self, statement: str) -> None:
        if self.address.path is not None:
            with closing(sqlite3.connect(self.address.path, isolation_level=None)) as connection:
                connection.execute(statement)
        else:
            self._runner.run(self._on_postgres(statement))

    async def _on_postgres(self, statement: str) -> None:
        connection = await asyncpg.connect(self.address.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _write(self, records: Sequence[Record]) -> None:
        lines = [codec.encode(record) for record in records]
        batch = Batch(records=records, lines=lines, note=lambda _: None)
        self._runner.run(self._store.write(batch))


class SqliteWorld(World):
    def delete_last(self, _: Any) -> None:
        """Let others get the numbers of rows that are there now."""
        table = self.name("operations")
        self.sql(f"DELETE FROM {table} WHERE rowid = (SELECT max(rowid) FROM {table})")

    def put_in_again(self, number: int) -> None:
        """Let all rows have their ids and say something else, as after a second import."""
        self.sql(f"UPDATE {self.name('operations')} SET model = 'x{number}'")

    def vacuum(self, _: Any) -> None:
        """Give all rows new numbers."""
        self.sql("VACUUM")


class PostgresWorld(World):
    def __init__(self, address: Address, runner: asyncio.Runner) -> None:
        super().__init__(address, runner)
        self._begun: list[Any] = []
        self._next = 50

    def close(self) -> None:
        for connection in self._begun:
            self._runner.run(connection.close())
        super().close()

    def begin(self, number: int) -> None:
        """Let another writer insert a row, which nobody sees until it commits."""
        connection = self._runner.run(asyncpg.connect(self.address.url))
        when = f"'{made(number).timestamp.isoformat()}'"
        row = f"INSERT INTO {self.name('operations')} (id, timestamp) VALUES ('{record_id(self._next)}', {when})"
        self._runner.run(connection.execute("BEGIN; " + row))
        self._begun.append(connection)
        self._next += 1

    def commit(self, number: int) -> None:
        """Let one of them commit, in any order."""
        if self._begun:
            connection = self._begun.pop(number % len(self._begun))
            self._runner.run(connection.execute("COMMIT"))
            self._runner.run(connection.close())

    def change(self, number: int) -> None:
        """Change rows, their times too, as nobody should."""
        later = f"SET model = 'x', timestamp = timestamp + INTERVAL '{number} seconds'"
        self.sql(f"UPDATE {self.name('operations')} {later} WHERE session_id = 's{number % 5}'")

    def rewrite(self, _: Any) -> None:
        while self._begun:
            self.commit(0)
        self.sql(f"VACUUM FULL {self.name('operations')}")


def made(number: int) -> Any:
    """Return operation ``number``; its keys and their types depend on it, so that the catalogue grows."""
    return operation(
        number,
        # Two of each time.
        timestamp=START + timedelta(seconds=number // 2),
        session_id=f"s{number % 5}",
        model=f"m{number % 3}",
        labels={f"l{number % 4}": "x"} if number % 2 else {},
        extras={f"k{number % 3}": number if number % 7 else "text"},
        tags=["t"] if number % 3 else [],
        completion_args={"messages": []},
        cost=Cost(total=Decimal(number), model="m") if number % 4 else None,
    )


def mixes(*more: str) -> st.SearchStrategy[list[Step]]:
    """Return the strategy of a list of steps; ``more`` are those of one kind of database."""
    several = st.lists(NUMBERS, min_size=1, max_size=12, unique=True)
    steps: dict[str, st.SearchStrategy[Any]] = {
        "write": several,
        "recost": st.tuples(NUMBERS, st.integers(1, 9)),
        "mark": NUMBERS,
        "delete": several,
        "look": st.none(),
        **dict.fromkeys(("prune", "prune_old", "prune_content", "delete_revisions", *more), NUMBERS),
    }
    each = st.one_of(*(st.tuples(st.just(name), value) for name, value in steps.items()))
    # Few steps on few rows say nothing.
    return st.lists(each, min_size=4, max_size=14).map(lambda mix: [("write", range(0, 40, 3)), ("look", None), *mix])


def live(world: World, steps: Sequence[Step]) -> None:
    try:
        for name, value in steps:
            getattr(world, name)(value)
        world.look(None)
    finally:
        world.close()


@pytest.fixture(autouse=True, scope="module")
def _small_parts() -> Iterator[None]:
    """Parts of a few rows, so that there are many; and no answer but that of the mirror."""

    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("the database was asked itself")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_ROWS", 4)
        patch.setattr(parts, "LAST_ROWS", 2)
        patch.setattr(sqlite_moment, "BATCH_ROWS", 5)
        patch.setattr(sqlite_moment, "IDS_AT_ONCE", 3)
        patch.setattr(postgres_moment, "BATCH_ROWS", 5)
        patch.setattr(postgres_moment, "IDS_AT_ONCE", 3)
        patch.setattr(sqlite_moment.SqliteSource, "batches", refused)
        patch.setattr(postgres_moment.PostgresSource, "batches", refused)
        yield


@pytest.fixture(scope="module")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite store, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "a.db"
    Database(str(path)).ensure()
    return path


@pytest.fixture(scope="module")
def postgres(postgres_server: PostgresServer) -> Iterator[Address]:
    """A PostgreSQL store, to be emptied."""
    url = postgres_server.create_database()
    Database(url).ensure()
    yield address_of(url, StoreOptions())
    postgres_server.drop_database(url)


COSTED_AGAIN: list[Step] = [
    step for amount in (5, 3, 9) for step in (("look", None), ("recost", (1, amount)), ("look", None))
]
ON_SQLITE = mixes("delete_last", "put_in_again", "vacuum")
ON_POSTGRES = mixes("begin", "commit", "change", "rewrite")


def on_sqlite(empty: Path, steps: Sequence[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        path = shutil.copy(empty, Path(folder, "a.db"))
        live(SqliteWorld(address_of(f"sqlite:///{path}", StoreOptions()), runner), steps)


def on_postgres(address: Address, steps: Sequence[Step]) -> None:
    tables = ", ".join(f"aicore_obs.{table.name}" for table in postgres_tables("aicore_obs").written)
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
        asyncio.Runner() as runner,
    ):
        patch.setenv("AICORE_OBS_STATE_DIR", folder)
        world = PostgresWorld(address, runner)
        world.sql(f"TRUNCATE {tables}")
        live(world, steps)


@given(ON_SQLITE)
@settings(max_examples=8)
@example([("write", [1]), ("look", None), ("delete", [1]), ("look", None), ("write", [2])])
@example([("delete", range(40)), ("write", range(1, 40, 2)), ("look", None), ("write", range(0, 40, 2))])
@example([("write", [1, 2, 3]), ("look", None), ("delete_last", None), ("write", [9])])
@example([("write", range(9)), ("look", None), ("delete", [0, 1, 2]), ("vacuum", None), ("write", [20, 21, 22])])
@example([("write", [1]), *COSTED_AGAIN, ("delete_revisions", 1)])
def test_any_mix_on_sqlite(sqlite_file: Path, steps: list[Step]) -> None:
    """A frame of the mirror is a frame of the SQLite file."""
    on_sqlite(sqlite_file, steps)


@given(ON_POSTGRES)
@settings(max_examples=4)
@example([("write", [1]), ("begin", 2), ("begin", 0), ("look", None), ("commit", 1), ("look", None), ("commit", 0)])
@example([("write", [1]), ("begin", 2), ("look", None), ("write", [7]), ("look", None), ("commit", 0)])
@example([("write", [1]), *COSTED_AGAIN, ("delete_revisions", 1)])
def test_any_mix_on_postgresql(postgres: Address, steps: list[Step]) -> None:
    """A frame of the mirror is a frame of the PostgreSQL schema."""
    on_postgres(postgres, steps)


@pytest.mark.long
@pytest.mark.timeout(3600)
@given(ON_SQLITE)
@settings(max_examples=300)
def test_many_mixes_on_sqlite(sqlite_file: Path, steps: list[Step]) -> None:
    """The same, more often."""
    on_sqlite(sqlite_file, steps)


@pytest.mark.long
@pytest.mark.timeout(3600)
@given(ON_POSTGRES)
@settings(max_examples=150)
def test_many_mixes_on_postgresql(postgres: Address, steps: list[Step]) -> None:
    """The same, more often."""
    on_postgres(postgres, steps)
