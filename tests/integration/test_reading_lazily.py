"""This module is where lazy frames are held: equal to eager ones, with columns and limit pushed into the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from aicore_obs.errors import FilterError, StoreNotFoundError
from aicore_obs.model.filter import Filter
from aicore_obs.model.frame_columns import FRAME_COLUMNS
from aicore_obs.protocols import Address
from aicore_obs.query.reader import read_frame
from aicore_obs.query.scan import scan
from aicore_obs.stores.sql.sqlite_reader import SqliteReader
from tests.stored import OPTIONS, operation, write_json, write_postgres, write_sqlite

RECORDS = [
    operation(number, session_id=f"s{number % 3}", latency_ms=number, extras={"step": number}) for number in range(30)
]


@pytest.fixture(params=["json", "sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """A store of each kind with thirty operations."""
    if request.param == "postgresql":
        return write_postgres(request.getfixturevalue("postgres_url"), RECORDS)
    write = write_sqlite if request.param == "sqlite" else write_json
    return write(tmp_path / f"a.{'db' if request.param == 'sqlite' else 'json'}", RECORDS)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Filter, tuple[str, ...]]]:
    """What reaches the SQLite reader: the filter and the columns of each read."""
    seen: list[tuple[Filter, tuple[str, ...]]] = []
    real = SqliteReader.batches

    def batches(
        self: SqliteReader, query: Filter, columns: Sequence[str], *, batch_rows: int
    ) -> Iterator[pl.DataFrame]:
        seen.append((query, tuple(columns)))
        return real(self, query, columns, batch_rows=batch_rows)

    monkeypatch.setattr(SqliteReader, "batches", batches)
    return seen


@pytest.mark.parametrize("filters", [{}, {"session_id": "s1", "order": "desc", "limit": 4}, {"user_id": "nobody"}])
def test_lazy_equals_eager(address: Address, filters: dict[str, Any]) -> None:
    """A collected lazy frame is the eager frame."""
    assert_frame_equal(scan(address, filters).collect(), read_frame(address, filters))


@pytest.mark.parametrize(
    "step",
    [
        lambda lazy: lazy.head(4).filter(pl.col("latency_ms") > 1),
        lambda lazy: lazy.filter(pl.col("latency_ms") > 10).head(4),
        lambda lazy: lazy.filter(pl.col("session_id") == "s2").select("latency_ms", "operation_id"),
        lambda lazy: lazy.slice(3, 5).select("operation_id"),
        lambda lazy: lazy.slice(3, 5).filter(pl.col("latency_ms") > 5),
        lambda lazy: lazy.head(15).filter(pl.col("latency_ms") > 3).head(2),
        lambda lazy: lazy.sort("latency_ms", descending=True).head(3),
        lambda lazy: lazy.tail(3),
        lambda lazy: lazy.select(pl.len()),
        lambda lazy: lazy.filter(pl.col("latency_ms") > 10).select(pl.len()),
        lambda lazy: lazy.group_by("session_id").agg(pl.col("latency_ms").sum()).sort("session_id"),
        lambda lazy: lazy.select(pl.col("extras").struct.field("step")).filter(pl.col("step") < 3),
        lambda lazy: lazy.with_columns(twice=pl.col("latency_ms") * 2).select("twice").head(2),
        lambda lazy: lazy.select(pl.lit(1)),
    ],
)
def test_steps_on_top(address: Address, step: Callable[[Any], Any]) -> None:
    """Filters, limits, projections and sums over a lazy frame give what they give over an eager one."""
    filters = {"limit": 20}
    assert_frame_equal(step(scan(address, filters)).collect(), step(read_frame(address, filters).lazy()).collect())


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_both_engines(address: Address, engine: Any) -> None:
    """Polars' streaming engine gives the same."""
    lazy = scan(address, {}).filter(pl.col("latency_ms") > 10).head(4)
    assert lazy.collect(engine=engine)["latency_ms"].to_list() == [11.0, 12.0, 13.0, 14.0]


def test_columns_and_limit_reach_the_store(tmp_path: Path, asked: list[Any]) -> None:
    """The store is asked for the used columns and the needed rows only."""
    address = write_sqlite(tmp_path / "a.db", RECORDS)
    scan(address, {"session_id": "s1"}).select("latency_ms").head(2).collect()
    query, columns = asked[-1]
    assert (query.limit, columns, query.session_id) == (2, ("latency_ms",), ("s1",))


def test_a_predicate_holds_the_limit_back(tmp_path: Path, asked: list[Any]) -> None:
    """A limit after a predicate must not stop the store; the filter's own limit stays."""
    address = write_sqlite(tmp_path / "a.db", RECORDS)
    lazy = scan(address, {"limit": 25}).filter(pl.col("latency_ms") > 10).select("operation_id").head(2)
    assert lazy.collect().height == 2
    assert [query.limit for query, _ in asked] == [25]


def test_the_schema_needs_no_rows(tmp_path: Path, asked: list[Any]) -> None:
    """The schema is known before anything is read."""
    address = write_sqlite(tmp_path / "a.db", RECORDS)
    assert scan(address, {}).collect_schema().names() == list(FRAME_COLUMNS)
    assert scan(address, {"columns": ["extras"]}).collect_schema() == {"extras": pl.Struct({"step": pl.Int64})}
    assert asked == []


def test_what_is_asked_is_checked_at_once(tmp_path: Path) -> None:
    """A wrong filter and a missing store are errors where they are written."""
    missing = Address(kind="sqlite", name="x", path=tmp_path / "no.db", options=OPTIONS)
    with pytest.raises(FilterError):
        scan(missing, {"sesion_id": "x"})
    with pytest.raises(StoreNotFoundError):
        scan(missing, {})


def test_collecting_flushes(tmp_path: Path) -> None:
    """A frame that was made earlier has what was recorded later, in the schema that it was made with."""
    address = write_sqlite(tmp_path / "a.db", [])
    calls: list[int] = []
    lazy = scan(address, {}, before=lambda: calls.append(1))
    write_sqlite(tmp_path / "a.db", RECORDS)
    assert lazy.collect().height == 30
    assert len(calls) == 2


def test_a_key_without_a_name_is_a_field_without_one(tmp_path: Path) -> None:
    """JSON allows it; the lazy frame's schema and its rows agree."""
    place = write_sqlite(tmp_path / "a.db", [operation(0, extras={"": [1], "n": 1}), operation(1, extras={"": None})])
    frame = scan(place, {}).select("extras").collect()
    assert frame.schema["extras"] == pl.Struct({"": pl.String(), "n": pl.Int64()})
    assert frame["extras"].struct.field("").to_list() == ["[1]", None]
