"""This module is where being a guest in the user's PostgreSQL is tested: rights, DDL for a DBA, locks, sessions."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from aicore_obs.errors import SchemaError
from aicore_obs.stores.sql.migrations.migrator import Migrator, lock_key
from aicore_obs.stores.sql.migrations.place import Place
from aicore_obs.stores.sql.schema import Schema
from tests.databases import MINOR, NEWEST, NEXT, Database
from tests.postgres import PostgresServer, run_sql


@pytest.fixture
def role(postgres_server: PostgresServer, postgres_url: str) -> Iterator[Database]:
    """The database as a role sees it that may only connect."""
    name = "guest_" + postgres_url.rsplit("_", 1)[1]
    postgres_server.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'pw'")
    yield Database(postgres_server.url_of(postgres_url.rsplit("/", 1)[1], user=name, password="pw"))
    run_sql(postgres_url, f"DROP OWNED BY {name}")
    postgres_server.execute(f"DROP ROLE {name}")


def role_name(role: Database) -> str:
    """The role's name."""
    return role.target.split("//")[1].split(":")[0]


def wait_until(question: str, url: str, *, timeout_s: float = 30) -> None:
    """Ask until the answer is true."""
    deadline = time.monotonic() + timeout_s
    while not run_sql(url, question)[0][0]:
        assert time.monotonic() < deadline, question


def test_role_without_create_is_told_the_grant(role: Database, postgres_url: str) -> None:
    """The message has role, database, the GRANT and the way by a DBA; the GRANT that it names is enough."""
    with pytest.raises(SchemaError, match=r"GRANT CREATE ON DATABASE .*aicore-obs migrate --sql") as caught:
        role.ensure()
    grant = str(caught.value).split("needed: ")[1].split(";")[0]
    run_sql(postgres_url, grant)
    assert role.ensure() == NEWEST


def test_role_with_a_schema_but_no_right_in_it_is_told_the_grant(role: Database, postgres_url: str) -> None:
    """A schema made by a DBA needs USAGE and CREATE; again the named GRANT is enough."""
    run_sql(postgres_url, "CREATE SCHEMA aicore_obs")
    with pytest.raises(SchemaError, match="GRANT USAGE, CREATE ON SCHEMA") as caught:
        role.ensure()
    run_sql(postgres_url, str(caught.value).split("needed: ")[1].split(";")[0])
    assert role.ensure() == NEWEST


def test_role_that_may_not_read_the_tables_is_told_each_grant(role: Database, postgres_url: str) -> None:
    """With tables of another owner, the missing GRANTs are named one after the other, until it works."""
    Database(postgres_url).ensure()
    for expected in ("USAGE ON SCHEMA", "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES"):
        with pytest.raises(SchemaError, match=expected) as caught:
            role.ensure("never")
        run_sql(postgres_url, str(caught.value).split("needed: ")[1].split(";")[0])
    assert role.ensure("never") == NEWEST


def test_role_that_does_not_own_the_tables_cannot_take_a_step(role: Database, postgres_url: str) -> None:
    """A minor step on another role's tables is refused by the server and says who must run it."""
    Database(postgres_url).ensure()
    name = role_name(role)
    run_sql(
        postgres_url,
        f"GRANT USAGE, CREATE ON SCHEMA aicore_obs TO {name};GRANT SELECT ON ALL TABLES IN SCHEMA aicore_obs TO {name}",
    )
    with pytest.raises(SchemaError, match=r"must be owner of table operations.*tables' owner"):
        role.ensure(extra=[MINOR])


@pytest.mark.parametrize("through", ["psql", "asyncpg"])
def test_ddl_for_a_dba_makes_a_schema_that_programs_accept(role: Database, postgres_url: str, through: str) -> None:
    """The output of migrate --sql, run by a superuser, is what a role with plain rights then finds in order."""
    sql = Migrator(Place.of(role.tables)).sql()
    if through == "psql":
        command = ["psql", "-X", "-v", "ON_ERROR_STOP=1", postgres_url]
        subprocess.run(command, input=sql, text=True, check=True, capture_output=True, timeout=200)
    else:
        run_sql(postgres_url, sql)
    name = role_name(role)
    run_sql(
        postgres_url,
        f"GRANT USAGE ON SCHEMA aicore_obs TO {name};"
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA aicore_obs TO {name}",
    )
    assert role.ensure("never") == NEWEST
    assert run_sql(postgres_url, "SELECT version, applied_by FROM aicore_obs.schema_log") == [
        (version, "aicore-obs migrate --sql") for version in range(1, NEWEST + 1)
    ]


def test_ddl_for_a_dba_leads_from_the_version_that_is_there(postgres_url: str) -> None:
    """With a start version only the missing steps are printed."""
    database = Database(postgres_url)
    database.ensure()
    run_sql(postgres_url, Migrator(Place.of(database.tables), extra_versions=[MINOR]).sql(start=NEWEST))
    assert database.ensure("never", extra=[MINOR]) == NEXT


def test_payloads_are_compressed_with_lz4_where_the_server_can(postgres_url: str) -> None:
    """lz4 on a server that has it; a server without it gets its default and no error."""
    Database(postgres_url).ensure()
    setting = "SELECT enumvals FROM pg_settings WHERE name = 'default_toast_compression'"
    methods = [method for row in run_sql(postgres_url, setting) for method in row[0]]
    table = "attrelid = 'aicore_obs.payloads'::regclass"
    question = f"SELECT attcompression::text FROM pg_attribute WHERE {table} AND attname = 'body'"
    assert run_sql(postgres_url, question)[0][0] == ("l" if "lz4" in methods else "")


def test_writer_waits_for_the_one_that_migrates(postgres_url: str) -> None:
    """A process that finds the lock taken waits and then goes on with what the other has made."""
    database = Database(postgres_url)

    async def hold_and_release(engine: AsyncEngine) -> int:
        async with engine.begin() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({lock_key('aicore_obs')})"))
            waiting = asyncio.ensure_future(Schema(engine, database.tables).ensure("auto"))
            async with asyncio.timeout(30):
                while not await _somebody_waits(postgres_url):
                    pass
            assert not waiting.done()
        return await waiting

    assert database.on_engine(hold_and_release) == NEWEST


async def _somebody_waits(url: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        return bool(
            await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
        )
    finally:
        await connection.close()


def test_schemas_of_one_database_are_independent(postgres_url: str) -> None:
    """A schema's name may need quotes; two schemas have versions of their own."""
    odd, plain = Database(postgres_url, db_schema='My "own" Schema'), Database(postgres_url)
    assert odd.ensure(extra=[MINOR]) == NEXT
    assert plain.on_schema(Schema.version) == 0
    assert plain.ensure() == NEWEST
    assert odd.ensure("never", extra=[MINOR]) == NEXT


def test_nothing_stays_behind_on_the_server(postgres_url: str) -> None:
    """After the work there is no session, no session lock and no prepared statement of ours."""
    database = Database(postgres_url)
    database.ensure()

    async def named_statements(engine: AsyncEngine) -> int:
        async with engine.begin() as connection:
            for _ in range(3):
                await connection.execute(text("SELECT count(*) FROM aicore_obs.operations"))
            answer = await connection.execute(text("SELECT count(*) FROM pg_prepared_statements"))
            return int(answer.scalar_one())

    # The question itself is prepared without a name, which PostgreSQL does not list.
    assert database.on_engine(named_statements) == 0
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    wait_until(f"SELECT count(*) = 0 {others}", postgres_url)
    assert run_sql(postgres_url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")[0][0] == 0
