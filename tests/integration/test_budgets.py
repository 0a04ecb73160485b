"""This module is where budgets are used as an application uses them, on every store, over restarts and processes."""

from __future__ import annotations

import asyncio
import decimal
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aicore_obs import Budget, ConfigurationError, LlmOperationCollector
from aicore_obs.model.budget import BudgetState
from aicore_obs.protocols import Batch
from tests.records import KINDS

# A thousand tokens in and a thousand out cost three cents.
PRICES = [{"provider": "acme", "model": "acme-1", "input_mtok": "10", "output_mtok": "20", "source": "a test"}]
COST = Decimal("0.03")
ANSWER = {"model": "acme-1", "usage": {"prompt_tokens": 1000, "completion_tokens": 1000, "total_tokens": 2000}}
UNPRICED = {**ANSWER, "model": "acme-unknown"}
NEVER = 1e9


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options of a collector for each kind of store."""
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    if request.param == "postgresql":
        return {"db_url": request.getfixturevalue("postgres_url"), "prices": PRICES}
    if request.param == "sqlite":
        return {"db_url": f"sqlite:///{tmp_path}/some.db", "prices": PRICES}
    return {"storage_path": tmp_path / f"some.{request.param}", "prices": PRICES}


def record(collector: LlmOperationCollector, answer: dict[str, Any] = ANSWER, **options: Any) -> None:
    """Record one call."""
    assert collector.record_completion({"model": answer["model"]}, "completion", "acme", answer, **options)


def test_what_this_process_spends_is_known_at_once(place: dict[str, Any]) -> None:
    """Without asking the store again: the view is old, the number is not."""
    with LlmOperationCollector(**place) as collector:
        budget = Budget("0.10")
        first = collector.remaining(budget)
        assert first.spent_usd == 0
        assert first.remaining_usd == Decimal("0.10")
        for count in range(1, 5):
            assert collector.remaining(budget, max_age_s=NEVER)
            record(collector)
            assert collector.remaining(budget, max_age_s=NEVER).spent_usd == count * COST
        after = collector.remaining(budget, max_age_s=NEVER)
        assert not after
        assert after.remaining_usd == Decimal("-0.02")
        assert after.as_of == first.as_of


def test_asking_the_store_again_counts_nothing_twice(place: dict[str, Any]) -> None:
    """Whatever of it is young, old, stored or on its way."""
    with LlmOperationCollector(**place) as collector:
        budget = Budget(100, "total")
        for count in range(1, 30):
            record(collector)
            assert collector.remaining(budget, max_age_s=0).spent_usd == count * COST
        assert collector.flush()
        assert collector.remaining(budget, max_age_s=0).spent_usd == 29 * COST


def test_it_is_kept_over_restarts(place: dict[str, Any]) -> None:
    """From the ledger, in another collector."""
    with LlmOperationCollector(**place) as collector:
        record(collector)
        record(collector, UNPRICED)
    with LlmOperationCollector(**place) as collector:
        state = collector.remaining(Budget(1))
        assert (state.spent_usd, state.unpriced, state.pending) == (COST, 1, 0)


def test_unpriced_operations_are_counted_beside_it(place: dict[str, Any]) -> None:
    """An unknown cost is not zero."""
    with LlmOperationCollector(**place) as collector:
        budget = Budget(1)
        collector.remaining(budget)
        record(collector, UNPRICED)
        record(collector)
        for age in (NEVER, 0):
            state = collector.remaining(budget, max_age_s=age)
            assert (state.spent_usd, state.unpriced) == (COST, 1)


def test_a_scope_counts_its_own_operations_only(place: dict[str, Any]) -> None:
    """By the words of filters, labels and models among them, before and after the store was asked."""
    with LlmOperationCollector(**place) as collector:
        scopes: list[dict[str, Any]] = [
            {"user_id": "u-1"},
            {"labels": {"team": "search"}},
            {"label": {"team": "search"}, "user_id": "u-1"},
            {"model": "acme-1"},
            {"model": "another"},
            {"tags": ["nightly"]},
        ]
        budgets = [Budget(1, "total", scope) for scope in scopes]
        for budget in budgets:
            collector.remaining(budget)
        record(collector, user_id="u-1")
        record(collector, user_id="u-2", labels={"team": "search"})
        record(collector, user_id="u-1", labels={"team": "search"}, tags=["nightly"])
        for age in (NEVER, 0):
            spent = [collector.remaining(budget, max_age_s=age).spent_usd / COST for budget in budgets]
            assert spent == [2, 2, 1, 3, 0, 1]


def test_only_the_present_window_counts(place: dict[str, Any]) -> None:
    """By the operation's own time."""
    with LlmOperationCollector(**place) as collector:
        today, ever = Budget(1), Budget(1, "total")
        collector.remaining(today)
        collector.remaining(ever)
        record(collector, timestamp=datetime.now(UTC) - timedelta(days=3))
        record(collector)
        for age in (NEVER, 0):
            assert collector.remaining(today, max_age_s=age).spent_usd == COST
            assert collector.remaining(ever, max_age_s=age).spent_usd == 2 * COST


def test_thresholds_call_back_once(place: dict[str, Any]) -> None:
    """On the way up, each once, on the thread that recorded; a callback that fails changes nothing."""
    calls: list[tuple[BudgetState, int]] = []

    def called(state: BudgetState) -> None:
        calls.append((state, threading.get_ident()))
        raise ValueError("a mistake of the application's")

    with LlmOperationCollector(**place) as collector:
        budget = Budget("0.10", callback=called, thresholds=(0.5, 1))
        collector.remaining(budget)
        for _ in range(6):
            record(collector)
        assert [state.spent_usd for state, _ in calls] == [2 * COST, 4 * COST]
        assert {thread for _, thread in calls} == {threading.get_ident()}
        assert collector.remaining(budget, max_age_s=0).spent_usd == 6 * COST
        assert len(calls) == 2


def test_many_threads_are_counted_exactly(place: dict[str, Any]) -> None:
    """While others ask, and the store is asked again and again."""
    with LlmOperationCollector(**place) as collector:
        budget = Budget(1000)
        collector.remaining(budget)

        def work(number: int) -> None:
            for _ in range(25):
                record(collector)
                if number == 0:
                    collector.remaining(budget, max_age_s=0)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        assert collector.remaining(budget, max_age_s=NEVER).spent_usd == 100 * COST
        assert collector.remaining(budget, max_age_s=0).spent_usd == 100 * COST


def test_it_can_be_asked_from_a_loop(place: dict[str, Any]) -> None:
    """The async twin gives the same answer."""

    async def main() -> None:
        async with LlmOperationCollector(**place) as collector:
            budget = Budget(1)
            assert (await collector.aremaining(budget)).spent_usd == 0
            await collector.arecord_completion({"model": "acme-1"}, "completion", "acme", ANSWER)
            assert (await collector.aremaining(budget, max_age_s=NEVER)).spent_usd == COST
            assert (await collector.aremaining(budget, max_age_s=0)).spent_usd == COST

    asyncio.run(main())


OTHER = """
import sys
from aicore_obs import LlmOperationCollector
answer = {"model": "acme-1", "usage": {"prompt_tokens": 1000, "completion_tokens": 1000}}
with LlmOperationCollector(db_url=sys.argv[1], prices=[
    {"provider": "acme", "model": "acme-1", "input_mtok": "10", "output_mtok": "20", "source": "a test"}
]) as collector:
    for _ in range(5):
        assert collector.record_completion({"model": "acme-1"}, "completion", "acme", answer)
"""


def test_other_processes_are_seen_when_the_store_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And ``as_of`` says how old the view of them is."""
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    url = f"sqlite:///{tmp_path}/some.db"
    with LlmOperationCollector(db_url=url, prices=PRICES) as collector:
        budget = Budget(1)
        before = collector.remaining(budget)
        record(collector)
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        subprocess.run([sys.executable, "-c", OTHER, url], env=environment, check=True, timeout=200)
        stale = collector.remaining(budget, max_age_s=NEVER)
        assert (stale.spent_usd, stale.as_of) == (COST, before.as_of)
        # What is younger than two seconds is taken from memory, which knows nothing of other processes.
        deadline = datetime.now(UTC) + timedelta(seconds=30)
        while (fresh := collector.remaining(budget, max_age_s=0)).spent_usd < 6 * COST:
            assert datetime.now(UTC) < deadline
        assert fresh.spent_usd == 6 * COST
        assert fresh.as_of > before.as_of


def test_a_store_that_is_down_costs_no_exactness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process records goes on being counted, and the view is as old as it says."""
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("aicore_obs.reading.FLUSH_TIMEOUT_S", 0.2)
    path = tmp_path / "some.db"
    with LlmOperationCollector(db_url=f"sqlite:///{path}", prices=PRICES) as collector:
        budget = Budget(1)
        before = collector.remaining(budget)
        with _locked(path):
            for count in range(1, 4):
                record(collector)
                state = collector.remaining(budget, max_age_s=0)
                assert (state.spent_usd, state.as_of) == (count * COST, before.as_of)
        assert collector.flush()
        assert collector.remaining(budget, max_age_s=0).spent_usd == 3 * COST


def _locked(path: Path) -> Any:
    """Hold SQLite's write lock."""
    import contextlib
    import sqlite3

    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    stack = contextlib.ExitStack()
    stack.callback(connection.close)
    stack.callback(connection.execute, "ROLLBACK")
    return stack


def test_budgets_of_the_same_values_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who makes one for each question does not grow; and of very many, those asked for last are counted along."""
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("aicore_obs.budgets.MAX_WATCHED", 3)
    with LlmOperationCollector(storage_path=tmp_path / "some.jsonl", prices=PRICES) as collector:
        for number in range(1, 4):
            for user in range(5):
                state = collector.remaining(Budget("1", scope={"user_id": f"u-{user}"}))
                assert state.spent_usd == (number - 1) * COST
                record(collector, user_id=f"u-{user}")
        assert len(collector._spending._watches) == 3


def test_sums_are_exact_in_any_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An application may calculate with two digits, or forbid rounding."""
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    rows = [{"provider": "acme", "model": "acme-1", "input_mtok": "1.2345678901", "output_mtok": "0"}]
    with decimal.localcontext(prec=2) as context:
        context.traps[decimal.Inexact] = context.traps[decimal.Rounded] = True
        with LlmOperationCollector(storage_path=tmp_path / "some.jsonl", prices=rows) as collector:
            budget = Budget("100.00")
            collector.remaining(budget)
            for _ in range(10):
                record(collector)
            state = collector.remaining(budget)
            assert str(state.spent_usd) == "0.012345678900"
            assert str(state.remaining_usd) == "99.987654321100"


def test_a_new_window_begins_however_old_an_answer_may_be(
    place: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was spent yesterday forbids nothing today; and when the clock is put back, yesterday's is there again."""
    clock = timedelta()
    monkeypatch.setattr("aicore_obs.budgets.utc_now", lambda: datetime.now(UTC) + clock)
    with LlmOperationCollector(**place) as collector:
        budget = Budget("0.01", per="month")
        record(collector)
        assert not collector.remaining(budget, max_age_s=NEVER)
        clock = timedelta(days=40)
        following = collector.remaining(budget, max_age_s=NEVER)
        assert following
        assert following.window.start > datetime.now(UTC)
        clock = timedelta()
        assert collector.remaining(budget, max_age_s=NEVER).spent_usd == COST


class _Sink:
    """An application's own, which nobody can read."""

    name = "own"

    async def open(self) -> None:
        """Open nothing."""

    async def write(self, batch: Batch) -> None:
        """Keep nothing."""

    async def aclose(self) -> None:
        """Close nothing."""


def test_a_collector_without_a_store_has_no_budgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no matter of other databases that are open, and only the question raises."""
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    first, second = (LlmOperationCollector(db_url=f"sqlite:///{tmp_path}/{name}.db") for name in ("a", "b"))
    with first, second, LlmOperationCollector(sinks=[_Sink()]) as collector:
        record(collector)
        with pytest.raises(ConfigurationError, match="a budget needs a store"):
            collector.remaining(Budget("1"))
