"""This module is where the step to schema version 3 is tested: the views, on databases that version 2 has written.

``tests/fixtures/stores/v0002.*.sql`` are what the last program of version 2 wrote: three operations, two revisions of
the first one's cost, a flag. The one for PostgreSQL is laid over ``schema/postgresql/v0002.sql``.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aicore_obs.protocols import Address
from aicore_obs.query.costs import read_costs, sum_costs
from aicore_obs.query.reader import read_frame
from aicore_obs.stores.sql.schema import Schema
from tests import records
from tests.databases import NEWEST, ROOT, Database
from tests.postgres import PostgresServer, run_sql

STORES = ROOT / "tests" / "fixtures" / "stores"
VIEWS = ("v_operations", "v_costs", "v_daily_cost", "v_errors")
GUIDE = ROOT / "docs" / "sql.md"


@pytest.fixture(params=records.DATABASES)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """A database of version 2."""
    dump = (STORES / f"v0002.{request.param}.sql").read_text(encoding="utf-8")
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_url")
        run_sql(url, (ROOT / "schema" / "postgresql" / "v0002.sql").read_text(encoding="utf-8"))
        run_sql(url, dump)
        return records.address("postgresql", tmp_path, url)
    path = tmp_path / "store.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump)
    path.chmod(0o600)
    return records.address("sqlite", tmp_path)


@pytest.fixture
def stepped(old: Address) -> Database:
    """The same database after the step."""
    database = Database(str(old.path or old.url))
    assert database.on_schema(Schema.version) == 2
    database.ensure()
    return database


def rows(database: Database, question: str) -> list[tuple[Any, ...]]:
    """The answer; ``@`` stands before the name of a table or a view."""
    return [tuple(row) for row in database.execute(re.sub(r"@(\w+)", lambda word: database.name(word[1]), question))]


def columns(database: Database, view: str) -> list[str]:
    """The columns of a view in their order."""
    if database.is_postgres:
        where = f"table_schema = 'aicore_obs' AND table_name = '{view}'"
        question = f"SELECT column_name FROM information_schema.columns WHERE {where} ORDER BY ordinal_position"
    else:
        question = f"SELECT name FROM pragma_table_info('{database.name(view)}') ORDER BY cid"
    return [row[0] for row in rows(database, question)]


def test_the_step_changes_nothing_that_is_read(old: Address) -> None:
    """Every column, sum and ledger is the same before and after."""
    before = read_frame(old, {}), sum_costs(old, {}), read_costs(old, {})
    assert Database(str(old.path or old.url)).ensure() == NEWEST
    after = read_frame(old, {}), sum_costs(old, {}), read_costs(old, {})
    assert after[0].equals(before[0])
    assert after[2].equals(before[2])
    assert after[1].total == before[1].total == Decimal("1.506")


def test_views_say_what_the_readers_say(old: Address, stepped: Database) -> None:
    """The newest cost, exact; the whole ledger; times in UTC with their microseconds."""
    frame, ledger = read_frame(old, {}), read_costs(old, {})
    shown = rows(stepped, "SELECT operation_id, cost_usd, total_tokens, user_id FROM @v_operations ORDER BY timestamp")
    found = [(str(row[0]), None if row[1] is None else Decimal(row[1]), *row[2:]) for row in shown]
    assert found == frame.select("operation_id", "cost_usd", "total_tokens", "user_id").rows()
    kept = rows(
        stepped,
        "SELECT operation_id, revision, cost_usd, author FROM @v_costs ORDER BY timestamp, operation_id, revision",
    )
    as_read = [(str(row[0]), row[1], None if row[2] is None else Decimal(row[2]), row[3]) for row in kept]
    assert as_read == ledger.select("operation_id", "revision", "cost_usd", "author").rows()
    newest = rows(stepped, "SELECT revision FROM @v_costs WHERE is_newest = 1 ORDER BY timestamp, operation_id")
    assert newest == [(2,), (0,), (0,)]
    errors = rows(stepped, "SELECT timestamp, error_type, error_message FROM @v_errors")
    when = errors[0][0] if isinstance(errors[0][0], str) else errors[0][0].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert (when, *errors[0][1:]) == ("2026-02-02T23:59:59.999999Z", "ValueError", "no such model")


def test_a_day_adds_known_costs_and_counts_the_unknown(stepped: Database) -> None:
    """By day, project, provider and model; the sum of nothing known is null and not 0."""
    question = "SELECT day, provider, operations, errors, priced, unpriced, cost_usd FROM @v_daily_cost ORDER BY 1, 2"
    found = [(str(row[0]), *row[1:6], row[6] and Decimal(row[6])) for row in rows(stepped, question)]
    assert found == [
        ("2026-02-01", "openai", 1, 0, 1, 0, Decimal("1.5")),
        ("2026-02-02", "house", 1, 1, 0, 1, None),
        ("2026-02-02", "openai", 1, 0, 1, 0, Decimal("0.006")),
    ]


@pytest.mark.parametrize(
    "amounts",
    [
        ["0.000000000001"],
        ["-0.000000000001"],
        ["-2.5", "1"],
        ["-2", "1"],
        ["-0.75", "0.75"],
        ["9000000.999999999999"] * 3,
        ["-9000000.5"] * 3,
        ["0"],
    ],
)
def test_money_is_exact_whatever_its_sign_and_size(tmp_path: Path, amounts: list[str]) -> None:
    """SQLite's whole numbers become decimal text; a day's sum may have more than 64 bits."""
    database = Database(str(tmp_path / "store.sqlite"))
    database.ensure()
    table = database.name("operations")
    for number, amount in enumerate(amounts):
        quanta = int(Decimal(amount) * 10**12)
        database.execute(f"INSERT INTO {table} (id, timestamp, cost_usd) VALUES ('{number}', {-number - 1}, {quanta})")
    shown = rows(database, "SELECT cost_usd, timestamp FROM @v_operations ORDER BY operation_id")
    assert [Decimal(row[0]) for row in shown] == [Decimal(amount) for amount in amounts]
    assert shown[0][1] == "1969-12-31T23:59:59.999999Z"
    ((total, day),) = rows(database, "SELECT cost_usd, day FROM @v_daily_cost")
    assert (Decimal(total), day) == (sum(map(Decimal, amounts)), "1969-12-31")
    assert re.fullmatch(r"-?\d+\.\d{12}", total)


def test_both_databases_have_the_views_that_the_guide_describes(stepped: Database) -> None:
    """Each column of each view has its line there, in the order of the view."""
    text = GUIDE.read_text(encoding="utf-8")
    for view in VIEWS:
        section = text.partition(f"\n### `{view}`\n")[2].partition("\n##")[0]
        described = [name for line in section.splitlines() if line.startswith("| `") for name in _names(line)]
        assert described == columns(stepped, view)


def _names(line: str) -> list[str]:
    return re.findall(r"`(\w+)`", line.split("|")[1])


def test_the_step_can_be_taken_back(old: Address, stepped: Database) -> None:
    """Views and tables go, rows stay, and the version before reads, writes and takes the step again."""
    before = read_frame(old, {})
    assert stepped.on_schema(lambda schema: schema.downgrade(2)) == 2
    assert stepped.ensure("never", program=2) == 2
    assert columns(stepped, "v_operations") == []
    assert read_frame(old, {}).equals(before)
    records.write(old, [records.operation()])
    assert stepped.on_schema(Schema.version) == NEWEST
    assert read_frame(old, {}).height == before.height + 1


def test_who_might_read_may_read_the_views(postgres_url: str, postgres_server: PostgresServer) -> None:
    """A role that only reads operations reads the views and writes nothing; a writer may keep deletions."""
    suffix = postgres_url.rsplit("_", 1)[1]
    run_sql(postgres_url, (ROOT / "schema" / "postgresql" / "v0002.sql").read_text(encoding="utf-8"))
    roles = {f"reader_{suffix}": "SELECT", f"writer_{suffix}": "SELECT, INSERT, UPDATE, DELETE"}
    for role, rights in roles.items():
        postgres_server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pw'")
        run_sql(
            postgres_url,
            f"GRANT USAGE ON SCHEMA aicore_obs TO {role};GRANT {rights} ON ALL TABLES IN SCHEMA aicore_obs TO {role}",
        )
    try:
        Database(postgres_url).ensure()
        question = "SELECT string_agg(privilege_type, ' ' ORDER BY privilege_type) FROM pg_class, aclexplode(relacl) "
        for table, role, expected in (
            ("v_daily_cost", f"reader_{suffix}", "SELECT"),
            ("v_daily_cost", f"writer_{suffix}", "SELECT"),
            ("deletions", f"reader_{suffix}", "SELECT"),
            ("deletions", f"writer_{suffix}", "DELETE INSERT SELECT UPDATE"),
        ):
            where = f"WHERE oid = 'aicore_obs.{table}'::regclass AND grantee = '{role}'::regrole"
            assert run_sql(postgres_url, question + where)[0][0] == expected, (table, role)
    finally:
        for role in roles:
            run_sql(postgres_url, f"DROP OWNED BY {role}")
            postgres_server.execute(f"DROP ROLE {role}")
