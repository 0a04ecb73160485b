"""This module is where the step to schema version 5 is tested: which archives a store knows of."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aicore_obs import plugins, prune
from aicore_obs.model.archive import Archive
from aicore_obs.model.ids import new_id
from aicore_obs.protocols import Address
from aicore_obs.query.reader import read_frame
from aicore_obs.stores.sql.schema import Schema
from tests import records
from tests.databases import NEWEST, ROOT, Database
from tests.postgres import PostgresServer, run_sql


@pytest.fixture(params=records.DATABASES)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """A database of version 4."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    place = records.address(request.param, tmp_path, url)
    assert database_of(place).ensure(program=4) == 4
    return place


def database_of(place: Address) -> Database:
    """The database at an address."""
    return Database(str(place.path or place.url))


def archives_of(place: Address) -> tuple[Archive, ...]:
    """The archives that a store knows of."""
    return asyncio.run(plugins.origin(place).archives())


def test_the_step_changes_nothing_and_can_be_taken_back(old: Address) -> None:
    """Before it no archive is known; after it one is, and named by a deletion; without it again none."""
    database = database_of(old)
    assert archives_of(old) == ()
    records.write(old, [records.operation(user_id="me")])
    before = read_frame(old, {})
    assert database.on_schema(Schema.version) == NEWEST
    one = Archive(id=new_id(), timestamp=records.WHEN, location="/archive/é", before=records.WHEN)
    asyncio.run(plugins.origin(old).keep(one))
    later = Archive(id=one.id, timestamp=one.timestamp, location="/moved", before=one.before)
    assert archives_of(old) == (one,)
    asyncio.run(plugins.origin(old).keep(later))
    assert archives_of(old) == (later,)
    assert prune(store=old, user_id="me", dry_run=True).archives == ("/moved",)
    assert database.on_schema(lambda schema: schema.downgrade(4)) == 4
    assert database.ensure("never", program=4) == 4
    assert (archives_of(old), read_frame(old, {}).equals(before)) == ((), True)


def test_who_might_delete_may_archive(postgres_url: str, postgres_server: PostgresServer) -> None:
    """A role has the rights on the new table that it had on that of deletions."""
    suffix = postgres_url.rsplit("_", 1)[1]
    run_sql(postgres_url, (ROOT / "schema" / "postgresql" / "v0004.sql").read_text(encoding="utf-8"))
    role, rights = f"archives_{suffix}", "DELETE INSERT SELECT UPDATE"
    postgres_server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pw'")
    run_sql(postgres_url, f"GRANT {rights.replace(' ', ', ')} ON ALL TABLES IN SCHEMA aicore_obs TO {role}")
    try:
        Database(postgres_url).ensure()
        held = run_sql(
            postgres_url,
            "SELECT string_agg(privilege_type, ' ' ORDER BY privilege_type) FROM pg_class, aclexplode(relacl) "
            f"WHERE oid = 'aicore_obs.archives'::regclass AND grantee = '{role}'::regrole",
        )
        assert held[0][0] == rights
    finally:
        run_sql(postgres_url, f"DROP OWNED BY {role}")
        postgres_server.execute(f"DROP ROLE {role}")
