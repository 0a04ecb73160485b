"""This module is where the databases' own SQL shows what of a lazy frame's query reaches them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from aicore_obs import reports
from aicore_obs.model.cost import Cost
from aicore_obs.protocols import Address, StoreOptions
from aicore_obs.query import predicates
from aicore_obs.query.reader import read_frame
from aicore_obs.query.scan import scan
from aicore_obs.stores.sql import postgres_reader, sqlite_reader
from tests.stored import operation, write_postgres, write_sqlite

RECORDS = [
    operation(
        number,
        labels={"app": "x"},
        session_id=f"s{number % 3}",
        model="m",
        latency_ms=float(number),
        cost=Cost(total=Decimal(number)),
    )
    for number in range(30)
]
Log = list[str]


@pytest.fixture
def sqlite_log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """Every statement that SQLite runs for a reader, with its values."""
    log: Log = []
    connect = sqlite_reader._connect

    def traced(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.set_trace_callback(log.append)
        return connection

    monkeypatch.setattr(sqlite_reader, "_connect", traced)
    return log


@pytest.fixture
def postgres_log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """Every statement that PostgreSQL is given for a frame."""
    log: Log = []
    literal = postgres_reader._with_literals

    async def logged(*given: Any) -> str:
        log.append(await literal(*given))
        return log[-1]

    monkeypatch.setattr(postgres_reader, "_with_literals", logged)
    return log


def where(log: Log) -> str:
    """Return the conditions of the last statement, on one line; those of its inner SELECT are about revisions."""
    _, *found = re.split(r" WHERE (?!newer\.)", " ".join(log[-1].split()))
    return found[0].partition(" ORDER BY ")[0] if found else ""


def pushed(address: Address, predicate: pl.Expr, log: Log) -> str:
    """Collect a filtered frame and return what the database was asked for."""
    found = scan(address, {}).filter(predicate).select("operation_id").collect()
    asked = where(log)
    assert found.equals(read_frame(address, {}).filter(predicate).select("operation_id"))
    return asked


col = pl.col
APP = col("labels").struct.field("app")
ASKED = [
    (col("session_id") == "s1", "session_id = 's1'"),
    (col("session_id") != "s1", "session_id != 's1'"),
    (col("latency_ms") > 10, "latency_ms > "),
    (~(col("latency_ms") > 10), "latency_ms <= "),
    (pl.lit(10.0) >= col("latency_ms"), "latency_ms <= "),
    (col("session_id").is_in(["s1", "it's"]), "session_id IN ('s1', 'it''s')"),
    (~col("session_id").is_in(["s1"]), "session_id NOT IN ('s1')"),
    (col("latency_ms").is_between(3, 5, closed="left"), "latency_ms < "),
    (col("seq").is_in([1, 2]), "seq = "),
    ((col("model") == "m") | (col("latency_ms") < 3), " OR "),
    (~((col("model") == "m") & (col("latency_ms") < 3)), " OR "),
    ((col("model") == "m") & (col("model").str.len_chars() == 1), "model = 'm'"),
    (col("user_id").is_not_null() & (col("model") == "m"), "user_id"),
]


@pytest.mark.parametrize(("predicate", "words"), ASKED, ids=range(len(ASKED)))
def test_sqlite_is_asked(predicate: pl.Expr, words: str, tmp_path: Path, sqlite_log: Log) -> None:
    """What both say alike is part of SQLite's statement."""
    assert words in pushed(write_sqlite(tmp_path / "a.db", RECORDS), predicate, sqlite_log)


def test_sqlite_is_asked_in_its_own_words(tmp_path: Path, sqlite_log: Log) -> None:
    """Times and money are whole numbers; text is looked into by functions that know no wildcards."""
    address = write_sqlite(tmp_path / "a.db", RECORDS)
    since = datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC)
    for predicate, words in (
        (col("timestamp") >= since, "timestamp >= 1767225610000000"),
        (col("timestamp") < pl.datetime(2026, 1, 1, 0, 0, 10, time_zone="UTC"), "timestamp < 1767225610000000"),
        (col("cost_usd") > Decimal("2.5"), ">= 2500000000000"),
        (col("session_id").str.starts_with("s%"), "substr(aicore_obs_operations.session_id, 1, 2) = 's%'"),
        (col("session_id").str.contains("_1", literal=True), "instr(aicore_obs_operations.session_id, '_1') > 0"),
        (col("session_id").str.ends_with("1"), "instr(aicore_obs_operations.session_id, '1') > 0"),
        (col("session_id").is_null(), "typeof(aicore_obs_operations.session_id) NOT IN ('text')"),
        (col("session_id") >= "s1", "session_id >= 's1'"),
        (APP == "it's", """contains_all(aicore_obs_operations.labels, '{"app": "it''s"}') = 1"""),
        (col("cost_usd") > 2_500.5, ">= 2500499999999975"),
    ):
        assert words in pushed(address, predicate, sqlite_log)


def test_postgres_is_asked_in_its_own_words(postgres_url: str, postgres_log: Log) -> None:
    """Text is ordered by its code points whatever the database's collation, ids stay ids, money stays decimal."""
    address = write_postgres(postgres_url, RECORDS)
    one = RECORDS[3].id
    for predicate, words in (
        *ASKED,
        (col("timestamp") >= datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC), "timestamp >= '2026-01-01T00:00:10+00:00'"),
        (col("cost_usd") <= Decimal("2.5"), "<= '2.500000000000'"),
        (col("session_id").str.starts_with("s%"), "starts_with(aicore_obs.operations.session_id, 's%')"),
        (col("session_id").str.contains("'_\\", literal=True), "strpos(aicore_obs.operations.session_id, "),
        (col("session_id").is_null(), "session_id IS NULL"),
        (col("session_id") >= "s1", "(aicore_obs.operations.session_id COLLATE \"C\") >= 's1'"),
        (APP == "x", 'operations.labels @> CAST(\'{"app": "x"}\''),
        (col("operation_id") == one, f"id = '{one}'"),
        (col("operation_id") == one.upper(), "false"),
        (col("operation_id").is_in([one, "x"]), f"id IN ('{one}'::UUID)"),
    ):
        assert words in pushed(address, predicate, postgres_log)


@pytest.mark.parametrize(
    "predicate",
    [
        col("model").str.contains("m.*"),
        col("model").str.len_chars() == 1,
        (col("model") == "m") | (col("model").str.len_chars() == 3),
        col("latency_ms").cast(pl.Int64) == 3,
        col("latency_ms") < float("nan"),
        col("model") == "\ufffd",
        col("model").eq_missing("m"),
        col("cost_usd") != Decimal(1),
        col("response").is_null(),
        col("input_tokens") > col("output_tokens"),
    ],
    ids=range(10),
)
def test_what_is_not_certain_stays_here(predicate: pl.Expr, tmp_path: Path, sqlite_log: Log) -> None:
    """Such a predicate is tried on what comes, and the database is not asked."""
    assert pushed(write_sqlite(tmp_path / "a.db", RECORDS), predicate, sqlite_log) in ("", "1 = 1", "1")


@pytest.mark.parametrize(
    "form", ["", "[]", "{}", '{"BinaryExpr": 1}', '{"Function": {"input": [], "function": {"Boolean": "IsNull"}}}']
)
def test_another_format_is_no_error(
    form: str, tmp_path: Path, sqlite_log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Polars that shows its predicates otherwise costs speed and no row."""
    monkeypatch.setattr(predicates, "_serialized", lambda _: form)
    assert pushed(write_sqlite(tmp_path / "a.db", RECORDS), col("session_id") == "s1", sqlite_log) == ""


def test_the_filter_and_the_predicate_meet(tmp_path: Path, sqlite_log: Log) -> None:
    """Both are in one statement; under a limit of the filter, which comes first, the predicate stays here."""
    address = write_sqlite(tmp_path / "a.db", RECORDS)
    frame = scan(address, {"session_id": "s1"}).filter(col("latency_ms") > 10).select("latency_ms").collect()
    assert frame["latency_ms"].to_list() == [13.0, 16.0, 19.0, 22.0, 25.0, 28.0]
    assert "session_id IN ('s1')" in where(sqlite_log)
    assert "latency_ms > 10" in where(sqlite_log)
    assert scan(address, {"limit": 20}).filter(col("latency_ms") > 10).collect().height == 9
    assert "latency_ms > " not in where(sqlite_log)


def test_a_large_store_comes_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch that reaches Polars is longer than the scan's batches, whatever the predicate."""
    heights: list[int] = []
    shape_frames = sqlite_reader.Shape.frames

    def noted(*given: Any, **options: Any) -> Any:
        for frame in shape_frames(*given, **options):
            heights.append(frame.height)
            yield frame

    monkeypatch.setattr("aicore_obs.query.scan.BATCH_ROWS", 7)
    monkeypatch.setattr(sqlite_reader.Shape, "frames", noted)
    address = write_sqlite(tmp_path / "a.db", RECORDS)
    assert scan(address, {}).filter(col("latency_ms") >= 0).collect().height == 30
    assert heights == [7, 7, 7, 7, 2]


def ask(address: Address) -> Callable[[pl.Expr], pl.DataFrame]:
    """Return the way to ask a store."""
    return lambda predicate: scan(address, {}).filter(predicate).collect()


def test_long_predicates_are_answered(tmp_path: Path) -> None:
    """Thousands of values, and hundreds of parts one inside the other."""
    query = ask(write_sqlite(tmp_path / "a.db", RECORDS))
    assert query(col("session_id").is_in([f"s{number}" for number in range(5_000)])).height == 30
    assert query(col("seq").is_in(list(range(5_000)))).height == 0
    long = col("latency_ms") == 0
    for number in range(1, 300):
        long |= col("latency_ms") == number
    assert query(long).height == 30


def test_a_store_without_costs_is_asked_all_the_same(tmp_path: Path, sqlite_log: Log) -> None:
    """A database of version 1 has no such columns: what a predicate says of them is tried on nulls."""
    path = tmp_path / "v1.db"
    dump = Path(__file__).parents[1] / "fixtures" / "stores" / "v0001.sqlite.sql"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump.read_text(encoding="utf-8"))
    address = Address(kind="sqlite", name=f"sqlite:{path}", path=path, options=StoreOptions())
    everything = read_frame(address, {})
    for predicate in (
        col("cost_usd") > 0,
        col("cost_usd").is_null() & col("model").is_not_null(),
        col("cost_reason") == "not priced",
        col("priced_model").is_null() | (col("model") == "x"),
    ):
        assert ask(address)(predicate).equals(everything.filter(predicate))
        assert "cost" not in where(sqlite_log)
    for report in ("cost", "usage", "unpriced", "sessions", "top", "latency", "errors"):
        getattr(reports, report)(path, filters={"min_tokens": 0})
    assert reports.cost(path).select("cost_usd", "unpriced").rows() == [(None, everything.height)]


def test_nothing_is_read_past_the_rows_that_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first rows after a predicate take one batch or two, and the database stops there."""
    heights: list[int] = []
    frame = sqlite_reader.Shape.frame

    def noted(self: Any, raw: pl.DataFrame, columns: Any) -> pl.DataFrame:
        heights.append(raw.height)
        return frame(self, raw, columns)

    monkeypatch.setattr("aicore_obs.query.scan.BATCH_ROWS", 3)
    monkeypatch.setattr(sqlite_reader.Shape, "frame", noted)
    address = write_sqlite(tmp_path / "a.db", RECORDS)
    found = scan(address, {}).filter(col("latency_ms") > 1).head(2).collect()
    assert found["latency_ms"].to_list() == [2.0, 3.0]
    assert sum(heights) < len(RECORDS)
