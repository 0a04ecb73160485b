"""This module is where the step to schema version 4 is tested, on databases that version 3 has written.

``tests/fixtures/stores/v0003.*.sql`` are those of version 2 after the step to version 3, and one deletion. The one for
PostgreSQL is laid over ``schema/postgresql/v0003.sql``.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from aicore_obs.protocols import Address
from aicore_obs.query.costs import read_costs, sum_costs
from aicore_obs.query.reader import read_frame
from aicore_obs.query.rows import read_rows
from aicore_obs.stores.sql.schema import Schema
from tests import records
from tests.databases import NEWEST, ROOT, Database
from tests.postgres import PostgresServer, run_sql

STORES = ROOT / "tests" / "fixtures" / "stores"


@pytest.fixture(params=records.DATABASES)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """A database of version 3."""
    dump = (STORES / f"v0003.{request.param}.sql").read_text(encoding="utf-8")
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_url")
        run_sql(url, (ROOT / "schema" / "postgresql" / "v0003.sql").read_text(encoding="utf-8"))
        run_sql(url, dump)
        return records.address("postgresql", tmp_path, url)
    path = tmp_path / "store.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump)
    path.chmod(0o600)
    return records.address("sqlite", tmp_path)


def database_of(place: Address) -> Database:
    """The database at an address."""
    return Database(str(place.path or place.url))


def test_before_the_step_nothing_is_scored(old: Address) -> None:
    """Readers of this program read version 3: no scores, and no operation that a filter by scores finds."""
    assert database_of(old).on_schema(Schema.version) == 3
    assert [row[0] for row in read_rows(old, {}, ("scores_json",))] == [None] * 3
    for filters in ({"scored": "helpful"}, {"max_score": {"helpful": 1}}):
        assert (read_frame(old, filters).height, sum_costs(old, filters).priced) == (0, 0)


def test_the_step_changes_nothing_that_is_read(old: Address) -> None:
    """Every column, sum and ledger is the same before and after; then an operation of before is scored."""
    before = read_frame(old, {}), sum_costs(old, {}), read_costs(old, {})
    assert database_of(old).ensure() == NEWEST
    after = read_frame(old, {}), sum_costs(old, {}), read_costs(old, {})
    assert after[0].equals(before[0])
    assert after[2].equals(before[2])
    assert after[1].total == before[1].total
    scored = before[0]["operation_id"][1]
    records.write(old, [records.score(records.operation(id=scored), "helpful", value=True)])
    assert read_frame(old, {"min_score": {"helpful": 1}})["operation_id"].to_list() == [scored]


def test_the_step_can_be_taken_back(old: Address) -> None:
    """The table goes, records stay, and the version before reads, writes and takes the step again."""
    database = database_of(old)
    database.ensure()
    records.write(old, [one := records.operation(), records.score(one, "helpful", 0.5)])
    before, kept = read_frame(old, {}), records.kept_ids(old)
    assert database.on_schema(lambda schema: schema.downgrade(3)) == 3
    assert database.ensure("never", program=3) == 3
    assert read_frame(old, {}).equals(before)
    assert records.kept_ids(old) == kept
    records.write(old, [records.operation()])
    assert database.on_schema(Schema.version) == NEWEST


def test_who_might_write_may_score(postgres_url: str, postgres_server: PostgresServer) -> None:
    """A role that only reads operations reads scores, a writer writes them."""
    suffix = postgres_url.rsplit("_", 1)[1]
    run_sql(postgres_url, (ROOT / "schema" / "postgresql" / "v0003.sql").read_text(encoding="utf-8"))
    roles = {f"reads_{suffix}": "SELECT", f"writes_{suffix}": "SELECT, INSERT, UPDATE, DELETE"}
    for role, rights in roles.items():
        postgres_server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pw'")
        run_sql(postgres_url, f"GRANT {rights} ON ALL TABLES IN SCHEMA aicore_obs TO {role}")
    try:
        Database(postgres_url).ensure()
        for role, rights in roles.items():
            held = run_sql(
                postgres_url,
                "SELECT string_agg(privilege_type, ' ' ORDER BY privilege_type) FROM pg_class, aclexplode(relacl) "
                f"WHERE oid = 'aicore_obs.scores'::regclass AND grantee = '{role}'::regrole",
            )
            assert held[0][0] == " ".join(sorted(rights.split(", "))), role
    finally:
        for role in roles:
            run_sql(postgres_url, f"DROP OWNED BY {role}")
            postgres_server.execute(f"DROP ROLE {role}")
