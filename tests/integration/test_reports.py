"""This module is where reports are held to their figures, on every kind of store and on frames."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from aicore_obs import LlmOperationCollector, reports
from aicore_obs.errors import ConfigurationError, FilterError, StoreNotFoundError
from aicore_obs.model.cost import Cost, CostLine
from aicore_obs.model.frame_columns import PAYLOAD_COLUMNS
from aicore_obs.model.operation import ErrorInfo
from aicore_obs.protocols import Address
from aicore_obs.query.costs import sum_costs
from aicore_obs.query.reader import read_frame
from aicore_obs.query.reports.comparison import _mean_of, _quantile_of
from aicore_obs.query.scan import scan
from aicore_obs.stores.sql.sqlite_reader import SqliteReader
from tests.postgres import PostgresServer
from tests.stored import operation, write_json, write_postgres, write_sqlite

JUNE = datetime(2026, 6, 15, 12, tzinfo=UTC)
NOW = datetime(2026, 7, 10, tzinfo=UTC)
DAY = timedelta(days=1)
ERROR = ErrorInfo(type="TimeoutError", message="no answer", stack="…")
NAMES = ("cost", "latency", "errors", "usage", "sessions", "top", "unpriced", "compare")


def lines(*given: tuple[str, str, int, str]) -> tuple[CostLine, ...]:
    """Return lines of a cost: unit, price for a million, quantity, amount."""
    return tuple(
        CostLine(unit=unit, price=Decimal(price), quantity=quantity, per=10**6, amount=Decimal(amount), side="input")
        for unit, price, quantity, amount in given
    )


CACHED = lines(("input_mtok", "2", 1000, "0.002"), ("cache_read_mtok", "0.5", 3000, "0.0015"))
WRITTEN = lines(("input_mtok", "2", 1000, "0.002"), ("cache_write_5m_mtok", "2.5", 1000, "0.0025"))


def records() -> list[Any]:
    """Operations of May and June, of two models and two teams; some without a price, some with a part of one."""
    made = []
    for number in range(40):
        priced = number % 5 != 0
        amount = Decimal(number) / 10 + Decimal("1e-12")
        reason = None if priced and number % 7 else "no price for a part" if priced else "no price is known"
        failed = number % 10 == 9
        made.append(
            operation(
                number,
                timestamp=JUNE + DAY * (number - 30),
                model="large" if number % 2 else "small",
                provider="openai",
                session_id=f"s{number // 10}" if number % 3 else None,
                user_id=f"u{number % 3}",
                labels={"team": "search" if number % 4 else "ads"} if number % 8 else {},
                extras={"step": number % 2},
                latency_ms=float(number * 10) if number else None,
                time_to_first_token_ms=float(number),
                input_tokens=4000,
                cache_read_tokens=3000 if number % 4 == 1 else 0,
                output_tokens=number,
                total_tokens=4000 + number if number % 11 else None,
                cost=Cost(
                    total=amount if priced else None, reason=reason, lines=CACHED if number % 4 == 1 and priced else ()
                ),
                **({"error": ERROR} if failed else {}),
            )
        )
    return made


KINDS = ("json", "sqlite", "postgresql")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[dict[str, Address]]:
    """A store of each kind with these operations, and one without any; nothing here writes to them."""
    folder = tmp_path_factory.mktemp("reports")
    url, other = postgres_server.create_database(), postgres_server.create_database()
    yield {
        "json": write_json(folder / "a.json", records()),
        "sqlite": write_sqlite(folder / "a.db", records()),
        "postgresql": write_postgres(url, records()),
        "no json": write_json(folder / "none.json", []),
        "no sqlite": write_sqlite(folder / "none.db", []),
        "no postgresql": write_postgres(other, []),
    }
    postgres_server.drop_database(url)
    postgres_server.drop_database(other)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, stores: dict[str, Address]) -> Address:
    """The store with operations, one of each kind."""
    return stores[request.param]


@pytest.fixture
def frame(stores: dict[str, Address]) -> pl.DataFrame:
    """The same operations as a frame."""
    return read_frame(stores["sqlite"], {})


def ask(name: str, source: Any, **options: Any) -> pl.DataFrame:
    """Return a report by its name."""
    found: pl.DataFrame = getattr(reports, name)(source, **options)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_store_and_every_frame_answers_alike(name: str, place: Address, frame: pl.DataFrame) -> None:
    """A store, a lazy frame and a frame give the same report; of a frame it is not known what a cache saved."""
    options: dict[str, Any] = {"period": "last_month", "tz": "Europe/Paris", "now": NOW}
    if name in ("cost", "latency", "errors", "usage", "unpriced"):
        options["by"] = ["model", "labels.team", "extras.step"]
    of_store, lazy, of_frame = (ask(name, one, **options) for one in (place, scan(place, {}), frame))
    assert of_store.height > 0
    if name == "usage":
        assert of_store["cache_saved_usd"].null_count() < of_store.height
        of_store, lazy, of_frame = (
            one.drop("cache_saved_usd", "cache_saved_unknown") for one in (of_store, lazy, of_frame)
        )
    assert_frame_equal(of_store, of_frame)
    assert_frame_equal(lazy, of_frame)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_store_gives_all_columns(name: str, stores: dict[str, Address]) -> None:
    """With no operation at all, or none in the period, a report has its columns and no row."""
    full = ask(name, stores["sqlite"])
    empty = [ask(name, stores[f"no {kind}"]) for kind in KINDS]
    for one in (*empty, ask(name, stores["sqlite"], period="1999-01")):
        assert one.height == 0
        assert one.schema == full.schema


def test_costs_are_exact(place: Address) -> None:
    """Each sum is that of the amounts as Python adds them, and together they are what the store says."""
    found = reports.cost(place, by="model")
    rows = read_frame(place, {"columns": ["model", "cost_usd", "cost_reason", "total_tokens"]}).to_dicts()
    for row in found.to_dicts():
        mine = [one for one in rows if one["model"] == row["model"]]
        known = [one["cost_usd"] for one in mine if one["cost_usd"] is not None]
        assert row["cost_usd"] == sum(known)
        assert (row["operations"], row["unpriced"]) == (len(mine), len(mine) - len(known))
        assert row["partly_priced"] == sum(
            one["cost_usd"] is not None and one["cost_reason"] is not None for one in mine
        )
        assert row["unpriced_tokens"] == sum(one["total_tokens"] or 0 for one in mine if one["cost_usd"] is None)
        assert row["is_lower_bound"] is True
    summed = sum_costs(place, {})
    assert (sum(found["cost_usd"]), sum(found["unpriced"])) == (summed.total, summed.unpriced)
    assert found["share"].sum() == pytest.approx(1)
    assert found["cost_usd"].to_list() == sorted(found["cost_usd"], reverse=True)


def test_latencies(place: Address) -> None:
    """Percentiles are those of Polars over what was measured; errors count, an operation without a latency does not."""
    rows = read_frame(place, {"model": "large"})
    row = reports.latency(place, filters={"model": "large"}).row(0, named=True)
    assert (row["operations"], row["errors"], row["measured"]) == (20, 4, 20)
    for name, share in (("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99)):
        assert row[name] == pytest.approx(rows["latency_ms"].quantile(share, "linear"))
    assert (row["max_ms"], row["streamed"]) == (390.0, 20)
    assert row["tokens_per_s_p50"] == pytest.approx(100.0)
    assert row["stream_tokens_per_s_p50"] == pytest.approx(1000 / 9)
    assert reports.latency(place).row(0, named=True)["measured"] == 39


def test_errors(place: Address) -> None:
    """Types with their share of the group, the first and the last time, and the newest as examples."""
    (row,) = reports.errors(place, by="model").to_dicts()
    assert (row["model"], row["error_type"], row["errors"], row["rate"]) == ("large", "TimeoutError", 4, 0.2)
    assert (row["first_at"], row["last_at"]) == (JUNE - 21 * DAY, JUNE + 9 * DAY)
    assert row["example_ids"] == [operation(number).id for number in (39, 29, 19)]
    assert row["example_message"] == "no answer"


def test_every_column_of_text_can_be_a_group(stores: dict[str, Address]) -> None:
    """Also those that a report looks at itself; a rate of errors is among all, whatever their type."""
    schema = read_frame(stores["sqlite"], {"limit": 0}).schema
    no_groups = {*PAYLOAD_COLUMNS, "operation_id", "response_id", "error_stack", "error_message"}
    for name in (name for name, dtype in schema.items() if dtype == pl.String):
        for report in ("cost", "errors", "unpriced"):
            if name in no_groups:
                with pytest.raises(ConfigurationError):
                    ask(report, stores["sqlite"], by=name)
            else:
                assert ask(report, stores["sqlite"], by=name).columns.count(name) == 1
    assert ask("errors", stores["sqlite"], by="error_type")["rate"].to_list() == [0.1]


def test_usage_and_what_a_cache_saved(tmp_path: Path) -> None:
    """What was read from it costs less and what was written to it more, by the prices that were charged."""
    made = [
        operation(0, model="a", input_tokens=4000, cache_read_tokens=3000, total_tokens=1, cost=Cost(lines=CACHED)),
        operation(1, model="b", input_tokens=2000, cache_write_tokens=1000, total_tokens=1, cost=Cost(lines=WRITTEN)),
        operation(2, model="c", input_tokens=10, cache_read_tokens=5, total_tokens=1, cost=Cost(lines=CACHED[1:])),
        operation(3, model="d", input_tokens=10, cache_read_tokens=0, total_tokens=1),
        operation(4, model="e"),
    ]
    found = reports.usage(write_sqlite(tmp_path / "a.db", made), by="model").sort("model")
    saved = found.select("model", "cache_hit_share", "cache_saved_usd", "cache_saved_unknown").rows()
    assert saved == [
        ("a", 0.75, Decimal("0.0045"), 0),
        ("b", None, Decimal("-0.0005"), 0),
        ("c", 0.5, None, 1),
        ("d", 0.0, None, 0),
        ("e", None, None, 0),
    ]
    assert found["total_tokens"].to_list() == [1, 1, 1, 1, None]


def test_sessions(place: Address) -> None:
    """One row for each, the newest first; operations without one are in none."""
    found = reports.sessions(place)
    assert found["session_id"].to_list() == ["s3", "s2", "s1", "s0"]
    row = found.row(0, named=True)
    mine = [number for number in range(30, 40) if number % 3]
    known = [Decimal(number) / 10 + Decimal("1e-12") for number in mine if number % 5]
    assert (row["operations"], row["cost_usd"]) == (len(mine), sum(known))
    assert (row["started_at"], row["last_at"]) == (JUNE + DAY, JUNE + 8 * DAY)
    assert (row["duration_s"], row["models"]) == (7 * 86400, ["large", "small"])


def test_top(place: Address) -> None:
    """The largest of what is known; bad measures and counts say what can be."""
    assert reports.top(place, "latency", 3)["latency_ms"].to_list() == [390.0, 380.0, 370.0]
    assert reports.top(place, count=2)["cost_usd"].to_list() == [Decimal("3.900000000001"), Decimal("3.800000000001")]
    assert reports.top(place, "tokens", 1000)["total_tokens"].null_count() == 0
    assert reports.top(place, count=0).height == 0
    with pytest.raises(ConfigurationError, match="cost, latency, tokens, first_token"):
        reports.top(place, "price")
    with pytest.raises(ConfigurationError, match="count=-1"):
        reports.top(place, count=-1)


def test_unpriced(place: Address) -> None:
    """Why there is no price, or only a part of one."""
    found = reports.unpriced(place, by="model")
    whole = found.filter(~pl.col("partly_priced"))
    assert whole["operations"].sum() == sum_costs(place, {}).unpriced
    assert found.filter("partly_priced")["operations"].sum() == sum_costs(place, {}).partial
    assert set(whole["cost_reason"]) == {"no price is known"}
    assert found["operations"].to_list() == sorted(found["operations"], reverse=True)


def test_compare(place: Address) -> None:
    """The same seed gives the same interval, which holds the difference; of one operation there is none."""
    a, b = {"model": "small"}, {"model": "large"}
    found = reports.compare(place, a, b, seed=3)
    assert_frame_equal(found, reports.compare(place, a, b, seed=3))
    assert not found.equals(reports.compare(place, a, b, seed=4))
    sides = {row["side"]: row for row in found.to_dicts()}
    assert list(sides) == ["a", "b", "difference", "low", "high"]
    assert (sides["a"]["operations"], sides["b"]["errors"]) == (20, 4)
    difference = sides["b"]["cost_usd"] - sides["a"]["cost_usd"]
    assert sides["difference"]["cost_usd"] == difference
    for name in ("latency_mean_ms", "latency_p50_ms", "latency_p95_ms", "cost_mean_usd"):
        assert sides["low"][name] <= sides["difference"][name] <= sides["high"][name]
    one = reports.compare(place, {"model": "small", "limit": 1}, {"limit": 1})
    assert one["latency_p50_ms"].to_list() == [None] * 5


def test_the_short_ways_of_the_bootstrap_draw_as_the_long_one_does() -> None:
    """One Beta number for a quantile, and means of blocks for a mean, spread as samples drawn value by value do."""
    chance = random.Random(5)
    values = sorted(chance.lognormvariate(0, 1) for _ in range(301))
    series = pl.Series(values)
    short = _quantile_of(series, 0.5, chance)
    assert short is not None
    quick = pl.Series([short() for _ in range(2000)])
    slow = pl.Series([sorted(chance.choices(values, k=301))[150] for _ in range(2000)])
    for share in (0.025, 0.5, 0.975):
        assert quick.quantile(share) == pytest.approx(slow.quantile(share), rel=0.05)
    many = pl.Series([chance.lognormvariate(0, 1) for _ in range(20_000)])
    blocks = _mean_of(many, chance)
    assert blocks is not None
    drawn = pl.Series([blocks() for _ in range(300)])
    assert drawn.std() == pytest.approx(float(many.std() or 0) / 20_000**0.5, rel=0.2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "filters",
    [
        {"model": "large", "status": "ok"},
        {"start_date": "2026-06-01", "end_date": "2026-06-10"},
        {"start_date": JUNE, "end_date": JUNE + 3 * DAY},
        {"min_tokens": 4010, "max_latency": 300},
        {"min_cost": "0.5", "max_cost": 2},
        {"labels": {"team": "ads"}},
        {"labels": {"team": "nobody", "other": "x"}},
        {"tags": ["x"]},
        {"limit": 3, "order": "desc"},
        {"limit": 3, "session_id": ["s1", "s2"]},
    ],
    ids=str,
)
def test_filters_mean_the_same_for_frames(filters: dict[str, Any], place: Address, frame: pl.DataFrame) -> None:
    """A frame that is filtered here has the operations that a store finds."""
    assert_frame_equal(
        reports.cost(frame, by="user_id", filters=filters), reports.cost(place, by="user_id", filters=filters)
    )


def test_what_only_a_store_knows_is_an_error_for_a_frame(frame: pl.DataFrame) -> None:
    """Flags and earlier costs are in no frame; a column that is not there cannot be asked about."""
    with pytest.raises(FilterError, match="flagged_for='bad'"):
        reports.cost(frame, filters={"flagged_for": "bad"})
    with pytest.raises(FilterError, match="sesion"):
        reports.cost(frame, filters={"sesion": "x"})
    with pytest.raises(FilterError, match="no column provider"):
        reports.cost(frame.select("cost_usd"), filters={"provider": "x"})
    with pytest.raises(ConfigurationError, match="no column cost_usd"):
        reports.cost(frame.select("model"))
    with pytest.raises(ConfigurationError, match="no column timestamp"):
        reports.cost(frame.drop("timestamp"), period="today")
    with pytest.raises(ConfigurationError, match="times with a zone"):
        reports.cost(frame.with_columns(pl.col("timestamp").dt.replace_time_zone(None)))
    assert reports.cost(frame.select("cost_usd", "model"), by="model")["operations"].sum() == 40


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"by": "modell"}, r"by='modell': .*model.*labels\.team.*extras\.step"),
        ({"by": ["model", "labels.tem"]}, r"by='labels\.tem': .*labels\.team"),
        ({"by": "response"}, "by='response'"),
        ({"by": 3}, "by=3"),
        ({"period": "lastmonth"}, "period='lastmonth': .*last_month"),
        ({"tz": "Mars"}, "tz='Mars'"),
    ],
)
def test_bad_input_names_what_can_be(options: dict[str, Any], words: str, place: Address) -> None:
    """The message has the value and the choices."""
    with pytest.raises(ConfigurationError, match=words):
        reports.cost(place, **options)


def test_other_bad_input(place: Address, tmp_path: Path) -> None:
    """No store, no source, groups where there are none, an option that does not exist."""
    with pytest.raises(StoreNotFoundError):
        reports.cost(tmp_path / "no.db")
    with pytest.raises(ConfigurationError, match="int is no source"):
        reports.cost(5)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="top has no groups"):
        reports.top(place, by="model")
    with pytest.raises(ConfigurationError, match=r"seed=0\.5"):
        reports.compare(place, seed=0.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="a='model=x'"):
        reports.compare(place, "model=x")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="now="):
        reports.cost(place, period="today", now=NOW.replace(tzinfo=None))
    with pytest.raises(TypeError, match="perod"):
        reports.cost(place, perod="today")  # type: ignore[call-arg]


def test_collectors_urls_paths_and_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them names a store; what a collector has just recorded is there."""
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/a.db"
    with LlmOperationCollector(db_url=url) as collector:
        assert reports.cost(collector).height == 0
        collector.record_completion({"model": "m"}, provider="p", latency_ms=5)
        for source in (collector, url, None):
            assert reports.latency(source)["operations"].to_list() == [1]
    assert reports.latency(tmp_path / "a.db")["p50_ms"].to_list() == [5.0]
    assert reports.latency(url, by="labels.team")["labels.team"].to_list() == [None]


@pytest.mark.parametrize("name", NAMES)
def test_only_narrow_columns_are_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No report drags a payload along, and the period is part of the question to the store."""
    seen: list[Any] = []
    batches = SqliteReader.batches

    def noted(self: SqliteReader, query: Any, columns: Sequence[str], *, batch_rows: int) -> Any:
        seen.append((query, frozenset(columns)))
        return batches(self, query, columns, batch_rows=batch_rows)

    monkeypatch.setattr(SqliteReader, "batches", noted)
    place = write_sqlite(tmp_path / "a.db", records())
    ask(name, place, period="last_month", now=NOW, filters={"provider": "openai"})
    for query, columns in seen:
        assert query.where is not None
        assert query.provider == ("openai",)
        assert len(columns) < 16
        assert columns.isdisjoint(PAYLOAD_COLUMNS | {"extras", "labels", "error_stack", "tags"})
