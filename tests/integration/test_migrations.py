"""This module is where the steps of the SQL schema are tested, on both dialects."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.schema import CreateSchema

from aicore_obs.errors import SchemaError
from aicore_obs.model.ids import new_id, utc_now
from aicore_obs.stores.sql.migrations.migrator import Migrator
from aicore_obs.stores.sql.migrations.place import Place
from aicore_obs.stores.sql.schema import Schema
from tests.databases import FAILING, MAJOR, MINOR, NEWEST, NEXT, Database
from tests.postgres import PostgresServer

BOTH = (MINOR, MAJOR)
# What the log says of this program's own steps.
OURS = [(version, "minor", 1) for version in range(1, NEWEST + 1)]
MAJOR_VERSION = NEXT + 1

COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable, column_default
      FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
     WHERE table_schema = 'aicore_obs' AND table_type = 'BASE TABLE' ORDER BY table_name, ordinal_position
"""
CONSTRAINTS = """
    SELECT conrelid::regclass::text, contype::text, pg_get_constraintdef(oid)
      FROM pg_constraint WHERE connamespace = 'aicore_obs'::regnamespace ORDER BY 1, 2, 3
"""
INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'aicore_obs' ORDER BY 1, 2"
SQLITE = "SELECT tbl_name, name, sql FROM sqlite_master WHERE type <> 'view' ORDER BY 1, 2"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return Database(str(tmp_path / "store.db"))
    return Database(request.getfixturevalue("postgres_url"))


@pytest.fixture
def fresh(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Iterator[Database]:
    """A second database of the same kind."""
    if not database.is_postgres:
        yield Database(str(tmp_path / "fresh.db"))
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database()
    yield Database(url)
    server.drop_database(url)


def described(database: Database) -> list[Any]:
    """Everything that the database says of our tables, but Alembic's own; the views are declared in their step only."""
    questions = (COLUMNS, CONSTRAINTS, INDEXES) if database.is_postgres else (SQLITE,)
    rows = [tuple(row) for question in questions for row in database.execute(question)]
    return [[" ".join(str(value).split()) for value in row] for row in rows if "alembic_version" not in str(row[0])]


def write(database: Database, **more: Any) -> str:
    """Write one operation with the columns that a program knows."""
    record_id = new_id()

    async def run(engine: AsyncEngine) -> str:
        async with engine.begin() as connection:
            await connection.execute(insert(database.tables.operations).values(id=record_id, timestamp=utc_now()))
        return record_id

    database.on_engine(run)
    for column, value in more.items():
        database.execute(f"UPDATE {database.name('operations')} SET {column} = '{value}' WHERE id = '{record_id}'")
    return record_id


def ids(database: Database) -> set[str]:
    """The ids of the stored operations."""
    return {str(row[0]) for row in database.execute(f"SELECT id FROM {database.name('operations')}")}


def log(database: Database) -> list[tuple[Any, ...]]:
    """The log of steps, without times."""
    question = f"SELECT version, step, oldest_writer FROM {database.name('schema_log')} ORDER BY version"
    return [tuple(row) for row in database.execute(question)]


def test_fresh_schema_equals_migrated_schema(database: Database, fresh: Database) -> None:
    """The steps lead to what tables.py declares: columns, types, nullability, keys, indices with their WHERE."""

    async def create_all(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            if fresh.tables.metadata.schema:
                await connection.execute(CreateSchema(fresh.tables.metadata.schema))
            await connection.run_sync(fresh.tables.metadata.create_all)

    fresh.on_engine(create_all)
    database.ensure()
    assert len(described(fresh)) > 10
    assert described(database) == described(fresh)


def test_first_use_makes_the_schema_and_logs_it(database: Database) -> None:
    """An empty database has version 0; a writer brings it to the newest; doing it again changes nothing."""
    assert database.on_schema(Schema.version) == 0
    assert [database.ensure(), database.ensure(), database.ensure("never")] == [NEWEST] * 3
    assert log(database) == OURS
    when, who = database.on_engine(lambda engine: _first_log_entry(engine, database))
    assert abs((utc_now() - when).total_seconds()) < 60
    assert who.startswith("aicore-obs")


async def _first_log_entry(engine: AsyncEngine, database: Database) -> tuple[Any, str]:
    table = database.tables.schema_log
    async with engine.connect() as connection:
        rows = await connection.execute(select(table.c.applied_at, table.c.applied_by).order_by(table.c.version))
        row = rows.first()
        assert row is not None
        return row[0], row[1]


def test_never_names_the_command_and_makes_nothing(database: Database) -> None:
    """migrate="never" on an empty or an older database is an error that says what to run."""
    with pytest.raises(SchemaError, match="aicore-obs migrate`"):
        database.ensure("never")
    assert database.on_schema(Schema.version) == 0
    database.ensure()
    with pytest.raises(SchemaError, match=rf"version {NEWEST} .* needs version {NEXT}"):
        database.ensure("never", extra=[MINOR])
    assert database.on_schema(Schema.version) == NEWEST


def test_older_and_newer_program_write_side_by_side_over_a_minor_step(database: Database) -> None:
    """The older program starts, the newer one takes its minor step, both go on writing, both read everything."""
    assert database.ensure(program=NEWEST) == NEWEST
    before = write(database)
    assert database.ensure(extra=[MINOR]) == NEXT
    by_new = write(database, note="seen")
    assert database.ensure(program=NEWEST) == NEXT
    by_old = write(database)
    assert database.ensure(extra=[MINOR]) == NEXT
    assert ids(database) == {before, by_new, by_old}
    assert log(database) == [*OURS, (NEXT, "minor", 1)]


def test_major_step_is_never_taken_by_itself(database: Database) -> None:
    """A newer program that needs a major step says so and leaves the schema alone; --major takes it."""
    database.ensure(program=NEWEST)
    for mode in ("auto", "never"):
        with pytest.raises(SchemaError, match="aicore-obs migrate --major"):
            database.ensure(mode, extra=BOTH)
    with pytest.raises(SchemaError, match="aicore-obs migrate --major"):
        database.on_schema(lambda schema: schema.migrate(), extra=BOTH)
    assert database.on_schema(Schema.version) == NEWEST
    assert database.on_schema(lambda schema: schema.migrate(allow_major=True), extra=BOTH) == MAJOR_VERSION
    assert log(database) == [*OURS, (NEXT, "minor", 1), (MAJOR_VERSION, "major", MAJOR_VERSION)]


def test_empty_database_goes_to_the_newest_version_at_once(database: Database) -> None:
    """Making a schema where there is none shuts nobody out, major steps or not."""
    assert database.ensure(extra=BOTH) == MAJOR_VERSION


def test_program_too_old_for_a_major_step_says_so(database: Database) -> None:
    """The older program names both versions, the update, and where its records stay."""
    database.ensure(extra=BOTH)
    for mode in ("auto", "never"):
        with pytest.raises(SchemaError, match=rf"version {MAJOR_VERSION} .* writes version {NEXT}.*pip.*journal"):
            database.ensure(mode, extra=[MINOR])
    with pytest.raises(SchemaError, match="pip install -U aicore-obs"):
        database.on_schema(lambda schema: schema.migrate(), program=1)


def test_going_back_lets_the_older_program_write_again(database: Database) -> None:
    """Downgrading takes the steps and their log entries back and keeps the rows."""
    database.ensure(extra=BOTH)
    kept = write(database)
    assert database.on_schema(lambda schema: schema.downgrade(NEWEST), extra=BOTH) == NEWEST
    assert log(database) == OURS
    assert database.ensure("never", program=NEWEST) == NEWEST
    by_old = write(database)
    assert ids(database) == {kept, by_old}
    assert database.on_schema(lambda schema: schema.migrate(allow_major=True), extra=BOTH) == MAJOR_VERSION


def downgrade(database: Database, target: int, program: int) -> int:
    """Go back as program ``program`` that may know the minor step."""
    return database.on_schema(lambda schema: schema.downgrade(target), extra=[MINOR], program=program)


def test_there_is_no_way_back_that_deletes_every_record(database: Database) -> None:
    """Version 0, unknown versions and steps of a newer program are refused, and nothing changes."""
    database.ensure(extra=[MINOR])
    kept = write(database)
    refusals = (
        (0, NEXT, "delete every record"),
        (NEXT + 1, NEXT, f"version {NEXT + 1}"),
        (NEWEST, NEWEST, f"knows up to {NEWEST}"),
    )
    for target, program, complaint in refusals:
        with pytest.raises(SchemaError, match=complaint):
            downgrade(database, target, program)
    assert ids(database) == {kept}
    assert database.on_schema(Schema.version) == NEXT


def test_step_that_fails_half_way_leaves_nothing_and_runs_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in the middle of a step rolls everything back; the next run succeeds."""
    database.ensure()
    before = described(database)
    monkeypatch.setenv("TEST_HALF_WAY", "raise")
    with pytest.raises(ZeroDivisionError):
        database.ensure(extra=[FAILING])
    assert described(database) == before
    assert log(database) == OURS
    monkeypatch.delenv("TEST_HALF_WAY")
    assert database.ensure(extra=[FAILING]) == NEXT


def test_process_killed_half_way_leaves_nothing_and_the_next_goes_on(database: Database) -> None:
    """kill -9 in the middle of the first steps on an empty database; another process makes the whole schema."""
    with database.child(FAILING, TEST_HALF_WAY="wait") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("go\n")
        child.stdin.flush()
        assert [child.stdout.readline().strip() for _ in range(2)] == ["ready", "half-way"]
        child.kill()
        child.wait(timeout=120)
    assert database.on_schema(Schema.version) == 0
    assert database.ensure(extra=[FAILING]) == NEXT
    assert log(database) == [*OURS, (NEXT, "minor", 1)]


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_that_start_at_once_on_an_empty_database_all_succeed(database: Database, processes: int) -> None:
    """Every one of them gets the version; each step is taken once."""
    children = [database.child(MINOR) for _ in range(processes)]
    try:
        assert {child.stdout.readline() for child in children if child.stdout} == {"ready\n"}
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        assert [child.communicate(timeout=200)[0].strip() for child in children] == [str(NEXT)] * processes
    finally:
        for child in children:
            child.kill()
            child.communicate()
    assert [child.returncode for child in children] == [0] * processes
    assert log(database) == [*OURS, (NEXT, "minor", 1)]


def test_stores_of_one_loop_migrate_at_once(database: Database) -> None:
    """Two schemas made ready concurrently on one event loop do not meddle with each other."""

    async def both(engine: AsyncEngine) -> list[int]:
        schemas = [Schema(engine, database.tables, extra_versions=[MINOR]) for _ in range(3)]
        return await asyncio.gather(*(schema.ensure("auto") for schema in schemas))

    assert database.on_engine(both) == [NEXT] * 3


def test_every_step_declares_what_programs_need_to_know() -> None:
    """Versions count up without gaps; a major step takes no older writer; the newest step is this program's."""
    for tables in (Database("x.db").tables, Database("postgresql://x/x").tables):
        migrator = Migrator(Place.of(tables))
        assert sorted(migrator.steps) == list(range(1, migrator.program_version + 1))
        for step in migrator.steps.values():
            assert step.oldest_writer == step.version if step.major else step.oldest_writer <= step.version
