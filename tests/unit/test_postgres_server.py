"""This module is where the tests' own PostgreSQL is tested."""

from __future__ import annotations

import pytest

from tests.postgres import PostgresServer, run_sql


def test_each_test_gets_an_empty_database(postgres_url: str) -> None:
    """A fresh database holds no table of ours."""
    assert run_sql(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")[0][0] == 0


def test_data_outlive_a_crash_and_a_restart(postgres_server: PostgresServer, postgres_url: str) -> None:
    """A stopped server refuses connections; started again it has its tables."""
    run_sql(postgres_url, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
    postgres_server.stop(mode="immediate")
    with pytest.raises(OSError, match="onnect"):
        run_sql(postgres_url, "SELECT 1")
    postgres_server.start()
    assert run_sql(postgres_url, "SELECT n FROM kept")[0][0] == 7
