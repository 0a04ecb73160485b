"""This module is where a collector writes to a real PostgreSQL, as a guest, and reads back what it wrote."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from aicore_obs import LlmOperationCollector, StoreError
from tests.postgres import PASSWORD, PostgresServer

ROOT = Path(__file__).parents[2]
CALL: dict[str, Any] = {"model": "gpt-4", "messages": [{"role": "user", "content": "NUL \x00 \ud800 \ue000 é😀"}]}
ANSWER = {"id": "r", "model": "gpt-4-0613", "usage": {"prompt_tokens": 10, "completion_tokens": 5}}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DB_URL", "STORAGE_PATH", "ENABLED", "CAPTURE_CONTENT", "MIGRATE", "FILE_MODE"):
        monkeypatch.delenv(f"AICORE_OBS_{name}", raising=False)
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def test_one_reads_what_one_writes(postgres_url: str) -> None:
    """On the instance, on the class, by URL, eager and lazy; texts come back as they were given."""
    with LlmOperationCollector(db_url=postgres_url) as collector:
        operation_id = collector.record_completion(CALL, provider="openai", response=ANSWER, extras={"n": 1})
        frames = [
            collector.polars_from_db(),
            LlmOperationCollector.polars_from_db(),
            LlmOperationCollector.polars_from_db(postgres_url, provider="openai", min_tokens=15),
            collector.scan_db(model="gpt-4").filter(pl.col("total_tokens") == 15).collect(),
        ]
        assert collector.get_schema_version() >= 1
    for frame in frames:
        (row,) = frame.rows(named=True)
        assert (row["operation_id"], row["response_model"], row["total_tokens"]) == (operation_id, "gpt-4-0613", 15)
        assert json.loads(row["completion_args"]) == CALL
        assert row["extras"] == {"n": 1}


def test_the_url_comes_from_the_environment(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the deployment sets it, libpq's parameters included."""
    monkeypatch.setenv("AICORE_OBS_DB_URL", postgres_url + "?sslmode=prefer&connect_timeout=5&application_name=demo")
    with LlmOperationCollector() as collector:
        collector.record_completion(CALL)
    assert LlmOperationCollector.polars_from_db().height == 1


def test_each_schema_is_a_store_of_its_own(postgres_url: str) -> None:
    """Two applications in one database do not see each other."""
    with (
        LlmOperationCollector(db_url=postgres_url, db_schema="one") as one,
        LlmOperationCollector(db_url=postgres_url, db_schema='Two "b"') as two,
    ):
        one.record_completion({"model": "a"})
        two.record_completion({"model": "b"})
        assert one.polars_from_db()["model"].to_list() == ["a"]
        assert two.polars_from_db()["model"].to_list() == ["b"]


def test_both_kinds_of_store_get_the_same(postgres_url: str) -> None:
    """File and database are written side by side."""
    with LlmOperationCollector("calls.json", postgres_url) as collector:
        ids = [collector.record_completion(CALL) for _ in range(5)]
        assert collector.flush()
        assert collector.polars_from_db()["operation_id"].to_list() == ids
    assert LlmOperationCollector.polars_from_file("calls.json")["operation_id"].to_list() == ids


PROCESS = """
import asyncio, sys
from aicore_obs import LlmOperationCollector
async def main():
    async with LlmOperationCollector(db_url=sys.argv[1]) as collector:
        print(*await asyncio.gather(*(collector.arecord_completion({"n": n}) for n in range(25))))
        assert await collector.aflush(80)
asyncio.run(main())
"""


def test_three_processes_lose_nothing(postgres_url: str) -> None:
    """Each makes the schema if it must, and records 25."""
    program = [sys.executable, "-c", PROCESS, postgres_url]
    children = [subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)]
    ids = [one for child in children for one in child.communicate(timeout=200)[0].split()]
    assert len(ids) == 75
    assert sorted(LlmOperationCollector.polars_from_db(postgres_url)["operation_id"]) == sorted(ids)


def failed(url: str, **options: Any) -> str:
    """Return what a collector says of a server that does not take its records."""
    collector = LlmOperationCollector(db_url=url, **options)
    assert collector.record_completion(CALL) is not None
    result = collector.flush(timeout_s=1)
    assert not result.ok
    assert (result.pending, result.dead_lettered, result.dropped) == (1, 0, 0)
    (sink,) = result.sinks.values()
    assert not collector.close(timeout_s=0.1)
    return str(sink.last_error)


def test_a_server_that_refuses_keeps_records_waiting(postgres_url: str, postgres_server: PostgresServer) -> None:
    """A wrong password, no such database, nobody there: said without a password; the records wait in the journal."""
    wrong = postgres_url.replace(PASSWORD, "hunter2-wrong")
    for url in (wrong, postgres_url + "_gone", re.sub(r":\d+/", ":1/", postgres_url)):
        said = failed(url)
        assert said
        assert PASSWORD not in said
        assert "hunter2" not in said
        with pytest.raises(StoreError) as raised:
            LlmOperationCollector.polars_from_db(url)
        assert PASSWORD not in str(raised.value)
        assert "hunter2" not in str(raised.value)


def test_records_that_waited_arrive_when_the_server_takes_them(postgres_url: str) -> None:
    """The next collector with the same place delivers what the last one left, once."""
    wrong = postgres_url.replace(PASSWORD, "not-yet")
    failed(wrong)
    with LlmOperationCollector(db_url=postgres_url) as collector:
        assert collector.flush()
        assert collector.polars_from_db().height == 1


def test_without_the_right_to_create_the_grant_is_named(postgres_url: str, postgres_server: PostgresServer) -> None:
    """A guest says what it needs."""
    database = postgres_url.rsplit("/", 1)[1]
    postgres_server.execute(
        f"DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN PASSWORD 'guest-pw'; "
        f'REVOKE CREATE ON DATABASE "{database}" FROM PUBLIC;'
    )
    said = failed(postgres_server.url_of(database, user="guest", password="guest-pw"))
    assert "GRANT CREATE ON DATABASE" in said
    assert "guest-pw" not in said


def test_reading_makes_nothing(postgres_url: str, postgres_server: PostgresServer) -> None:
    """A database without our schema reads as empty and stays as it is."""
    assert LlmOperationCollector.polars_from_db(postgres_url).is_empty()
    database = postgres_url.rsplit("/", 1)[1]
    schemas = postgres_server.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname = 'aicore_obs'", database=database
    )
    assert schemas == []


def test_it_works_inside_a_running_loop(postgres_url: str) -> None:
    """Schema, writing and reading from a coroutine, with the sync calls too."""

    async def main() -> int:
        async with LlmOperationCollector(db_url=postgres_url) as collector:
            assert await collector.acreate_tables() == collector.get_schema_version()
            await collector.arecord_completion(CALL)
            assert (await collector.aflush()).stored == 1
            return collector.polars_from_db().height

    assert asyncio.run(main()) == 1
