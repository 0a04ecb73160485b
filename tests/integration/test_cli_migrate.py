"""This module is where `aicore-obs migrate` is tested on both dialects."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from aicore_obs.cli.app import app
from tests.databases import MINOR, NEWEST, NEXT, Database
from tests.postgres import PASSWORD, PostgresServer, run_sql
from tests.stored import write_json

ROOT = Path(__file__).parents[2]


def _run(*arguments: str | Path, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["migrate", *(str(one) for one in arguments)], input=answer)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AICORE_OBS_DB_URL", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a schema."""
    if request.param == "sqlite":
        return str(tmp_path / "some.db")
    url: str = request.getfixturevalue("postgres_url")
    return url


def test_from_nothing_to_up_to_date(target: str) -> None:
    """Where from and where to is said, by a name without a password; again is harmless."""
    name = _run(target).stdout.partition(": version")[0]
    assert PASSWORD not in name
    assert _run(target).stdout == f"{name}: version {NEWEST} already\n"
    assert Database(target).ensure("never") == NEWEST


def test_going_back(target: str) -> None:
    """Only after a yes, only downwards, and only over steps that this program knows."""
    assert _run(target, "--to", str(NEWEST)).exit_code == 2
    Database(target).ensure(extra=[MINOR])
    refused = _run(target, "--to", str(NEWEST), answer="n\n")
    assert (refused.exit_code, f"from version {NEXT} to {NEWEST}?" in refused.stderr) == (1, True)
    unknown = _run(target, "--to", str(NEWEST), "--yes")
    assert (unknown.exit_code, len(unknown.stderr.splitlines())) == (2, 1)
    assert "only a program that knows a step can take it back" in unknown.stderr


def test_nothing_goes_back_past_the_first_version(target: str) -> None:
    """That would delete every record."""
    Database(target).ensure()
    assert "delete every record" in _run(target, "--to", "0", "--yes").stderr
    assert Database(target).ensure("never") == NEWEST


def test_sql_for_a_dba_touches_nothing(tmp_path: Path) -> None:
    """It is the DDL of the schema folder, and no file is made."""
    done = _run("some.db", "--sql")
    assert done.stdout.split() == (ROOT / "schema" / "sqlite" / f"v{NEWEST:04}.sql").read_text().split()
    assert list(tmp_path.iterdir()) == []
    assert _run("postgresql://me:s3cret@127.0.0.1:1/x", "--sql").exit_code == 0


def test_sql_for_a_dba_makes_the_schema(postgres_url: str) -> None:
    """What is printed, run by somebody else, is what this program needs."""
    done = _run(postgres_url, "--sql", "--db-schema", "elsewhere")
    run_sql(postgres_url, done.stdout)
    assert Database(postgres_url, db_schema="elsewhere").ensure("never") == NEWEST
    assert _run(postgres_url, "--sql", "--from", "9").exit_code == 2


def test_a_missing_right_names_the_grant(postgres_url: str, postgres_server: PostgresServer) -> None:
    """One line, exit code 2, no password."""
    database = postgres_url.rsplit("/", 1)[1]
    postgres_server.execute("DROP ROLE IF EXISTS cli_guest")
    postgres_server.execute("CREATE ROLE cli_guest LOGIN PASSWORD 's3cret'")
    done = _run(postgres_server.url_of(database, user="cli_guest", password="s3cret"))
    assert done.exit_code == 2
    assert f'GRANT CREATE ON DATABASE "{database}" TO "cli_guest"' in done.stderr
    assert "s3cret" not in done.output


def test_only_databases_have_a_schema(tmp_path: Path) -> None:
    """A JSON file is told so."""
    write_json(tmp_path / "some.json", [])
    assert _run("some.json").exit_code == 2
    assert _run("some.json", "--sql").exit_code == 2
