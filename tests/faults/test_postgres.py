"""This module is where a PostgreSQL server is disturbed in every way that its users know, while records go into it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aicore_obs import LlmOperationCollector
from tests.faults.law import assert_nothing_lost, wait_until
from tests.faults.places import Place, assert_exactly_once
from tests.faults.pooler import Pooler, find_pooler
from tests.faults.test_kill import ids_of_a_killed_recorder
from tests.postgres import SUPERUSER, PostgresServer, run_sql

Opens = Callable[..., LlmOperationCollector]
CALL: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x" * 200}]}
FLUSH_S = 60.0
GUEST, GUEST_PASSWORD = "busy_guest", "guest-pw"
OTHERS = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
TERMINATE = f"SELECT pg_terminate_backend(pid) {OTHERS}"


def record(collector: LlmOperationCollector, count: int) -> list[str]:
    """Record ``count`` operations and return their ids."""
    return [str(collector.record_completion(CALL)) for _ in range(count)]


def says_pending(collector: LlmOperationCollector, count: int, why: str) -> None:
    """A flush is False in time, says why, and gives nothing up."""
    result = collector.flush(timeout_s=0.5)
    assert not result
    assert (result.pending, result.dead_lettered, result.dropped) == (count, 0, 0)
    wait_until(lambda: why in str(next(iter(collector.stats().sinks.values())).last_error))


def database_of(url: str) -> str:
    """Return the name of a URL's database."""
    return url.rsplit("/", 1)[1]


@contextmanager
def disturbed(collector: LlmOperationCollector, ids: list[str], count: int = 3000) -> Iterator[Callable[[], bool]]:
    """Record in a thread while the block does its worst; the block asks whether there is still something to disturb."""
    thread = threading.Thread(target=lambda: ids.extend(record(collector, count)))
    thread.start()
    try:
        yield lambda: thread.is_alive() or sum(sink.pending for sink in collector.stats().sinks.values()) > 0
    finally:
        thread.join()


def test_sessions_that_are_terminated_again_and_again(postgres_url: str, open_collector: Opens) -> None:
    """An administrator ends our sessions under load, wherever the transaction is: every row is there once."""
    collector = open_collector(db_url=postgres_url, batch_bytes="32KB")
    ids = record(collector, 1)
    assert collector.flush(FLUSH_S)
    with disturbed(collector, ids) as goes_on:
        for _ in range(30):
            run_sql(postgres_url, TERMINATE)
            if not goes_on():
                break
    assert collector.flush(FLUSH_S)
    assert collector.stats().sinks.popitem()[1].dead_lettered == 0
    assert_nothing_lost(collector.stats())
    assert assert_exactly_once(Place("postgresql", postgres_url), ids) == len(ids)


def test_a_server_without_a_free_connection(
    postgres_server: PostgresServer, postgres_url: str, open_collector: Opens
) -> None:
    """Too many connections: the records wait until there is one."""
    database = database_of(postgres_url)
    postgres_server.execute(
        f"DROP ROLE IF EXISTS {GUEST}; CREATE ROLE {GUEST} LOGIN PASSWORD '{GUEST_PASSWORD}'; "
        f'GRANT CREATE ON DATABASE "{database}" TO {GUEST}; ALTER DATABASE "{database}" CONNECTION LIMIT 0'
    )
    guest = postgres_server.url_of(database, user=GUEST, password=GUEST_PASSWORD)
    collector = open_collector(db_url=guest)
    ids = record(collector, 100)
    says_pending(collector, 100, "too many connections")
    postgres_server.execute(f'ALTER DATABASE "{database}" CONNECTION LIMIT -1')
    assert collector.flush(FLUSH_S)
    assert_nothing_lost(collector.stats())
    assert assert_exactly_once(Place("postgresql", postgres_url), ids) == 100


def test_a_server_that_becomes_read_only(
    postgres_server: PostgresServer, postgres_url: str, open_collector: Opens
) -> None:
    """As after a failover to a standby: the records wait until it takes writes."""
    collector = open_collector(db_url=postgres_url)
    ids = record(collector, 50)
    assert collector.flush(FLUSH_S)
    only = f'ALTER DATABASE "{database_of(postgres_url)}" SET default_transaction_read_only'
    postgres_server.execute(f"{only} = on")
    run_sql(postgres_url, TERMINATE)
    ids += record(collector, 50)
    says_pending(collector, 50, "read-only")
    postgres_server.execute(f"{only} = off")
    assert collector.flush(FLUSH_S)
    assert_nothing_lost(collector.stats())
    assert assert_exactly_once(Place("postgresql", postgres_url), ids) == 100


@pytest.mark.parametrize("limit", ["lock_timeout", "statement_timeout", "write_timeout_s"])
def test_a_table_that_somebody_has_locked(
    limit: str, postgres_server: PostgresServer, postgres_url: str, open_collector: Opens
) -> None:
    """Whoever gives up first, the server or we: the records wait, and each is there once when the lock is gone."""
    place = Place("postgresql", postgres_url)
    if limit != "write_timeout_s":
        postgres_server.execute(f"ALTER DATABASE \"{database_of(postgres_url)}\" SET {limit} = '200ms'")
    options = {"write_timeout_s": 0.4} if limit == "write_timeout_s" else {}
    collector = open_collector(db_url=postgres_url, **options)
    ids = record(collector, 50)
    assert collector.flush(FLUSH_S)
    with a_lock_on(postgres_url, "aicore_obs.operations"):
        ids += record(collector, 50)
        why = {"lock_timeout": "lock timeout", "statement_timeout": "statement timeout"}.get(limit, "no answer within")
        says_pending(collector, 50, why)
    assert collector.flush(FLUSH_S)
    assert_nothing_lost(collector.stats())
    assert assert_exactly_once(place, ids) == 100


@contextmanager
def a_lock_on(url: str, table: str) -> Iterator[None]:
    """Hold a table in another session until the block ends."""
    sql = f"BEGIN; SET LOCAL statement_timeout = 0; LOCK TABLE {table}; SELECT pg_sleep(600); COMMIT;"
    sleeping = f"SELECT pid {OTHERS} AND query LIKE '%pg_sleep(600)%' AND wait_event = 'PgSleep'"

    def hold() -> None:
        with pytest.raises(Exception, match=r"terminat|closed"):
            run_sql(url, sql)

    thread = threading.Thread(target=hold)
    thread.start()
    wait_until(lambda: run_sql(url, sleeping))
    try:
        yield
    finally:
        run_sql(url, f"SELECT pg_terminate_backend(pid) {OTHERS} AND query LIKE '%pg_sleep(600)%'")
        thread.join(30)


def test_tables_that_are_dropped_under_way(postgres_url: str, open_collector: Opens) -> None:
    """Somebody drops our schema: it is made again, and what was still to come arrives."""
    collector = open_collector(db_url=postgres_url)
    record(collector, 5)
    assert collector.flush(FLUSH_S)
    run_sql(postgres_url, "DROP SCHEMA aicore_obs CASCADE")
    ids = record(collector, 50)
    assert collector.flush(FLUSH_S)
    assert_nothing_lost(collector.stats())
    assert assert_exactly_once(Place("postgresql", postgres_url), ids) == 50


def test_server_and_program_start_in_the_wrong_order(
    postgres_server: PostgresServer, postgres_url: str, open_collector: Opens
) -> None:
    """Programs die beside a server that is down, it crashes again at the next start, and the last one delivers all."""
    place = Place("postgresql", postgres_url)
    ids = ids_of_a_killed_recorder(place, at_most=500)
    postgres_server.stop(mode="immediate")
    try:
        ids += ids_of_a_killed_recorder(place, at_most=500)
        collector = open_collector(db_url=postgres_url)
        ids += record(collector, 100)
        assert not collector.flush(timeout_s=0.5)
        assert not collector.close(timeout_s=0.1)
    finally:
        postgres_server.start()
    second = open_collector(db_url=postgres_url)
    ids += record(second, 100)
    second.flush(timeout_s=0.2)
    postgres_server.restart(mode="immediate")
    ids += record(second, 100)
    assert second.flush(FLUSH_S)
    assert_nothing_lost(second.stats())
    assert_exactly_once(place, ids, kills=2)


# -- a pooler ----------------------------------------------------------------------------------------------------------


def test_sessions_that_are_not_ours_alone(postgres_url: str, open_collector: Opens) -> None:
    """What PgBouncer in transaction mode asks of clients: no state in the session, no transaction between batches."""
    collector = open_collector(db_url=postgres_url + "?application_name=drill")
    ids = record(collector, 50)
    assert collector.flush(FLUSH_S)
    ours = f"{OTHERS} AND application_name = 'drill'"
    assert [row[0] for row in run_sql(postgres_url, f"SELECT state {ours}")] == ["idle"]
    locks = f"SELECT count(*) FROM pg_locks WHERE pid IN (SELECT pid {ours})"
    assert run_sql(postgres_url, locks)[0][0] == 0
    assert assert_exactly_once(Place("postgresql", postgres_url), ids) == 50


@pytest.fixture
def pooler(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pooler]:
    """PgBouncer in transaction mode, with two server connections for everybody."""
    program = find_pooler()
    if program is None:
        pytest.skip("pgbouncer is not on PATH")
    with Pooler(program, postgres_server, tmp_path_factory.mktemp("pooler")) as running:
        yield running


def test_a_pooler_in_transaction_mode(pooler: Pooler, postgres_url: str, tmp_path: Path, open_collector: Opens) -> None:
    """Four collectors share two server sessions and lose none while these are cut: schema, COPY, replay and reading."""
    url = pooler.url_of(database_of(postgres_url))
    collectors = [
        open_collector(db_url=url, journal_dir=tmp_path / f"journal-{n}", batch_bytes="32KB") for n in range(4)
    ]
    ids: list[str] = []
    with disturbed(collectors[0], ids, 500), disturbed(collectors[1], ids, 500):
        for _ in range(10):
            run_sql(postgres_url, TERMINATE)
            for collector in collectors[2:]:
                ids += record(collector, 50)
    for collector in collectors:
        assert collector.flush(FLUSH_S), collector.stats()
        assert_nothing_lost(collector.stats())
    assert run_sql(postgres_url, f"SELECT count(*) <= 2 {OTHERS} AND usename = '{SUPERUSER}'")[0][0]
    assert collectors[0].polars_from_db().height == len(ids)
    assert assert_exactly_once(Place("postgresql", postgres_url), ids) == 2000
