"""This module is where the fixtures are that every test of mirrors needs."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aicore_obs import guard
from aicore_obs.addresses import address_of
from aicore_obs.protocols import Address, StoreOptions
from aicore_obs.stores.mirror import mirror, parts
from aicore_obs.stores.sql.postgres_moment import PostgresSource
from aicore_obs.stores.sql.sqlite_moment import SqliteSource
from tests.mirrors import RECORDS
from tests.postgres import PostgresServer
from tests.records import batch, with_sink


@pytest.fixture(scope="module")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with thirty operations, two of them costed again; to be copied."""
    path = tmp_path_factory.mktemp("stored") / "a.db"
    with_sink(address_of(f"sqlite:///{path}", StoreOptions()), lambda sink: sink.write(batch(RECORDS)))
    return path


@pytest.fixture(scope="module")
def postgres_template(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a PostgreSQL database with the same; to be copied."""
    url = postgres_server.create_database()
    with_sink(address_of(url, StoreOptions()), lambda sink: sink.write(batch(RECORDS)))
    yield url.rsplit("/", 1)[1]
    postgres_server.drop_database(url)


@pytest.fixture
def file(sqlite_file: Path, tmp_path: Path) -> Address:
    """A copy of the SQLite file."""
    return address_of(f"sqlite:///{shutil.copy(sqlite_file, tmp_path)}", StoreOptions())


@pytest.fixture
def schema(
    postgres_server: PostgresServer, postgres_template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Address]:
    """A copy of the PostgreSQL database."""
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    name = f"mirror_{uuid.uuid4().hex}"
    postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE {postgres_template}")
    yield address_of(postgres_server.url_of(name), StoreOptions())
    postgres_server.drop_database(postgres_server.url_of(name))


@pytest.fixture(params=["file", "schema"])
def address(request: pytest.FixtureRequest) -> Address:
    """A database of each kind."""
    found: Address = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of whatever database was asked itself for operations, each time."""
    seen: list[str] = []
    for source in (SqliteSource, PostgresSource):
        real = source.batches

        def batches(self: Any, *given: Any, real: Any = real, **more: Any) -> Any:
            seen.append(type(self).__name__)
            return real(self, *given, **more)

        monkeypatch.setattr(source, "batches", batches)
    return seen


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """What was logged; nothing was said before."""
    monkeypatch.setattr(mirror, "log_window", guard.LogWindow())
    return lambda: caplog.text


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a few rows, so that there are several."""
    monkeypatch.setattr(parts, "PART_ROWS", 5)
    monkeypatch.setattr(parts, "LAST_ROWS", 2)
