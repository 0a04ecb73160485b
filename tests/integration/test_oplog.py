"""This module is where the oplog door is tested as users have it: saving, asking and flagging, on every store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from aicore_obs import FilterError, JournalFull, LlmOperationCollector, bind
from aicore_obs.oplog import Record, Tracer, close, configure, db, op, run
from tests.oplog_stores import ODD, backend, sqlite_tracer, tracer

__all__ = ["backend", "sqlite_tracer", "tracer"]
ANSWER = {
    "model": "gpt-4o-mini",
    "choices": [{"message": {"role": "assistant", "content": "Blue."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13},
}


def test_a_record_comes_back_as_it_was_given(tracer: Tracer) -> None:
    """Whatever its values hold, on every store; an input may be called model, too."""
    inputs = {"text": "a\x00b \ud800", "model": "own", "inputs.model": 1, "n": 2**70, "deep": [{"é": None}], "f": 0.5}
    outputs = {"label": "greeting", "scores": [0.95, 1], "nothing": None}
    saved = (
        tracer.op("classify")
        .model("setfit")
        .input(**inputs)
        .output(**outputs)
        .meta(note="x", n={"a": 1})
        .tags(*ODD)
        .save()
    )
    [found] = tracer.db.query()
    assert (found.id, found.project, found.operation, found.model) == (saved, "shop", "classify", "setfit")
    assert (found.inputs, found.outputs, found.meta) == (inputs, outputs, {"note": "x", "n": {"a": 1}})
    assert (found.tags, found.run_id, found.seq, found.flags) == (list(ODD), None, None, [])
    assert found.created_at.utcoffset() is not None
    assert tracer.db.get(found.id) == found


def test_tags_and_run_ids_match_exactly(tracer: Tracer) -> None:
    """Each odd word finds the operation that has it and no other, as tag, run, operation, model and reason."""
    ids = {}
    for word in ODD:
        with tracer.run(word):
            ids[word] = tracer.op(word).model(word).tags(word, "all").save()
    for word in ODD:
        for found in (
            tracer.db.query(tags=[word]),
            tracer.db.query(tags=["all", word]),
            tracer.db.query(run_id=word),
            tracer.db.query(word, model=word),
        ):
            assert [(one.id, one.run_id, one.seq) for one in found] == [(ids[word], word, 0)], word
        assert tracer.db.flag(run_id=word, reason=word, note=word) == 1
    for word in ODD:
        [found_one] = tracer.db.query(flagged_for=word)
        assert (found_one.id, found_one.flags, found_one.flags[0].note) == (ids[word], [word], word)
    assert len(tracer.db.query(tags=["all"])) == len(ODD)
    assert tracer.db.query(tags=["all", "none"]) == tracer.db.query(tags=["a_b", "axb"]) == []


def test_flags(tracer: Tracer) -> None:
    """Counts are of operations; several reasons stand side by side; ids and a run mean all of them, each once."""
    alone = tracer.op("alone").save()
    with tracer.run() as r:
        first, second = tracer.op("first").save(), tracer.op("second").save()
    assert alone
    assert tracer.db.flag(run_id=r.id, reason="training", note="one") == 2
    assert tracer.db.flag([alone, first, first, "nobody"], run_id=r.id, reason="review") == 3
    assert tracer.db.flag(alone, reason="training", note="two") == 1
    assert {one.id for one in tracer.db.query(flagged_for="training")} == {alone, first, second}
    [record] = tracer.db.query("first")
    assert record.flags == ["training", "review"]
    assert [(mark.reason, mark.note) for mark in record.flags] == [("training", "one"), ("review", None)]

    assert tracer.db.flag(tracer.db.query("first"), reason="training", note="new") == 1
    assert tracer.db.query("first")[0].flags[-1].note == "new"
    assert tracer.db.unflag(run_id=r.id, reason="training") == 2
    assert tracer.db.unflag(run_id=r.id, reason="training") == 0
    assert [one.id for one in tracer.db.query(flagged_for=["training", "nothing"])] == [alone]
    assert tracer.db.unflag([alone, first, second]) == 3
    assert tracer.db.query(flagged_for=["training", "review"]) == []
    assert tracer.db.flag([alone], reason="training") == 1
    assert tracer.db.get(alone).flags == ["training"]  # type: ignore[union-attr]


def test_a_flag_outlives_the_process_that_made_it(backend: str) -> None:
    """Flags are records: another tracer on the store sees them, and so does the collector's filter."""
    with Tracer("shop", backend) as one:
        one.op("a").save()
        one.op("b").save()
        one.db.flag(one.db.query("a"), reason="bad")
    with Tracer("shop", backend) as two:
        assert [record.operation for record in two.db.query(flagged_for="bad")] == ["a"]
    read = LlmOperationCollector.polars_from_db if "://" in backend else LlmOperationCollector.polars_from_file
    assert read(backend, flagged_for="bad")["operation_type"].to_list() == ["a"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [({"reason": "x"}, "ids="), ({"ids": ["a"], "reason": ""}, "reason="), ({"ids": 5, "reason": "x"}, "ids=5")],
)
def test_a_flag_of_nothing_or_for_nothing_is_refused(sqlite_tracer: Tracer, arguments: Any, says: str) -> None:
    """At once, and saying what is missing."""
    with pytest.raises(ValueError, match=says):
        sqlite_tracer.db.flag(**arguments)
    if arguments["reason"] == "x":
        arguments.pop("reason")
    with pytest.raises(ValueError, match=says):
        sqlite_tracer.db.unflag(**arguments)


def test_a_flag_that_the_journal_refuses_is_no_flag(tmp_path: Path) -> None:
    """It raises, and does not count what was not kept."""
    with Tracer("shop", f"sqlite:///{tmp_path}/traces.db") as first:
        saved = first.op("a").save()
    closed = Tracer("shop", f"sqlite:///{tmp_path}/traces.db")
    closed.close()
    with pytest.raises(JournalFull, match="1 operations were not flagged"):
        closed.db.flag([saved], reason="x")


def test_pages_and_order(tracer: Tracer) -> None:
    """Newest first, in one order; pages follow one another; ``order="asc"`` turns it round."""
    ids = [tracer.op("a").save() for _ in range(7)]
    pages = [[one.id for one in tracer.db.query("a", limit=3, offset=start)] for start in (0, 3, 6, 9)]
    assert [one for page in pages for one in page] == ids[::-1]
    assert [one.id for one in tracer.db.query(order="asc", limit=2)] == ids[:2]
    assert [one.id for one in tracer.db.stream(ids=ids[2:4])] == [ids[3], ids[2]]


def test_all_filters_of_the_collector(sqlite_tracer: Tracer) -> None:
    """They mean the same here; a wrong one raises and lists the right ones."""
    with bind(session_id="s-1", user_id="ann", labels={"team": "search"}):
        sqlite_tracer.op("chat").provider("openai").model("gpt-4o-mini").output(**ANSWER).meta(latency_ms=42).save()
    sqlite_tracer.op("chat").error(TimeoutError("no answer")).save()
    for filters in (
        {"session_id": "s-1"},
        {"user_id": ["ann", "bob"]},
        {"labels": {"team": "search"}},
        {"provider": "openai", "start_date": "2020-01-01"},
        {"status": "ok", "model": "gpt-4o-mini"},
        {"min_tokens": 13},
        {"max_latency": 42},
        {"min_cost": 0},
    ):
        assert [one.status for one in sqlite_tracer.db.query(**filters)] == ["ok"], filters
    assert [one.status for one in sqlite_tracer.db.query(status="error")] == ["error"]
    for wrong in ({"colour": "red"}, {"columns": ["id"]}):
        with pytest.raises(FilterError, match=r"operation, ids, model, .*max_cost"):
            sqlite_tracer.db.query(**wrong)  # type: ignore[arg-type]
    with pytest.raises(FilterError, match="whole number"):
        sqlite_tracer.db.query(limit=-1)


def test_a_provider_s_answer_has_usage_and_cost(sqlite_tracer: Tracer) -> None:
    """The collector's frame shows what was saved here as its own operations, and this door shows the collector's."""
    request = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "What colour?"}], "temperature": 0.2}
    with sqlite_tracer.run("r", experiment="x") as r:
        sqlite_tracer.op("chat").provider("openai").input(**request).output(**ANSWER).meta(latency_ms=42).save()
        sqlite_tracer.op("rank").input(query="q", k=10).output(ranked=["a"]).meta(latency_ms="slow").save()
    frame = sqlite_tracer.collector.polars_from_db()
    assert frame.select(
        "operation_type", "model", "run_id", "seq", "total_tokens", "latency_ms", "temperature"
    ).rows() == [
        ("chat", "gpt-4o-mini", "r", 0, 13, 42.0, 0.2),
        ("rank", None, "r", 1, None, None, None),
    ]
    assert frame["cost_usd"][0] > 0
    assert frame["extras"].struct.field("experiment").to_list() == ["x", "x"]
    assert frame.filter(pl.col("response_text") == "Blue.").height == 1
    [saved] = sqlite_tracer.db.query("chat")
    assert (saved.model, saved.inputs, saved.finish_reason) == ("gpt-4o-mini", request, "stop")

    sqlite_tracer.collector.record_completion(request, "chat", "openai", ANSWER, run_id=r.id)
    recorded = sqlite_tracer.db.query("chat")[0]
    assert (recorded.model, recorded.outputs) == ("gpt-4o-mini", ANSWER)
    assert recorded.inputs == {key: value for key, value in request.items() if key != "model"}


def test_payloads_that_are_no_objects(sqlite_tracer: Tracer) -> None:
    """A text, a list or nothing that the collector recorded stands under ``value``, or is an empty object."""
    for payload in ("text", ["event"], None):
        sqlite_tracer.collector.record_completion(payload, response=payload)
    found = [(one.inputs, one.outputs) for one in sqlite_tracer.db.query(order="asc")]
    assert found == [({"value": one}, {"value": one}) for one in ("text", ["event"])] + [({}, {})]


def test_secrets_do_not_reach_the_disk(sqlite_tracer: Tracer, tmp_path: Path) -> None:
    """Neither in inputs nor in meta, a run's meta or a note."""
    key = "sk-" + "a1" * 20
    with sqlite_tracer.run(api_key=key):
        saved = sqlite_tracer.op("a").input(headers={"Authorization": key}).meta(password=key).save()
    sqlite_tracer.db.flag([saved], reason="x", note=f"used {key}")
    assert sqlite_tracer.flush()
    assert all(key.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_before_configure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each word says what to call first; it is a RuntimeError."""
    close()
    for ask in (lambda: op("a"), run, db.query, lambda: db.flag(["a"], reason="x")):
        with pytest.raises(RuntimeError, match="configure"):
            ask()


def test_configure_again_flushes_and_replaces(tmp_path: Path) -> None:
    """What was saved before is in the old store, what comes after in the new one."""
    configure("one", f"sqlite:///{tmp_path}/one.db")
    op("a").save()
    try:
        configure(project="two", backend=tmp_path / "new" / "two.jsonl")
        assert LlmOperationCollector.polars_from_db(f"sqlite:///{tmp_path}/one.db")["project"].to_list() == ["one"]
        assert db.query() == []
        op("b").save()
        assert [one.project for one in db.query()] == ["two"]
    finally:
        close()


def test_tracers_do_not_leak_into_each_other(backend: str) -> None:
    """Nor do their projects in one store; ``project=None`` asks about all of them."""
    with Tracer("one", backend) as one, Tracer("two", backend) as two:
        with one.run("r"), two.run("other"):
            one.op("a").save()
            two.op("b").save()
        with one.run("r"):
            two.op("c").save()
        with two.run("r"):
            two.op("d").save()
        assert [(x.operation, x.run_id, x.seq) for x in one.db.query()] == [("a", "r", 0)]
        found = {x.operation: (x.run_id, x.seq) for x in two.db.query()}
        assert found == {"b": ("other", 0), "c": (None, None), "d": ("r", 0)}
        assert len(one.db.query(project=None)) == 4
        assert one.db.flag(run_id="r", reason="x") == 1
        assert two.db.query(flagged_for="x") == []


def test_disabled_it_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file, no id, no error; the program goes on."""
    monkeypatch.setenv("AICORE_OBS_ENABLED", "0")
    with Tracer("shop", f"sqlite:///{tmp_path}/traces.db") as off:
        with off.run("r"):
            assert off.op("a").save() is None
        assert off.db.query() == []
        assert off.db.flag(run_id="r", reason="x") == 0
    assert list(tmp_path.iterdir()) == []


def test_async_twins(tracer: Tracer) -> None:
    """Each does as its twin."""

    async def work() -> tuple[Any, ...]:
        async with tracer.run("r", a=1):
            saved = await tracer.op("a").asave()
            tracer.op("b").save()
        assert saved
        flagged = await tracer.db.aflag([saved], reason="x"), await tracer.db.aflag(run_id="r", reason="y")
        unflagged = await tracer.db.aunflag(run_id="r", reason="y")
        return flagged, unflagged, await tracer.db.aget(saved), await tracer.db.aquery(order="asc")

    flagged, unflagged, one, records = asyncio.run(work())
    assert (flagged, unflagged) == ((1, 2), 2)
    assert isinstance(one, Record)
    assert (one.flags, one.seq, one.meta) == (["x"], 0, {"a": 1})
    assert [record.operation for record in records] == ["a", "b"]
    assert records.filters == {"project": "shop", "order": "asc"}


def test_a_full_journal_does_not_stop_a_loop(tmp_path: Path) -> None:
    """Under ``overflow="block"`` a save on a loop is refused at once where another one waits for room."""

    async def save(blocked: Tracer) -> list[str | None]:
        return [blocked.op("a").input(text="x" * 4_000).save() for _ in range(100)]

    options: dict[str, Any] = {"overflow": "block", "block_timeout_s": 60, "journal_max_bytes": "64KB"}
    with Tracer("shop", f"sqlite:///{tmp_path}/t.db", batch_interval_s=30, **options) as blocked:
        ids = asyncio.run(save(blocked))
    assert None in ids
    assert len(Tracer("shop", f"sqlite:///{tmp_path}/t.db", enabled=False).db.query()) == len([x for x in ids if x])
