"""This module is where a reconciliation over real stores is tested: the same sums from each, to the last place."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from aicore_obs import LlmOperationCollector, reconcile
from aicore_obs.errors import FilterError, StoreNotFoundError
from aicore_obs.model.cost import Cost
from aicore_obs.model.filter import Filter
from aicore_obs.protocols import Address
from tests.statements import FIXTURES, at, is_exact
from tests.stored import operation, record_id, revision, write_json, write_postgres, write_sqlite

D = Decimal
SMALL = D("0.000000000001")


def _cost(total: str) -> Cost:
    return Cost(total=D(total), input=D(total), output=D(0), source="genai-prices", price_id="row-1", book="b1")


RECORDS = [
    operation(1, provider="openai", model="gpt-4o", timestamp=at(1), cost=_cost("0.1"), response_id="chatcmpl-1"),
    operation(2, provider="openai", model="gpt-4o", timestamp=at(1, 23), cost=_cost("0.057499999999")),
    operation(3, provider="openai", model="gpt-4o", timestamp=at(2, 0), cost=Cost(reason="no price"), input_tokens=5),
    operation(4, provider="openai", model="gpt-5.6-sol", timestamp=at(3), cost=_cost("0.8"), output_tokens=8_000),
    operation(5, provider="anthropic", model="claude", timestamp=at(3), cost=_cost("7")),
    operation(6, provider="openai", model="gpt-4o", timestamp=at(4, 0), cost=_cost("9")),
    # A repricing, which a reader shows.
    revision(7, of=4, cost=_cost("0.4"), timestamp=at(20)),
]


@pytest.fixture(params=["jsonl", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """A store of every kind, with the same records."""
    if request.param == "jsonl":
        return write_json(tmp_path / "some.jsonl", RECORDS)
    if request.param == "sqlite":
        return write_sqlite(tmp_path / "some.db", RECORDS)
    return write_postgres(request.getfixturevalue("postgres_url"), RECORDS)


def test_the_days_of_the_statement_are_read(store: Address) -> None:
    """Half-open, with the newest revision of each cost; what has no price is counted and no zero."""
    result = reconcile({}, FIXTURES / "openai_costs.json", store=store, tolerance=SMALL)
    assert result.matched.select("model", "ours_usd", "difference_usd").rows() == [
        ("gpt-4o", D("0.157499999999"), SMALL),
        ("gpt-5.6-sol", D("0.4"), D(0)),
    ]
    assert result.ours_only.select("model", "ours_usd", "cause", "explanation").rows() == [
        ("gpt-4o", None, "unpriced", "1 operation of ours has no price: no price")
    ]
    assert result.provider_only["fee"].to_list() == ["web_search"]
    assert (result.totals.operations, result.totals.other_operations) == (4, 1)
    assert result.totals.difference_usd == D("0.01") + SMALL
    assert is_exact(result)


def test_filters_choose_what_is_compared(store: Address) -> None:
    """Dates of one's own, other filters, and costs as they were at a time."""
    query = Filter.of(start_date="2026-08-03", end_date="2026-08-03", provider="openai", cost_as_of="2026-08-19")
    result = reconcile(query, FIXTURES / "openai_costs.json", store=store)
    assert result.mismatch.select("model", "ours_usd", "cause", "ratio").rows() == [
        ("gpt-5.6-sol", D("0.8"), "price", D("0.5"))
    ]
    assert "the provider charged 0.5 times our price for the same tokens: priority" in result.mismatch["explanation"][0]
    with pytest.raises(FilterError, match="no limit or columns"):
        reconcile({"limit": 3}, FIXTURES / "openai_costs.json", store=store)


def test_requests_are_found_by_id(store: Address, tmp_path: Path) -> None:
    """The provider's id of a response, or our own of the operation."""
    rows = f"chatcmpl-1,0.1,2026-08-01,gpt-4o\n{record_id(2)},0.05,2026-08-01,gpt-4o\n"
    (tmp_path / "requests.csv").write_text("request_id,cost,created_at,model\n" + rows, encoding="utf-8")
    result = reconcile({"provider": "openai"}, tmp_path / "requests.csv", store=store)
    assert result.matched["request_id"].to_list() == ["chatcmpl-1"]
    assert result.mismatch.select("request_id", "difference_usd").rows() == [(record_id(2), D("-0.007499999999"))]


def test_ones_own_writes_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an open collector has not delivered yet is flushed first; its store is the one that is meant."""
    monkeypatch.chdir(tmp_path)
    with LlmOperationCollector(db_url=f"sqlite:///{tmp_path / 'mine.db'}") as collector:
        collector.record_completion({"model": "gpt-4o"}, provider="openai", timestamp=at(1))
        result = reconcile({}, FIXTURES / "openai_costs.csv")
        assert result.totals.operations == 1
        frame = LlmOperationCollector.polars_from_db()
        assert reconcile(frame, FIXTURES / "openai_costs.csv").totals.operations == 1


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    """Reading creates nothing."""
    with pytest.raises(StoreNotFoundError):
        reconcile({}, FIXTURES / "openai_costs.csv", store=tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()
