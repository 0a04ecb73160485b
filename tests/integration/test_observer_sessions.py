"""This module is where sessions are tested as users have them: nested, concurrent, in threads, relabelled, exported."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import aicore_obs
from aicore_obs.errors import NotOpenError
from aicore_obs.observer import CallableExporter, CompositeExporter, FileExporter, observe, observer, sessions
from tests.databases import Database
from tests.observed import exported, observing
from tests.records import outside


@pytest.fixture(autouse=True)
def collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[aicore_obs.LlmOperationCollector]:
    with observing(tmp_path, monkeypatch) as collector:
        yield collector


@observe
def step(number: int = 0) -> int:
    return number


def test_observe_returns_the_sessions_id() -> None:
    """The id is that of the export's session, and everything recorded inside has it."""
    session_id = observer.observe("mine")
    assert observer.session_id == session_id
    aicore_obs.get_collector().record_completion({"model": "gpt-4o"})
    step()
    observer.end()
    aicore_obs.get_collector().record_completion({"model": "gpt-4o"})

    frame = aicore_obs.LlmOperationCollector.polars_from_db()
    assert frame["session_id"].to_list() == [session_id, None]
    export = exported()
    assert [one["id"] for one in export["sessions"]] == [session_id]
    assert [one["session_id"] for one in export["function_events"]] == [session_id]


def test_sessions_nest() -> None:
    """Ending the inner one restores the outer one, with its labels."""
    outer = observer.observe(labels={"team": "outer"})
    inner = observer.observe(labels={"team": "inner"})
    assert observer.session_id == inner != outer
    observer.end()
    assert observer.session_id == outer
    assert observer.get_labels()["team"] == "outer"
    observer.end()
    assert observer.session_id is None
    observer.end()  # harmless


def test_a_hand_made_record_has_the_labels_of_its_session() -> None:
    """Labels of the session are on what is recorded inside of it, as they are at that time; system labels are not."""
    observer.observe(labels={"team": "a"})
    collector = aicore_obs.get_collector()
    collector.record_completion({})
    observer.add_label("team", "b")
    collector.record_completion({})
    observer.end()
    collector.record_completion({})
    frame = collector.polars_from_db()
    assert [row and row["team"] for row in frame["labels"].to_list()] == ["a", "b", None]
    assert len(frame["labels"].struct.fields) == 1


def test_labels_without_a_session() -> None:
    """The verbs of labels need a session, and say what to call."""
    for verb in (lambda: observer.add_label("a", "b"), observer.get_labels, lambda: observer.remove_label("a")):
        with pytest.raises(NotOpenError, match=r"observer\.observe\(\)"):
            verb()


def test_a_bad_label_changes_nothing() -> None:
    """One bad label among good ones: none is set, no session is opened."""
    with pytest.raises(ValueError, match="aiobs_"):
        observer.observe(labels={"team": "a", "aiobs_os": "x"})
    assert observer.session_id is None
    observer.observe(labels={f"k{number}": "x" for number in range(64)})
    before = observer.get_labels()
    with pytest.raises(ValueError, match="65 labels"):
        observer.add_label("one_more", "x")
    with pytest.raises(ValueError, match="system"):
        observer.remove_label("aiobs_os")
    assert observer.get_labels() == before


def test_concurrent_requests_do_not_share_a_session() -> None:
    """Tasks that open sessions side by side each keep their own, labels included."""

    async def request(number: int, together: asyncio.Barrier) -> None:
        mine = observer.observe(f"request {number}", labels={"number": str(number)})
        async with together:
            await asyncio.sleep(0)
        assert observer.session_id == mine
        assert observer.get_labels()["number"] == str(number)
        step(number)
        observer.end()

    async def serve() -> None:
        together = asyncio.Barrier(20)
        await asyncio.gather(*(request(number, together) for number in range(20)))

    asyncio.run(serve())
    export = exported()
    names = {one["id"]: one["name"] for one in export["sessions"]}
    assert sorted(names[one["session_id"]] for one in export["function_events"]) == sorted(
        f"request {number}" for number in range(20)
    )
    assert all(names[one["session_id"]] == f"request {one['args'][0]}" for one in export["function_events"])


def test_a_plain_thread_falls_to_the_main_threads_session() -> None:
    """A thread without a session records into the open one of the main thread, and has its own where it opens one."""
    mine = observer.observe()
    assert outside(lambda: observer.session_id) == mine
    outside(step)

    def other() -> str | None:
        theirs = observer.observe()
        step()
        observer.end()
        return theirs

    theirs = outside(other)
    assert theirs != mine
    observer.end()
    assert outside(lambda: observer.session_id) is None
    assert [one["session_id"] for one in exported()["function_events"]] == [mine, theirs]


def test_a_plain_thread_takes_no_one_of_several_requests() -> None:
    """Where several requests have sessions side by side, a thread that belongs to none of them has none."""

    async def serve() -> list[str | None]:
        found: list[str | None] = []
        together = asyncio.Barrier(2)

        async def request() -> None:
            observer.observe()
            async with together:
                found.append(outside(lambda: observer.session_id))
            await together.wait()
            observer.end()

        await asyncio.gather(request(), request())
        return found

    assert asyncio.run(serve()) == [None, None]


def test_a_carried_function_runs_in_the_span_and_session_of_its_maker() -> None:
    """Threads of an executor continue the trace where the function was carried over."""

    @observe
    def parent(pool: ThreadPoolExecutor) -> list[int]:
        return list(pool.map(observer.carried(step), range(4)))

    with ThreadPoolExecutor(4) as pool:
        observer.observe()
        assert parent(pool) == [0, 1, 2, 3]
        observer.end()
    (root,) = exported()["trace_tree"]
    assert root["name"] == "parent"
    assert [child["name"] for child in root["children"]] == ["step"] * 4


def test_traceparent_goes_out_and_comes_in() -> None:
    """The header names the span that runs, and a span below a header is in its trace."""

    @observe
    def served() -> str | None:
        return observer.traceparent()

    header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert observer.traceparent() is None
    observer.observe()
    with observer.continued(header):
        out = served()
    for bad in (None, "", "00-0-0-0", header + "x", header.replace("00-", "ff-", 1), 7):
        with observer.continued(bad):  # type: ignore[arg-type]
            assert observer.traceparent() is None
    observer.end()
    (event,) = exported()["function_events"]
    assert (event["trace_id"], event["parent_span_id"]) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert out == f"00-{event['trace_id']}-{event['span_id']}-01"


def test_a_flush_covers_what_came_since_the_last_one() -> None:
    """An open session is in both exports, its events in one."""
    observer.observe()
    step(1)
    assert [one["args"] for one in exported()["function_events"]] == [[1]]
    step(2)
    observer.end()
    export = exported()
    assert [one["args"] for one in export["function_events"]] == [[2]]
    assert export["sessions"][0]["ended_at"] is not None
    assert exported()["sessions"] == []


def test_an_exporter_that_fails_costs_nothing() -> None:
    """The caller is told, and the next flush exports the same again."""
    observer.observe()
    step()
    observer.end()

    def fail(_: dict[str, Any]) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        observer.flush(exporter=CallableExporter(fail))
    assert len(exported()["function_events"]) == 1


def test_exporters(tmp_path: Path) -> None:
    """A composite hands the same to all, also where one of them fails, and says which."""
    observer.observe()
    step()
    observer.end()
    seen: list[dict[str, Any]] = []
    path = tmp_path / "deep" / "out.json"
    both = CompositeExporter(FileExporter(path), CallableExporter(seen.append))
    assert observer.flush(exporter=both) == [str(path), None]
    assert json.loads(path.read_text(encoding="utf-8"))["function_events"] == seen[0]["function_events"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["out.json"]

    with pytest.raises(ExceptionGroup):
        observer.flush(exporter=CompositeExporter(CallableExporter(lambda _: 1 / 0), CallableExporter(seen.append)))
    assert len(seen) == 2


def test_aflush_and_flush_on_a_loop() -> None:
    """Both verbs work where a loop runs."""

    async def main() -> None:
        observer.observe()
        step()
        observer.end()
        assert await observer.aflush("a.json") == "a.json"
        assert observer.flush("b.json") == "b.json"

    asyncio.run(main())
    assert len(json.loads(Path("a.json").read_text(encoding="utf-8"))["function_events"]) == 1


def test_changes_of_a_session_are_records(tmp_path: Path) -> None:
    """Opened, changed and ended are in the store, with labels and name."""
    session_id = observer.observe("mine", labels={"team": "a"})
    observer.set_labels({"team": "b"})
    observer.end()
    assert aicore_obs.get_collector().flush()
    database = Database(f"{tmp_path}/calls.db")
    rows = outside(database.execute, f"SELECT body FROM {database.name('records')} WHERE kind = 'scope' ORDER BY id")
    scopes = [json.loads(row[0]) for row in rows]
    assert [one["change"] for one in scopes] == ["opened", "changed", "ended"]
    assert {one["scope_id"] for one in scopes} == {session_id}
    assert [one["body"]["labels"]["team"] for one in scopes] == ["a", "b", "b"]


def test_what_is_kept_for_the_export_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound the export says how many events it lacks; the store has them."""
    monkeypatch.setattr(sessions, "MAX_KEPT_BYTES", 2000)
    observer.observe()
    for number in range(20):
        step(number)
    observer.end()
    export = exported()
    assert export["left_out"]["events"] + len(export["function_events"]) == 20
    assert export["left_out"]["events"] > 0


def test_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With AICORE_OBS_ENABLED=0 every verb does nothing."""
    monkeypatch.setenv("AICORE_OBS_ENABLED", "0")
    assert observer.observe(labels={"team": "a"}) is None
    observer.add_label("team", "b")
    assert observer.get_labels() == {}
    assert step(3) == 3
    observer.end()
    assert observer.flush() is None
    assert not Path("llm_observability.json").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_exports_its_own() -> None:
    """The child goes on in the session, and its export has nothing that the parent saw."""
    observer.observe()
    step(1)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        step(2)
        os.write(writer, json.dumps([one["args"] for one in exported()["function_events"]]).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader, "rb") as pipe:
        assert json.loads(pipe.read()) == [[2]]
    assert [one["args"] for one in exported()["function_events"]] == [[1]]


def test_reset_ends_and_clears() -> None:
    """After a reset no session is open, in no thread, and nothing is exported."""
    observer.observe()
    observer.observe()
    step()
    observer.reset()
    assert observer.session_id is None
    assert outside(lambda: observer.session_id) is None
    export = exported()
    assert (export["sessions"], export["function_events"]) == ([], [])
    assert threading.active_count() < 50
