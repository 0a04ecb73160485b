"""This module is where reading databases is held: missing and foreign ones, odd values, readers that stop early."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from aicore_obs.errors import StoreDamagedError, StoreError, StoreNotFoundError
from aicore_obs.model.filter import Filter
from aicore_obs.model.frame_columns import FRAME_COLUMNS
from aicore_obs.protocols import Address, StoreOptions
from aicore_obs.query.reader import open_reader, read_frame
from tests.postgres import run_sql
from tests.stored import OPTIONS, operation, record_id, write_postgres, write_sqlite


def sqlite_at(path: Path) -> Address:
    """A SQLite file's address."""
    return Address(kind="sqlite", name=f"sqlite:{path}", path=path, options=OPTIONS)


def postgres_at(url: str, *, schema: str = "aicore_obs") -> Address:
    """A PostgreSQL schema's address."""
    name = "postgresql://127.0.0.1/db#" + schema
    return Address(kind="postgresql", name=name, url=url, options=StoreOptions(db_schema=schema))


def test_a_missing_database(tmp_path: Path) -> None:
    """A missing file is an error that names it, and reading creates none."""
    path = tmp_path / "no.db"
    with pytest.raises(StoreNotFoundError, match=str(path)):
        read_frame(sqlite_at(path), {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\x00" + b"\x07" * 4096])
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    """A file that is something else is an error that names it, and stays as it is."""
    path = tmp_path / "a.db"
    path.write_bytes(content)
    with pytest.raises(StoreDamagedError, match=str(path)):
        read_frame(sqlite_at(path), {})
    assert path.read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing stops root from writing")
def test_a_folder_of_others(tmp_path: Path) -> None:
    """Where SQLite may not make its files beside a database that is written to, the error says what is needed."""
    path = tmp_path / "a.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE theirs (x)")
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(StoreError, match="right to write into its folder"):
            read_frame(sqlite_at(path), {})
    finally:
        tmp_path.chmod(0o755)


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    """A folder is no database; the error names it."""
    with pytest.raises(StoreError, match=str(tmp_path)):
        read_frame(sqlite_at(tmp_path), {})


def test_a_database_without_our_tables(tmp_path: Path, postgres_url: str) -> None:
    """A database in which nothing was recorded yet gives an empty frame."""
    path = tmp_path / "a%20b ?#.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    for address in (sqlite_at(path), postgres_at(postgres_url)):
        frame = read_frame(address, {})
        assert (frame.height, frame.columns) == (0, list(FRAME_COLUMNS))
    assert run_sql(postgres_url, "SELECT to_regnamespace('aicore_obs')")[0][0] is None


def test_a_frame_is_one_moment(tmp_path: Path) -> None:
    """What is written while batches are pulled is not in the frame, and the writer does not wait for the reader."""
    address = write_sqlite(tmp_path / "a.db", [operation(number) for number in range(6)])
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db", timeout=0)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        batches = open_reader(address).batches(Filter(), ["operation_id"], batch_rows=2)
        heights = [next(batches).height]
        with writer:
            writer.execute("DELETE FROM aicore_obs_operations WHERE id > ?", (record_id(3),))
        assert [*heights, *(batch.height for batch in batches)] == [2, 2, 2]
    assert read_frame(address, {}).height == 4


def test_a_value_of_a_wrong_type_costs_nothing_else(tmp_path: Path) -> None:
    """SQLite lets a user's program put text where a number belongs: that value is null."""
    address = write_sqlite(tmp_path / "a.db", [operation(number, total_tokens=number) for number in range(3)])
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as connection, connection:
        connection.execute("UPDATE aicore_obs_operations SET total_tokens = 'many' WHERE id = ?", (record_id(1),))
    assert read_frame(address, {})["total_tokens"].to_list() == [0, None, 2]


def test_another_thread_may_pull(tmp_path: Path, postgres_url: str) -> None:
    """Batches can be pulled by another thread than the one that asked for them."""
    records = [operation(number) for number in range(6)]
    for address in (write_sqlite(tmp_path / "a.db", records), write_postgres(postgres_url, records)):
        batches = open_reader(address).batches(Filter(), ["operation_id"], batch_rows=2)
        heights = [next(batches).height]
        thread = threading.Thread(target=lambda: heights.extend(batch.height for batch in batches))  # noqa: B023
        thread.start()
        thread.join()
        assert heights == [2, 2, 2]


def test_stopping_early_leaves_nothing_behind(tmp_path: Path, postgres_url: str) -> None:
    """A reader that is not read to its end gives its connection back and leaves no thread."""
    text = "word " * 3000
    records = [operation(number, response=text * 50) for number in range(40)]
    threads = threading.active_count()
    for address in (write_sqlite(tmp_path / "a.db", records), write_postgres(postgres_url, records)):
        batches = open_reader(address).batches(Filter(), ["response"], batch_rows=2)
        assert next(batches).height == 2
        batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads
    # The server needs a moment to notice that nobody listens.
    run_sql(postgres_url, "DROP SCHEMA aicore_obs CASCADE")


def test_postgres_large_chunks(postgres_url: str) -> None:
    """Texts with the control characters of the transfer, larger than a chunk, come back whole and in order."""
    nasty = '\x1e\n\x1f"\x1e\x1e,\r\n\\.\n' * 40_000
    records = [operation(number, session_id=f"{number}{nasty}", response=nasty[:number]) for number in range(12)]
    frame = read_frame(write_postgres(postgres_url, records), {"columns": ["session_id", "response_text", "seq"]})
    assert frame["session_id"].to_list() == [f"{number}{nasty}" for number in range(12)]


def test_postgres_urls(postgres_url: str) -> None:
    """All spellings of the URL are read, also from a schema with an odd name."""
    schema = 'odd "name" 100%'
    run_sql(postgres_url, "SELECT 1")
    write_postgres(postgres_url, [operation(1)])
    for scheme in ("postgres", "postgresql+asyncpg"):
        url = postgres_url.replace("postgresql", scheme, 1)
        assert read_frame(postgres_at(url), {"session_id": ["a"]}).height == 0
        assert read_frame(postgres_at(url), {}).height == 1
        assert read_frame(postgres_at(url, schema=schema), {}).height == 0


@pytest.mark.parametrize(("port", "user"), [(1, "tester"), (None, "nobody")])
def test_postgres_that_cannot_be_reached(postgres_url: str, port: int | None, user: str) -> None:
    """The error says where, and what to check, and never the password."""
    url = postgres_url.replace("tester", user, 1)
    if port:
        url = f"{url.rsplit(':', 1)[0]}:{port}/db"
    with pytest.raises(StoreError, match=r"127\.0\.0\.1/db.*check that the server runs") as caught:
        read_frame(postgres_at(url), {})
    assert "s3cret" not in str(caught.value)


def test_postgres_leaves_no_connection(postgres_url: str) -> None:
    """After a read the server has no connection of ours."""
    address = write_postgres(postgres_url, [operation(1)])
    read_frame(address, {"tags": ["x"], "labels": {"a": "b"}})
    ours = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert run_sql(postgres_url, ours)[0][0] == 0
