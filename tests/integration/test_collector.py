"""This module is where a collector is used as its users do: stores, settings, doors, reading, misuse."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import trio

import aicore_obs
import aicore_obs.default
from aicore_obs import ConfigurationError, LlmOperationCollector, bind, suppress
from aicore_obs.errors import StoreNotFoundError, UnknownParameterError
from aicore_obs.model.events import Flag
from aicore_obs.model.frame_columns import FRAME_COLUMNS
from aicore_obs.model.ids import new_id, utc_now
from aicore_obs.model.record import CODEC_VERSION
from tests.databases import NEWEST

CALL: dict[str, Any] = {"model": "gpt-4", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0.7}
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "model": "gpt-4-0613",
    "choices": [{"message": {"content": "Hi there!"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("DB_URL", "STORAGE_PATH", "ENABLED", "CAPTURE_CONTENT", "MIGRATE", "FILE_MODE"):
        monkeypatch.delenv(f"AICORE_OBS_{name}", raising=False)
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    yield
    default = aicore_obs.default._default
    if default.collector is not None:
        default.collector.close()
        default.collector, default.make = None, LlmOperationCollector


# -- stores and settings -------------------------------------------------------------------------------------------


def test_without_arguments_it_writes_a_database_in_the_working_directory(tmp_path: Path) -> None:
    """One line to start: ``./aicore_obs.db``, for the owner only."""
    with LlmOperationCollector() as collector:
        operation_id = collector.record_completion(CALL, provider="openai", response=ANSWER, latency_ms=1200)
        frame = collector.polars_from_db()
    assert frame["operation_id"].to_list() == [operation_id]
    assert (tmp_path / "aicore_obs.db").stat().st_mode & 0o777 == 0o600
    assert frame.columns == list(FRAME_COLUMNS)
    assert frame.row(0, named=True) | {"timestamp": None} == frame.row(0, named=True) | {
        "timestamp": None,
        "model": "gpt-4",
        "response_model": "gpt-4-0613",
        "response_id": "chatcmpl-1",
        "finish_reason": "stop",
        "status": "ok",
        "temperature": 0.7,
        "input_tokens": 10,
        "cache_read_tokens": None,
        "output_tokens": 5,
        "total_tokens": 15,
        "usage_source": "openai",
        "cost_usd": Decimal("0.0006"),
        "cost_source": "genai-prices",
        "cost_reason": None,
        "response_text": "Hi there!",
    }


def test_both_stores_are_written_when_both_are_given() -> None:
    """The same ids in the file and in the database."""
    with LlmOperationCollector("calls.json", "sqlite:///calls.db") as collector:
        ids = [collector.record_completion(CALL) for _ in range(3)]
        assert collector.flush()
        assert collector.polars_from_db()["operation_id"].to_list() == ids
    assert LlmOperationCollector.polars_from_file("calls.json")["operation_id"].to_list() == ids
    assert [one["id"] for one in json.loads(Path("calls.json").read_text())] == ids


def test_the_environment_names_the_stores_and_an_argument_overrides_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """``AICORE_OBS_DB_URL`` and ``AICORE_OBS_STORAGE_PATH`` count only where no store is given."""
    monkeypatch.setenv("AICORE_OBS_DB_URL", "sqlite:///env.db")
    monkeypatch.setenv("AICORE_OBS_STORAGE_PATH", "env.jsonl")
    with LlmOperationCollector() as collector:
        assert [one.kind for one in collector.addresses] == ["jsonl", "sqlite"]
        collector.record_completion(CALL)
    assert LlmOperationCollector.polars_from_db().height == 1
    with LlmOperationCollector("mine.json") as collector:
        assert [one.kind for one in collector.addresses] == ["json"]


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_switched_off_it_does_nothing(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file, no thread, no id, and every call works."""
    if how == "environment":
        monkeypatch.setenv("AICORE_OBS_ENABLED", "0")
    before = threading.active_count()
    with LlmOperationCollector(**({"enabled": False} if how == "argument" else {})) as collector:
        assert collector.record_completion(CALL) is None
        with collector.operation(CALL) as operation:
            operation.response = ANSWER
        assert collector.flush()
    assert threading.active_count() == before
    assert list(tmp_path.iterdir()) == []


def test_content_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """``AICORE_OBS_CAPTURE_CONTENT=0`` keeps the numbers and no text."""
    monkeypatch.setenv("AICORE_OBS_CAPTURE_CONTENT", "0")
    with LlmOperationCollector("calls.jsonl") as collector:
        collector.record_completion(CALL, provider="openai", response=ANSWER)
    text = Path("calls.jsonl").read_text()
    assert "Hello" not in text
    assert "Hi there" not in text
    row = LlmOperationCollector.polars_from_file("calls.jsonl").row(0, named=True)
    assert (row["model"], row["total_tokens"], row["finish_reason"]) == ("gpt-4", 15, "stop")


# -- recording -----------------------------------------------------------------------------------------------------


def test_it_records_from_threads_tasks_and_loops() -> None:
    """One collector, before, inside and after asyncio and trio, and from threads."""
    with LlmOperationCollector("calls.jsonl") as collector:
        ids = [collector.record_completion(CALL)]

        async def one() -> None:
            ids.append(await collector.arecord_completion(CALL))
            ids.append(collector.record_completion(CALL))

        asyncio.run(one())
        trio.run(one)
        thread = threading.Thread(target=lambda: ids.append(collector.record_completion(CALL)))
        thread.start()
        thread.join()
        assert collector.flush()
        assert LlmOperationCollector.polars_from_file("calls.jsonl")["operation_id"].to_list() == ids
        assert len(set(ids)) == 6


def test_an_unknown_parameter_raises_and_lists_the_right_ones() -> None:
    """It is the only thing that raises."""
    with LlmOperationCollector() as collector:
        with pytest.raises(UnknownParameterError, match=r"sesion_id.*session_id"):
            collector.record_completion(CALL, sesion_id="s")  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="extras"):
            asyncio.run(collector.arecord_completion(CALL, colour="red"))  # type: ignore[call-arg]
        assert collector.stats().accepted == 0


def test_odd_values_are_kept_marked_and_counted() -> None:
    """They come after a call that was paid for."""
    with LlmOperationCollector() as collector:
        collector.record_completion(CALL, latency_ms=-5)
        collector.record_completion(CALL, latency_ms="soon", timestamp="yesterday", tags=3)  # type: ignore[arg-type]
        collector.record_completion(None, 7, 8, object())  # type: ignore[arg-type]
        frame = collector.polars_from_db()
        assert frame.height == 3
        assert frame["latency_ms"].to_list() == [-5.0, None, None]
        assert collector.stats().odd == 3


def test_an_operation_is_timed_and_its_error_goes_on() -> None:
    """Sync: response, latency, time to first token; an exception is recorded with its stack and raised again."""
    with LlmOperationCollector() as collector:
        with collector.operation(CALL, provider="openai", session_id="s") as operation:
            operation.first_token()
            operation.response = ANSWER
            operation.extras["attempt"] = 2
        with pytest.raises(ZeroDivisionError), collector.operation(CALL):
            raise ZeroDivisionError("by nothing")
        frame = collector.polars_from_db()
    good, bad = frame.rows(named=True)
    assert good["operation_id"] == operation.id
    assert good["latency_ms"] >= good["time_to_first_token_ms"] >= 0
    assert good["extras"] == {"attempt": 2}
    assert (bad["status"], bad["error_type"], bad["error_message"]) == ("error", "ZeroDivisionError", "by nothing")
    assert "test_collector.py" in bad["error_stack"]


def test_an_operation_keeps_its_arguments_as_they_were(tmp_path: Path) -> None:
    """What the block appends to its messages belongs to the next call."""
    messages = [{"role": "user", "content": "first"}]
    with LlmOperationCollector() as collector:
        with collector.operation({"model": "m", "messages": messages}):
            messages.append({"role": "user", "content": "second"})
        (kept,) = collector.polars_from_db()["completion_args"]
    assert json.loads(kept)["messages"] == [{"role": "user", "content": "first"}]


def test_a_cancelled_operation_is_recorded_and_stays_cancelled() -> None:
    """Async: cancellation is an error of the operation and is not swallowed."""

    async def main(collector: LlmOperationCollector) -> bool:
        started = asyncio.Event()

        async def call() -> None:
            async with collector.operation(CALL):
                started.set()
                await asyncio.sleep(60)

        task = asyncio.ensure_future(call())
        await started.wait()
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        return isinstance(outcome, asyncio.CancelledError)

    with LlmOperationCollector() as collector:
        assert asyncio.run(main(collector))
        assert collector.polars_from_db(status="error")["error_type"].to_list() == ["CancelledError"]


def test_a_bound_context_is_carried_by_every_record_inside() -> None:
    """Blocks nest, labels add up, an explicit value wins, tasks keep their own, a plain thread has none."""
    with LlmOperationCollector() as collector:
        with bind(session_id="outer", labels={"team": "a"}, user_id="u"):
            with bind(session_id="inner", labels={"app": "b"}):
                collector.record_completion(CALL)
                collector.record_completion(CALL, session_id="own")
            collector.record_completion(CALL)
            contextvars.copy_context().run(collector.record_completion, CALL)
            thread = threading.Thread(target=collector.record_completion, args=(CALL,))
            thread.start()
            thread.join()

        async def of(user: str) -> None:
            async with bind(user_id=user):
                await asyncio.sleep(0)
                await collector.arecord_completion(CALL, session_id=user)

        async def both() -> None:
            await asyncio.gather(of("x"), of("y"))

        asyncio.run(both())
        with suppress():
            assert collector.record_completion(CALL) is None
        rows = collector.polars_from_db().rows(named=True)
    assert [row["session_id"] for row in rows[:5]] == ["inner", "own", "outer", "outer", None]
    assert rows[0]["labels"] == {"app": "b", "team": "a"}
    assert {row["session_id"]: row["user_id"] for row in rows[5:]} == {"x": "x", "y": "y"}


def test_a_second_agent_of_a_session_is_not_filed_under_the_first() -> None:
    """Session, agent and action are three things."""
    with LlmOperationCollector() as collector:
        for agent in ("planner", "writer"):
            collector.record_completion(CALL, session_id="../../etc", agent_id=agent, action_id="a/b")
        assert collector.polars_from_db(agent_id="writer")["session_id"].to_list() == ["../../etc"]
        assert collector.polars_from_db(session_id="../../etc").height == 2


# -- the default collector -----------------------------------------------------------------------------------------


def test_the_default_collector_is_configured_once_and_replaced_whole() -> None:
    """``configure`` closes the one before; a closed default is made again as it was asked for."""
    first = aicore_obs.configure("first.jsonl")
    assert aicore_obs.get_collector() is first
    first.record_completion(CALL)
    second = aicore_obs.configure("second.jsonl")
    assert first.is_closed
    assert LlmOperationCollector.polars_from_file("first.jsonl").height == 1
    second.close()
    third = aicore_obs.get_collector()
    assert third is not second
    assert third.addresses == second.addresses


# -- reading -------------------------------------------------------------------------------------------------------


def test_the_class_reads_the_one_open_database() -> None:
    """Else the environment's, else ``./aicore_obs.db``; several open ones are an error that names them."""
    with pytest.raises(StoreNotFoundError, match=r"aicore_obs\.db"):
        LlmOperationCollector.polars_from_db()
    with LlmOperationCollector(db_url="sqlite:///one.db") as one:
        one.record_completion(CALL)
        assert LlmOperationCollector.polars_from_db().height == 1
        with LlmOperationCollector(db_url="sqlite:///two.db") as two:
            with pytest.raises(ConfigurationError, match=r"one\.db.*two\.db"):
                LlmOperationCollector.polars_from_db()
            assert two.polars_from_db().height == 0
            assert LlmOperationCollector.polars_from_db("sqlite:///one.db").height == 1
    assert not Path("aicore_obs.db").exists()


def test_one_reads_ones_own_writes_inside_a_running_loop() -> None:
    """Eager and lazy, sync calls in an async program."""

    async def main() -> tuple[int, list[str]]:
        async with LlmOperationCollector() as collector:
            for model in ("a", "b", "b"):
                await collector.arecord_completion({"model": model})
            lazy = collector.scan_db(model="b").filter(pl.col("status") == "ok").select("model")
            return collector.polars_from_db().height, lazy.collect()["model"].to_list()

    assert asyncio.run(main()) == (3, ["b", "b"])


def test_flagged_operations_are_found() -> None:
    """A flag is a record on the road; a reader folds it, whatever the store."""
    with LlmOperationCollector("calls.jsonl", "sqlite:///calls.db") as collector:
        ids = [str(collector.record_completion(CALL)) for _ in range(3)]
        common: dict[str, Any] = {"timestamp": utc_now(), "v": CODEC_VERSION}
        for some, active in ((ids[:2], True), (ids[:1], False)):
            collector.record(Flag(id=new_id(), operation_ids=tuple(some), reason="training", active=active, **common))
        assert collector.flush()
        for frame in (
            collector.polars_from_db(flagged_for="training"),
            LlmOperationCollector.polars_from_file("calls.jsonl", flagged_for="training"),
        ):
            assert frame["operation_id"].to_list() == [ids[1]]


# -- schema --------------------------------------------------------------------------------------------------------


def test_the_schema_is_made_by_hand_too() -> None:
    """create_tables, get_schema_version, migrate_schema and their twins; harmless to repeat."""
    with LlmOperationCollector() as collector:
        assert collector.get_schema_version() == 0
        assert not Path("aicore_obs.db").exists()
        collector.create_tables()
        assert collector.get_schema_version() == collector.migrate_schema() == NEWEST

        async def twins() -> list[int]:
            await collector.acreate_tables()
            return [await collector.aget_schema_version(), await collector.amigrate_schema()]

        assert asyncio.run(twins()) == [NEWEST] * 2
    with LlmOperationCollector("calls.json") as collector, pytest.raises(ConfigurationError, match="no database"):
        collector.get_schema_version()


def test_migrate_never_keeps_records_and_says_so() -> None:
    """Without a schema nothing is written, nothing is lost, and the way out is named."""
    with LlmOperationCollector(migrate="never") as collector:
        collector.record_completion(CALL)
        assert not collector.flush(timeout_s=1)
        (sink,) = collector.stats().sinks.values()
        assert "aicore-obs migrate" in str(sink.last_error)
        collector.create_tables()
        assert collector.flush()
        assert collector.polars_from_db().height == 1
