"""This module is where collectors share one road, end one by one, and say at once what they cannot be made of."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from aicore_obs import ConfigurationError, LlmOperationCollector, bind
from aicore_obs.assembly import CollectorOptions
from aicore_obs.errors import UnknownParameterError
from aicore_obs.model.record import Record
from aicore_obs.protocols import Batch

CALL: dict[str, Any] = {"model": "gpt-4", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DB_URL", "STORAGE_PATH", "ENABLED", "CAPTURE_CONTENT", "MIGRATE", "FILE_MODE"):
        monkeypatch.delenv(f"AICORE_OBS_{name}", raising=False)
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self, name: str = "kept") -> None:
        self.name = name
        self.records: list[Record] = []

    async def open(self) -> None:
        return

    async def write(self, batch: Batch) -> None:
        self.records += batch.records

    async def aclose(self) -> None:
        return


def writers() -> int:
    """Return how many writers' threads there are."""
    return sum("writer" in thread.name for thread in threading.enumerate())


# -- sharing -------------------------------------------------------------------------------------------------------


def test_collectors_of_one_store_share_one_road() -> None:
    """One journal, one thread, one count; each closes on its own, and the last one ends the thread."""
    before = writers()
    first = LlmOperationCollector(db_url="sqlite:///a.db")
    second = LlmOperationCollector(db_url="sqlite:///./a.db", capture_content=False)
    ids = [first.record_completion(CALL), second.record_completion(CALL)]
    assert writers() == before + 1
    assert first.stats().accepted == second.stats().accepted == 2

    assert first.close()
    ids.append(second.record_completion(CALL))
    assert second.polars_from_db()["operation_id"].to_list() == ids
    assert writers() == before + 1
    assert second.close()
    assert writers() == before


def test_projects_and_redaction_are_each_collectors_own() -> None:
    """What is shared is the way, not the words."""
    with (
        LlmOperationCollector("a.jsonl", project="one") as one,
        LlmOperationCollector("a.jsonl", project="two", redact=lambda content: {}) as two,
        LlmOperationCollector("a.jsonl") as three,
    ):
        for collector in (one, two, three):
            collector.record_completion(CALL)
    frame = LlmOperationCollector.polars_from_file("a.jsonl", order="asc").sort("operation_id")
    assert frame["project"].to_list() == ["one", "two", None]
    assert [text is None or "Hello" in text for text in frame["completion_args"]] == [True, True, True]
    assert frame["completion_args"].null_count() == 1


def test_sinks_that_are_objects_are_not_taken_for_each_other() -> None:
    """Two objects of one name are two sinks in one process: each collector writes to its own."""
    one, two = Kept(), Kept()
    with LlmOperationCollector(sinks=[one]) as first, LlmOperationCollector(sinks=[two]) as second:
        first_id, second_id = first.record_completion(CALL), second.record_completion(CALL)
    assert [record.id for record in one.records] == [first_id]
    assert [record.id for record in two.records] == [second_id]


def test_an_object_is_a_sink_beside_a_store() -> None:
    """Both get every record."""
    kept = Kept()
    with LlmOperationCollector("a.json", sinks=[kept, "sqlite:///b.db", Path("c.jsonl")]) as collector:
        operation_id = collector.record_completion(CALL)
        assert collector.flush()
        assert len(collector.stats().sinks) == 4
    assert [record.id for record in kept.records] == [operation_id]
    for frame in (
        LlmOperationCollector.polars_from_file("a.json"),
        LlmOperationCollector.polars_from_file("c.jsonl"),
        LlmOperationCollector.polars_from_db("sqlite:///b.db"),
    ):
        assert frame["operation_id"].to_list() == [operation_id]


def test_a_collector_that_nobody_holds_loses_nothing() -> None:
    """It was not closed and is gone; what it had accepted is stored."""
    operation_id = LlmOperationCollector(db_url="sqlite:///a.db").record_completion(CALL)
    gc.collect()
    assert LlmOperationCollector.polars_from_db("sqlite:///a.db")["operation_id"].to_list() == [operation_id]


# -- around event loops --------------------------------------------------------------------------------------------


def test_a_loop_that_ends_at_once_loses_nothing() -> None:
    """20 tasks record on a new session, and the program's loop is gone before anything is written."""
    with LlmOperationCollector() as collector:

        async def main() -> list[str | None]:
            async with bind(session_id="new"):
                return await asyncio.gather(*(collector.arecord_completion(CALL) for _ in range(20)))

        ids = asyncio.run(main())
        assert sorted(collector.polars_from_db(session_id="new")["operation_id"]) == sorted(filter(None, ids))
    assert len(set(ids)) == 20


def test_threads_lose_nothing() -> None:
    """4 threads record 25 each."""
    with LlmOperationCollector("a.json") as collector:
        threads = [
            threading.Thread(target=lambda: [collector.record_completion(CALL) for _ in range(25)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert LlmOperationCollector.polars_from_file("a.json")["operation_id"].n_unique() == 100


@pytest.mark.parametrize("run", [asyncio.run, trio.run], ids=["asyncio", "trio"])
def test_async_forms(run: Any) -> None:
    """``async with``, aflush, aclose and the async operation work under both."""

    async def main() -> Any:
        async with LlmOperationCollector(db_url="sqlite:///a.db") as collector:
            async with collector.operation(CALL, "embedding", "openai", session_id="s") as call:
                call.response = {"id": "r"}
            assert (await collector.aflush()).stored == 1
            await collector.arecord_completion(CALL)
        second = LlmOperationCollector(db_url="sqlite:///a.db")
        await second.arecord_completion(CALL)
        assert await second.aclose()
        return call.id

    operation_id = run(main) if run is trio.run else run(main())
    rows = LlmOperationCollector.polars_from_db("sqlite:///a.db").rows(named=True)
    assert len(rows) == 3
    assert (rows[0]["operation_id"], rows[0]["operation_type"], rows[0]["response_id"]) == (
        operation_id,
        "embedding",
        "r",
    )


# -- the timed operation -------------------------------------------------------------------------------------------


def test_a_misspelt_parameter_of_an_operation_raises_before_the_call() -> None:
    """Not after it, when the answer was paid for and would be lost."""
    with LlmOperationCollector() as collector, pytest.raises(UnknownParameterError, match="sesion_id"):
        collector.operation(CALL, sesion_id="s")  # type: ignore[call-arg]


def test_what_is_said_by_hand_counts() -> None:
    """A latency, an error or a response that is given stands."""
    with LlmOperationCollector("a.jsonl") as collector:
        with collector.operation(CALL, latency_ms=5.0, response="given") as call:  # type: ignore[call-arg]
            call.error = "quota exceeded"
        with collector.operation(CALL, error="given", extras=[1]):  # type: ignore[arg-type]
            pass
    first, second = LlmOperationCollector.polars_from_file("a.jsonl").rows(named=True)
    assert (first["latency_ms"], first["response"], first["error_message"]) == (5.0, '"given"', "quota exceeded")
    assert (second["error_message"], second["extras"]["value"]) == ("given", "[1]")


def test_the_exception_of_the_block_is_never_replaced() -> None:
    """Not even where recording itself would raise: a journal at its cap, under overflow="raise"."""
    with (
        LlmOperationCollector("a.jsonl", overflow="raise", journal_max_bytes=1) as collector,
        pytest.raises(KeyError, match="mine"),
        collector.operation(CALL) as call,
    ):
        raise KeyError("mine")
    assert call.id is None


def test_the_exception_of_the_block_is_not_held() -> None:
    """Its frames, and what they hold, are free as soon as the program lets go of them."""

    class Big:
        pass

    def fail(collector: LlmOperationCollector) -> None:
        big = Big()
        with collector.operation({"n": id(big)}):
            raise ValueError

    gc.collect()
    gc.disable()
    try:
        with LlmOperationCollector("a.jsonl") as collector:
            with contextlib.suppress(ValueError):
                fail(collector)
            assert not [one for one in gc.get_objects() if isinstance(one, Big)]
    finally:
        gc.enable()


# -- switched off, misused -----------------------------------------------------------------------------------------


def test_switched_off_every_question_has_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that asks for numbers works without recording too."""
    monkeypatch.setenv("AICORE_OBS_ENABLED", "0")
    collector = LlmOperationCollector("a.json")
    stats = collector.stats()
    assert (stats.offered, stats.accepted, stats.refused, stats.sinks) == (0, 0, {}, {})
    assert asyncio.run(collector.arecord_completion(CALL)) is None
    assert collector.offer_completion(CALL) is None
    assert collector.close()
    assert collector.close()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"project": 5}, "project=5"),
    ({"redact": "hide"}, "redact='hide'"),
    ({"capture_content": "no"}, "capture_content='no'"),
    ({"capture_media": "yes"}, "capture_media='yes'"),
    ({"max_content_bytes": 100}, "max_content_bytes=100"),
    ({"max_content_bytes": "long"}, "max_content_bytes='long'"),
    ({"content_sample_rate": 2}, "content_sample_rate=2"),
    ({"content_sample_rate": "half"}, "content_sample_rate='half'"),
    ({"enabled": 0}, "enabled=0"),
    ({"processors": [5]}, "processors"),
    ({"processors": len}, "processors"),
    ({"sinks": "a.json"}, "sinks='a.json'"),
    ({"batch_interval_s": "soon"}, "batch_interval_s='soon'"),
    ({"batch_interval_s": -1}, "batch_interval_s=-1"),
    ({"write_timeout_s": float("nan")}, "write_timeout_s=nan"),
    ({"block_timeout_s": True}, "block_timeout_s=True"),
    ({"db_schema": ""}, "db_schema=''"),
    ({"db_schema": 5}, "db_schema=5"),
    ({"journal_dir": 5}, "journal_dir=5"),
    ({"storage_path": 5}, "storage_path=5"),
    ({"db_url": 5}, "db_url='5'"),
]


@pytest.mark.parametrize(("options", "said"), WRONG, ids=lambda one: str(one)[:40])
def test_options_of_the_wrong_type_are_named(options: dict[str, Any], said: str) -> None:
    """At once, in the constructor, and not by records that cannot be read later."""
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        LlmOperationCollector(**options)
    assert list(Path().iterdir()) == []


def test_options_of_none_are_as_good_as_not_given() -> None:
    """A program may pass its own settings through, set or not."""
    names = [*CollectorOptions.__annotations__, "storage_path", "db_url"]
    with LlmOperationCollector(**dict.fromkeys(names)) as collector:  # type: ignore[arg-type]
        assert collector.record_completion(CALL) is not None
    assert Path("aicore_obs.db").exists()
