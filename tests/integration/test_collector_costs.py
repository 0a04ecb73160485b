"""This module is where costs are had from a collector as its users have them, on every store."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import aicore_obs
from aicore_obs import ConfigurationError, LlmOperationCollector, PriceBook
from tests.records import KINDS

ROWS = [{"provider": "acme", "model": "acme-1", "input_mtok": "10", "output_mtok": "20", "source": "a test"}]
DEARER = [{**ROWS[0], "input_mtok": "20"}]
ANSWER = {"model": "acme-1", "usage": {"prompt_tokens": 1000, "completion_tokens": 1000, "total_tokens": 2000}}
COST, DEARER_COST = Decimal("0.03"), Decimal("0.04")


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options of a collector for each kind of store."""
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    if request.param == "postgresql":
        return {"db_url": request.getfixturevalue("postgres_url")}
    if request.param == "sqlite":
        return {"db_url": f"sqlite:///{tmp_path}/some.db"}
    return {"storage_path": str(tmp_path / f"some.{request.param}")}


def record(collector: LlmOperationCollector, **options: Any) -> None:
    """Record one call."""
    assert collector.record_completion({"model": "acme-1"}, "completion", "acme", ANSWER, **options)


def costs(collector: LlmOperationCollector, **filters: Any) -> list[Decimal | None]:
    """Return the costs that are shown."""
    return collector.polars_from_db(columns=["cost_usd"], **filters)["cost_usd"].to_list()


def test_costs_are_stored_with_source_and_row(place: dict[str, Any]) -> None:
    """By the collector's own prices, which lie over the bundled ones."""
    with LlmOperationCollector(**place, prices=ROWS) as collector:
        record(collector)
        columns = ["cost_usd", "input_cost_usd", "output_cost_usd", "cost_source", "cost_reason", "priced_model"]
        row = collector.polars_from_db(columns=columns).row(0)
        assert row == (COST, Decimal("0.01"), Decimal("0.02"), "user", None, "acme-1")
        ledger = collector.polars_costs().row(0, named=True)
        assert ledger["revision"] == 0
        assert ledger["price_book"].startswith("user:")
        assert [line["amount"] for line in json.loads(ledger["cost_lines"])] == ["0.010000000000", "0.020000000000"]


def test_content_that_is_not_captured_is_priced(place: dict[str, Any]) -> None:
    """From the numbers that were read at the door; a file has every member once."""
    with LlmOperationCollector(**place, prices=ROWS, capture_content=False) as collector:
        record(collector)
        assert costs(collector) == [COST]
    if "storage_path" in place:
        line = Path(place["storage_path"]).read_text(encoding="utf-8")
        assert line.count('"derived"') == 1


def test_content_that_is_sampled_out_or_cut_is_priced(place: dict[str, Any]) -> None:
    """Each cost is in the ledger to the last place, and a reader sees of which operations content is missing."""
    with LlmOperationCollector(**place, prices=ROWS, content_sample_rate=0.5) as collector:
        for number in range(40):
            record(collector, extras={"number": number})
        frame = collector.polars_from_db(columns=["cost_usd", "completion_args", "extras"]).unnest("extras")
    assert frame["cost_usd"].to_list() == [COST] * 40
    states = set(zip(frame["completion_args"].is_null(), frame["content_state"], strict=True))
    assert states == {(True, "sampled_out"), (False, None)}
    with LlmOperationCollector(**place, prices=ROWS, max_content_bytes=256) as collector:
        collector.record_completion({"prompt": "word " * 100}, "completion", "acme", ANSWER, user_id="long")
        assert costs(collector, user_id="long") == [COST]
        assert "[500 bytes in all]" in collector.polars_from_db(user_id="long")["completion_args"][0]


def test_the_past_is_costed_again_and_kept(place: dict[str, Any]) -> None:
    """With a collector in hand, twice, and back; an earlier state can be shown."""
    with LlmOperationCollector(**place, prices=ROWS) as collector:
        record(collector, timestamp=datetime.now(UTC) - timedelta(days=2))
        record(collector, user_id="u-1")
        assert collector.recost({"user_id": "u-1"}, DEARER).changed == 1
        assert costs(collector) == [COST, COST]
        assert collector.recost({"user_id": "u-1"}, PriceBook(DEARER), dry_run=False).written == 1
        assert costs(collector) == [COST, DEARER_COST]
        assert asyncio.run(collector.arecost(None, DEARER, False)).written == 1
        assert costs(collector) == [DEARER_COST, DEARER_COST]
        assert collector.recost(dry_run=False, author="finance").written == 2
        assert costs(collector) == [COST, COST]
        assert collector.polars_costs()["revision"].to_list() == [0, 1, 2, 0, 1, 2]
        yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
        assert costs(collector, cost_as_of=yesterday) == [COST, COST]
        assert costs(collector, min_cost="0.03") == [COST, COST]
        assert costs(collector, min_cost="0.0300000001") == []


def test_the_past_is_costed_again_without_a_collector(
    place: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By address, with the prices that the environment names."""
    with LlmOperationCollector(**place, prices=ROWS) as collector:
        record(collector)
    store = next(iter(place.values()))
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"rows": DEARER}))
    monkeypatch.setenv("AICORE_OBS_PRICES", str(file))
    assert aicore_obs.recost(store=store).changed == 1
    assert aicore_obs.recost(None, None, False, store=store).written == 1
    with LlmOperationCollector(**place) as collector:
        record(collector)
        assert costs(collector) == [DEARER_COST, DEARER_COST]
        assert aicore_obs.recost(prices=ROWS, store=store).difference == -2 * (DEARER_COST - COST)


def test_two_books_on_one_store_keep_apart(place: dict[str, Any]) -> None:
    """Each collector prices what it records by its own."""
    with LlmOperationCollector(**place, prices=ROWS) as one, LlmOperationCollector(**place, prices=DEARER) as other:
        record(one)
        record(other)
        assert one.flush()
        assert other.flush()
        assert sorted(filter(None, costs(one))) == [COST, DEARER_COST]


@pytest.mark.parametrize("prices", [3, [{"model": "m"}], [{"provider": "p", "model": "m", "input_mtok": "dear"}]])
def test_prices_that_cannot_be_used_are_refused_at_once(prices: object, tmp_path: Path) -> None:
    """Before anything is recorded, with the value."""
    with pytest.raises(ConfigurationError):
        LlmOperationCollector(tmp_path / "some.jsonl", prices=prices)  # type: ignore[arg-type]
