"""This module is where the step to schema version 2 is tested on databases that the program before it has written.

``tests/fixtures/stores/v0001.sqlite.sql`` is the dump of a database that the last program of version 1 made: three
operations and a flag.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aicore_obs import plugins
from aicore_obs.errors import SinkUnavailable
from aicore_obs.model.cost import Cost
from aicore_obs.model.filter import Filter
from aicore_obs.model.frame_columns import FRAME_COLUMNS, LEDGER_COLUMNS, NOT_PRICED
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.protocols import Address, Reader, Sink
from aicore_obs.query.costs import read_costs, sum_costs
from aicore_obs.query.reader import read_frame
from aicore_obs.stores.sql.schema import Schema
from tests import records
from tests.databases import NEWEST, ROOT, Database
from tests.postgres import PostgresServer, run_sql

DUMP = (ROOT / "tests" / "fixtures" / "stores" / "v0001.sqlite.sql").read_text(encoding="utf-8")
DDL = (ROOT / "schema" / "postgresql" / "v0001.sql").read_text(encoding="utf-8")
OLD_ROWS = 3
OLD_TOKENS = 1108


@pytest.fixture(params=records.DATABASES)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """A database of version 1 with three operations."""
    path = tmp_path / "store.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMP)
        if request.param == "sqlite":
            path.chmod(0o600)
            return records.address("sqlite", tmp_path)
        columns = "id, project, operation_type, provider, model, response_model, status, input_tokens, output_tokens"
        rows = connection.execute(f"SELECT {columns}, total_tokens FROM aicore_obs_operations").fetchall()
    url: str = request.getfixturevalue("postgres_url")
    run_sql(url, DDL)
    values = ", ".join(
        f"({', '.join('NULL' if one is None else repr(one) for one in row)}, '{records.WHEN.isoformat()}')"
        for row in rows
    )
    run_sql(url, f"INSERT INTO aicore_obs.operations ({columns}, total_tokens, timestamp) VALUES {values}")
    return records.address("postgresql", tmp_path, url)


def database(place: Address) -> Database:
    """The database of a store."""
    return Database(str(place.path or place.url))


def version(place: Address) -> int:
    """The version of a store's schema."""
    return database(place).on_schema(Schema.version)


def priced(total: int) -> Operation:
    """Return an operation that costs so much."""
    return records.operation(derived=Derived(cost=Cost(total=Decimal(total), source="a-book")))


def shown(reader: Reader, **filters: Any) -> list[Decimal | None]:
    """What a reader shows of costs."""
    query = Filter.of(**filters)
    frames = reader.batches(query, ("cost_usd",), batch_rows=10)
    return [row[0] for frame in frames for row in frame.rows()]


def test_a_database_of_the_version_before_is_read_as_it_is(old: Address) -> None:
    """Every column, filter, sum and ledger works without the step: no cost is known, and the reason says why."""
    frame = read_frame(old, {})
    assert (frame.height, tuple(frame.columns)) == (OLD_ROWS, FRAME_COLUMNS)
    assert frame["cost_usd"].null_count() == frame["priced_model"].null_count() == OLD_ROWS
    assert frame["cost_reason"].to_list() == [NOT_PRICED] * OLD_ROWS
    assert read_frame(old, {"min_cost": 0}).height == read_frame(old, {"max_cost": 9}).height == 0
    assert read_frame(old, {"cost_as_of": "2026-01-01", "columns": ["cost_usd"]}).height == OLD_ROWS
    summed = sum_costs(old, {})
    assert (summed.total, summed.priced, summed.unpriced, summed.unpriced_tokens) == (0, 0, OLD_ROWS, OLD_TOKENS)
    ledger = read_costs(old, {})
    assert (tuple(ledger.columns), ledger["revision"].to_list()) == (LEDGER_COLUMNS, [0] * OLD_ROWS)
    assert ledger["cost_reason"].to_list() == [NOT_PRICED] * OLD_ROWS
    assert records.read(old, "billing") == [(None,)] * OLD_ROWS
    assert version(old) == 1


def test_reading_never_takes_the_step_but_writing_does(old: Address) -> None:
    """The old rows stay and can be costed; a reader that was there before sees it all."""
    before = read_frame(old, {})
    reader = plugins.reader(old)
    assert shown(reader) == [None] * OLD_ROWS
    first = before["operation_id"][0]
    one = msgspec.structs.replace(records.operation(), id=first)
    records.write(old, [priced(7), records.revision(one, Cost(total=Decimal(2), source="a-book"))])
    assert version(old) == NEWEST
    assert sorted(filter(None, shown(reader))) == [2, 7]
    assert shown(reader, min_cost=7) == [7]
    rest = read_frame(old, {}).filter(operation_id=first)
    same = [name for name in FRAME_COLUMNS if not name.startswith(("cost_",))]
    assert rest.select(same).rows() == before.filter(operation_id=first).select(same).rows()
    assert sum_costs(old, {}).total == 9


def test_without_leave_the_old_schema_stays(old: Address) -> None:
    """Under migrate="never" nothing is written, the records wait, and reading goes on."""
    careful = msgspec.structs.replace(old, options=msgspec.structs.replace(old.options, migrate="never"))
    with pytest.raises(SinkUnavailable, match="aicore-obs migrate"):
        records.write(careful, [priced(1)])
    assert (version(old), read_frame(careful, {}).height) == (1, OLD_ROWS)


def test_the_program_before_writes_beside_this_one(old: Address) -> None:
    """It began before the step, goes on over it, and one that starts after it writes too; nothing is lost."""
    with _old_program(old) as early:
        assert early.stdin is not None
        assert early.stdout is not None
        first = early.stdout.readline().strip()
        assert (early.stdout.readline(), version(old)) == ("ready\n", 1)

        async def work(sink: Sink) -> None:
            print("go on", file=early.stdin, flush=True)
            for number in range(20):
                await sink.write(records.batch([priced(1 + number % 2)]))

        records.with_sink(old, work)
        written = [first, *early.communicate(timeout=200)[0].split()]
    with _old_program(old) as late:
        written += [line for line in late.communicate("go on\n", timeout=200)[0].split() if line != "ready"]
    assert len(written) == 80
    frame = read_frame(old, {})
    assert frame.height == OLD_ROWS + 20 + 80
    assert set(written) <= set(frame["operation_id"])
    assert frame.filter(frame["operation_id"].is_in(written))["cost_reason"].unique().to_list() == [NOT_PRICED]
    summed = sum_costs(old, {})
    assert (summed.total, summed.priced, summed.unpriced) == (30, 20, OLD_ROWS + 80)
    assert version(old) == NEWEST


def _old_program(place: Address) -> subprocess.Popen[str]:
    """Start a program of version 1 that writes 40 operations."""
    command = [sys.executable, "-m", "tests.old_writer", place.kind, str(place.path or place.url), "40"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_the_step_can_be_taken_back(old: Address) -> None:
    """Costs go, operations stay, and the version before writes and reads again; so does this one after it."""
    with_cost = priced(5)
    records.write(old, [with_cost, records.revision(with_cost, Cost(total=Decimal(6)))])
    place = database(old)
    assert place.on_schema(lambda schema: schema.downgrade(1)) == 1
    assert place.ensure("never", program=1) == 1
    frame = read_frame(old, {})
    assert (frame.height, frame["cost_usd"].null_count()) == (OLD_ROWS + 1, OLD_ROWS + 1)
    records.write(old, [priced(8)])
    assert (version(old), sum_costs(old, {}).total) == (NEWEST, 8)


def test_who_might_write_operations_may_write_their_costs(
    postgres_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """A role that is not the owner keeps its rights over the step: writers write, readers read and no more."""
    suffix = postgres_url.rsplit("_", 1)[1]
    writer, reader = f"writer_{suffix}", f'Odd "reader" {suffix}'
    run_sql(postgres_url, DDL)
    quoted = '"' + reader.replace('"', '""') + '"'
    for role, rights in ((writer, "SELECT, INSERT, UPDATE, DELETE"), (quoted, "SELECT")):
        postgres_server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pw'")
        run_sql(
            postgres_url,
            f"GRANT USAGE ON SCHEMA aicore_obs TO {role};GRANT {rights} ON ALL TABLES IN SCHEMA aicore_obs TO {role}",
        )
    try:
        Database(postgres_url).ensure()
        name = postgres_url.rsplit("/", 1)[1]
        url = postgres_server.url_of(name, user=writer, password="pw")
        one = priced(1)
        records.write(
            records.address("postgresql", tmp_path, url), [one, records.revision(one, Cost(total=Decimal(2)))]
        )
        rights = run_sql(
            postgres_url,
            "SELECT grantee::regrole::text, string_agg(privilege_type, ' ' ORDER BY privilege_type) "
            "FROM pg_class, aclexplode(relacl) WHERE oid = 'aicore_obs.cost_revisions'::regclass "
            "AND grantee <> relowner GROUP BY 1",
        )
        assert dict(map(tuple, rights)) == {writer: "DELETE INSERT SELECT UPDATE", quoted: "SELECT"}
    finally:
        for role in (writer, quoted):
            run_sql(postgres_url, f"DROP OWNED BY {role}")
            postgres_server.execute(f"DROP ROLE {role}")
