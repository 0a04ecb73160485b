"""This module is where it is checked that an answer recorded by hand joins the instrumented call that got it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aicore_obs
from aicore_obs import Budget, LlmOperationCollector
from aicore_obs.observer import observer
from tests import sdk_calls as calls
from tests.model_server import ModelServer, model_server
from tests.observed import exported, observing

COLUMNS = ["operation_id", "total_tokens", "labels", "user_id", "stream_state", "api"]
CREATE = "chat.completions.create"


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture
def collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmOperationCollector]:
    with observing(tmp_path, monkeypatch) as found:
        aicore_obs.instrument()
        yield found


def asked(server: ModelServer, **options: Any) -> Any:
    """Return the SDK's own answer to one call."""
    with calls.openai_client(server) as client:
        answer = client.chat.completions.create(**{**calls.CHAT, **options})
        return list(answer) if options.get("stream") else answer


USAGE = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize("options", [{}, USAGE], ids=["answer", "stream"])
def test_a_manual_record_joins_the_instrumented_call(
    server: ModelServer, collector: LlmOperationCollector, options: dict[str, Any]
) -> None:
    """One operation, billed once, measured and labelled; before it was delivered and after."""
    for number, deliver in enumerate((False, True)):
        answer = asked(server, **options)
        if deliver:
            assert collector.flush()
        joined = collector.record_completion(calls.CHAT, "completion", "openai", answer, user_id=f"u-{number}")
        rows = collector.polars_from_db(user_id=f"u-{number}", columns=COLUMNS).rows()
        assert rows == [(joined, 13, None, f"u-{number}", "complete" if options else None, CREATE)]
    assert collector.polars_from_db().height == 2


def test_what_was_said_twice_adds_up(server: ModelServer, collector: LlmOperationCollector) -> None:
    """By the body, by extras, in a block, async: labels of each; and budgets count the call once."""
    answer = asked(server)
    budget = Budget("10", per="month")
    before = collector.remaining(budget).spent_usd
    said: dict[str, Any] = {"provider": "openai"}
    ids = {
        collector.record_completion({}, response=answer.model_dump(), labels={"a": "1"}, **said),
        collector.record_completion({}, extras={"response_id": answer.id}, labels={"b": "2"}, **said),
        asyncio.run(collector.arecord_completion({}, response=answer, labels={"c": "3"}, **said)),
    }
    with collector.operation({}, **said, labels={"d": "4"}) as call:
        call.response = answer
    (row,) = collector.polars_from_db(columns=COLUMNS).rows(named=True)
    assert ids == {row["operation_id"]}
    assert row["labels"] == {"a": "1", "b": "2", "c": "3", "d": "4"}
    assert collector.remaining(budget).spent_usd == before > 0
    assert collector.stats().accepted == 5


def test_what_is_not_the_same_answer_stays_apart(server: ModelServer, collector: LlmOperationCollector) -> None:
    """Another id, another provider, another collector; and two calls that were seen never join each other."""
    answer = asked(server)
    body = answer.model_dump()
    collector.record_completion({}, "completion", "openai", {**body, "id": "another"})
    collector.record_completion({}, "completion", "anthropic", body)
    asked(server)
    assert collector.polars_from_db().height == 4


def test_records_by_hand_alone_never_join(collector: LlmOperationCollector) -> None:
    """Without an instrumented call every record is an operation, whatever its ids."""
    for _ in range(3):
        collector.record_completion({}, "completion", "openai", {"id": "r-1"})
    assert collector.polars_from_db().height == 3


def test_the_export_has_the_call_once(server: ModelServer, collector: LlmOperationCollector) -> None:
    """A session's events are what was seen."""
    observer.observe()
    answer = asked(server)
    collector.record_completion(calls.CHAT, "completion", "openai", answer)
    observer.end()
    (event,) = exported()["events"]
    assert event["operation_id"] == collector.polars_from_db(columns=["operation_id"]).item()
