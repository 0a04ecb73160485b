"""This module is where calls stand that users will write; a type checker must take them, and refuse what is wrong.

It is checked by mypy in strict mode (``test_typing.py``) and never run. A ``type: ignore`` is a claim: without the
error that it names, mypy complains of it.
"""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any, assert_type

import polars as pl

import aicore_obs
from aicore_obs import (
    AicoreObsError,
    ConfigurationError,
    DropRecord,
    FilterError,
    FlushResult,
    JournalFull,
    LlmOperationCollector,
    LlmOperationMiddleware,
    Stats,
    StoreError,
    archive,
    bind,
    configure,
    get_collector,
    oplog,
    read_statement,
    reconcile,
    reports,
    scan,
    show,
    show_conversation,
    show_operation,
    show_trace,
    suppress,
)
from aicore_obs.display.facts import Node, OperationFacts
from aicore_obs.model.archive import Archived
from aicore_obs.model.operation import Operation
from aicore_obs.model.record import Record
from aicore_obs.observer import observe, observer
from aicore_obs.protocols import Batch, Processor, Reader, Sink


def constructing() -> None:
    assert_type(LlmOperationCollector(), LlmOperationCollector)
    LlmOperationCollector("calls.json")
    LlmOperationCollector(Path("calls.jsonl"), "sqlite:///calls.db")
    LlmOperationCollector(db_url="postgresql://user:password@host/base", db_schema="mine", project="demo")
    LlmOperationCollector(durability="disk", overflow="block", block_timeout_s=2, journal_max_bytes="1GiB")
    LlmOperationCollector(capture_content=False, enabled=None, migrate="never", journal_dir=Path("journal"))
    LlmOperationCollector(capture_media=True, max_content_bytes="64KB", content_sample_rate=0.1)
    LlmOperationCollector(redact=lambda content: {**content, "response": None})
    LlmOperationCollector(sinks=["calls.jsonl", Path("more.json"), Kept()], processors=[only_of_openai])
    assert_type(configure("calls.json", capture_content=True), LlmOperationCollector)
    assert_type(get_collector(), LlmOperationCollector)
    LlmOperationCollector(durability="forever")  # type: ignore[arg-type]
    LlmOperationCollector(colour="red")  # type: ignore[call-arg]
    LlmOperationCollector(project=5)  # type: ignore[arg-type]


def archiving() -> None:
    assert_type(archive("calls.db", before="90d", to="archive"), Archived)
    archive(before=datetime.date(2026, 1, 1), to=Path("archive"), tell=lambda words, done: print(words, done))
    assert_type(scan("calls.db", archive="archive", model="gpt-4o"), pl.LazyFrame)
    reports.cost("calls.db", archive=Path("archive"), by="month")
    archive("calls.db", to="archive")  # type: ignore[call-arg]


def recording(collector: LlmOperationCollector) -> None:
    assert_type(collector.record_completion({"model": "gpt-4"}), str | None)
    collector.record_completion({"model": "gpt-4"}, "completion", "openai", {"id": "r"}, 1200)
    collector.record_completion(
        {"model": "gpt-4"},
        operation_type="embedding",
        provider="openai",
        response=object(),
        latency_ms=12.5,
        error=ValueError("no"),
        extras={"any": 1},
        timestamp=datetime.datetime.now(datetime.UTC),
        time_to_first_token_ms=5,
        api="chat.completions",
        session_id="s",
        run_id="r",
        workspace="w",
        agent_id="a",
        action_id="x",
        user_id="u",
        tags=["t"],
        labels={"k": "v"},
    )
    collector.record_completion({}, timestamp="2026-01-31", error="refused", tags=("a",), extras=None, labels=None)
    collector.record_completion({}, sesion_id="s")  # type: ignore[call-arg]
    collector.record_completion({}, session_id=5)  # type: ignore[arg-type]
    collector.record_completion()  # type: ignore[call-arg]


async def recording_async(collector: LlmOperationCollector) -> None:
    assert_type(await collector.arecord_completion({"model": "gpt-4"}, provider="openai", session_id="s"), str | None)
    async with collector.operation({"model": "gpt-4"}, provider="openai") as call:
        call.first_token()
        call.response = {"id": "r"}
    assert_type(call.id, str | None)
    assert_type(await collector.aflush(timeout_s=5), FlushResult)
    assert_type(await collector.aclose(), FlushResult)


def timing(collector: LlmOperationCollector) -> str | None:
    with collector.operation({"model": "gpt-4"}, "completion", "openai", session_id="s") as call:
        call.response = "text"
        call.extras["attempt"] = 2
        call.error = "quota"
    return call.id


def context() -> None:
    with bind(session_id="s", labels={"team": "red"}), suppress():
        pass


async def context_async() -> AsyncIterator[None]:
    async with bind(session_id="s"):
        yield


def ending(collector: LlmOperationCollector) -> None:
    result = collector.flush(timeout_s=5)
    assert_type(result.ok, bool)
    assert_type(result.stored + result.pending + result.dead_lettered + result.dropped, int)
    if not result:
        print({name: sink.last_error for name, sink in result.sinks.items()})
    stats = collector.stats()
    assert_type(stats, Stats)
    assert_type(stats.refused, dict[str, int])
    assert_type(collector.close(timeout_s=5), FlushResult)
    with LlmOperationCollector() as inside:
        assert_type(inside, LlmOperationCollector)


async def ending_async() -> None:
    async with LlmOperationCollector() as inside:
        assert_type(inside, LlmOperationCollector)
        assert_type(await inside.aget_schema_version(), int)
        await inside.acreate_tables()
        await inside.amigrate_schema(allow_major=True)


def schema(collector: LlmOperationCollector) -> None:
    collector.create_tables()
    assert_type(collector.get_schema_version(), int)
    collector.migrate_schema()


def reading(collector: LlmOperationCollector) -> None:
    assert_type(LlmOperationCollector.polars_from_file("calls.json", provider="openai", limit=5), pl.DataFrame)
    assert_type(LlmOperationCollector.polars_from_db("sqlite:///calls.db", model=["a", "b"]), pl.DataFrame)
    assert_type(collector.polars_from_db(start_date="2026-01-01", tags=["a"], labels={"k": "v"}), pl.DataFrame)
    assert_type(collector.scan_db(min_tokens=5, columns=["model"]), pl.LazyFrame)
    assert_type(LlmOperationCollector.scan_db().collect(), pl.DataFrame)
    collector.polars_from_db(5)  # type: ignore[arg-type]


def failing() -> None:
    found: list[type[AicoreObsError]] = [ConfigurationError, FilterError, JournalFull, StoreError]
    try:
        LlmOperationCollector()
    except tuple(found) as error:
        print(error)


def middleware(collector: LlmOperationCollector) -> None:
    from starlette.applications import Starlette

    app = Starlette()
    app.add_middleware(LlmOperationMiddleware, collector=collector)


def reconciling(frame: pl.DataFrame) -> None:
    lines = assert_type(read_statement("costs.csv", Path("usage.json"), cost_column="EffectiveCost"), pl.DataFrame)
    result = reconcile(frame, lines, tolerance=Decimal("0.01"), by="day")
    assert_type(result.ok, bool)
    assert_type(result.mismatch, pl.DataFrame)
    assert_type(result.totals.difference_usd, Decimal)
    reconcile({"provider": "openai"}, ["costs.csv", Path("usage.csv")], store="sqlite:///calls.db", tolerance=0)
    reconcile(frame, lines, tolerance=0.01)  # type: ignore[arg-type]
    reconcile(frame, 5)  # type: ignore[arg-type]


def costs(collector: LlmOperationCollector) -> None:
    answer = aicore_obs.cost_of({"usage": None}, provider="openai", at="2026-01-31", prices="prices.toml")
    if answer.cost is not None:
        assert_type(answer.cost.total, Decimal | None)
    assert_type(answer.reason, str | None)
    book = aicore_obs.PriceBook([{"provider": "acme", "model": "m", "input_mtok": 1}], deployments={"mine": "gpt-4o"})
    assert_type(collector.recost({"provider": "acme"}, book).differences, pl.DataFrame)
    assert_type(aicore_obs.recost(None, book, True, store="calls.db").new_total, Decimal)
    assert_type(collector.polars_costs(provider="acme"), pl.DataFrame)
    budget = aicore_obs.Budget("1.00", per="day", scope={"user_id": "u-1"})
    assert_type(collector.remaining(budget).remaining_usd, Decimal)
    aicore_obs.Budget([])  # type: ignore[arg-type]
    collector.remaining("1.00")  # type: ignore[arg-type]


def reporting(collector: LlmOperationCollector, frame: pl.DataFrame) -> None:
    assert_type(reports.cost(frame, by="model", period="last_month", tz="Europe/Paris"), pl.DataFrame)
    assert_type(reports.latency(collector, by=["day", "labels.team"]), pl.DataFrame)
    assert_type(reports.errors(frame.lazy(), filters={"provider": "openai"}), pl.DataFrame)
    assert_type(reports.top("calls.db", "latency", 5), pl.DataFrame)
    assert_type(reports.compare(None, {"model": "a"}, {"model": "b"}, seed=1), pl.DataFrame)
    reports.plot(reports.cost(frame, by="day"), measure="operations")
    reports.usage(Path("calls.db"), period=(datetime.date(2026, 1, 1), datetime.date(2026, 1, 31)))
    assert_type(show_operation("last", collector).facts, OperationFacts)
    assert_type(show_conversation("s-1", "calls.db").facts.turns[0].repeated, int)
    assert_type(show_trace("s-1", full=True).facts.roots, tuple[Node, ...])
    assert_type(show().to_dict(), dict[str, Any])
    show_trace()  # type: ignore[call-arg]
    show("s-1", 5)  # type: ignore[arg-type]
    reports.cost(frame, perod="last_month")  # type: ignore[call-arg]
    reports.cost(5)  # type: ignore[arg-type]


def exchange(collector: LlmOperationCollector) -> None:
    exported = aicore_obs.export_operations("calls.parquet", {"provider": "acme"}, store="calls.db", overwrite=True)
    assert_type(exported.operations, int)
    copied = aicore_obs.copy_store("calls.db", collector.addresses[0], tell=lambda words, done: print(words, done + 1))
    assert_type(copied.ok, bool)
    assert_type(copied.source.counts, dict[str, int])
    imported = aicore_obs.import_records("spend_logs.json", "calls.db", timezone="Europe/Berlin", dry_run=True)
    assert_type(imported.bad, dict[str, int])
    aicore_obs.import_records("spend_logs.json")  # type: ignore[call-arg]


def only_of_openai(record: Record) -> Record:
    if isinstance(record, Operation) and record.provider != "openai":
        raise DropRecord("not ours")
    return record


class Kept:
    """A sink of a user."""

    name = "kept"

    async def open(self) -> None:
        return

    async def write(self, batch: Batch) -> None:
        print(len(batch.records), batch.noted)

    async def aclose(self) -> None:
        return


a_sink: Sink = Kept()
a_processor: Processor = only_of_openai
a_reader: type[Reader]
version: str = aicore_obs.__version__


def tracing() -> None:
    assert_type(oplog.configure(project="shop", backend="sqlite:///traces.db", durability="disk"), oplog.Tracer)
    oplog.configure("shop", Path("traces.jsonl"), redact=lambda content: content)
    assert_type(
        oplog.op("rank").model("m").input(query="q").output(a=1).meta(latency_ms=4).tags("a", "b").save(), str | None
    )
    with oplog.run(strategy="v2") as current, oplog.run("own-id"):
        assert_type(current.id, str)
    records = oplog.db.query("rank", model=["a", "b"], tags="x", flagged_for="training", limit=10, offset=5)
    assert_type([record.inputs for record in records], list[dict[str, Any]])
    assert_type(oplog.db.flag(records, reason="training"), int)
    assert_type(oplog.db.unflag(run_id="own-id"), int)
    assert_type(oplog.export.to_jsonl(oplog.db.stream(project=None), "out.jsonl", fields=["id"]), int)
    oplog.export.to_chat_jsonl(records, Path("chat.jsonl"), split={"train": 1}, secrets="drop", redact=lambda row: None)
    oplog.db.score(records[0], "helpful", value=True)
    oplog.db.score("id", "grade", 0.5, comment="by Ann")
    oplog.db.query(scored="helpful", min_score={"grade": 0.5})
    assert_type([record.scores for record in records], list[dict[str, oplog.Score]])
    oplog.db.score("id", "grade", None)  # type: ignore[arg-type]
    oplog.db.query(colour="red")  # type: ignore[call-arg]
    oplog.db.flag(["id"])  # type: ignore[call-arg]
    oplog.export.to_chat_jsonl(records, "chat.jsonl", secrets="eat")  # type: ignore[arg-type]
    oplog.configure(colour="red")  # type: ignore[call-arg]


async def tracing_in_tasks() -> None:
    async with oplog.run() as current:
        assert_type(await oplog.op("rank").asave(), str | None)
    assert_type(await oplog.db.aflag(run_id=current.id, reason="x"), int)
    assert_type([record.flags for record in await oplog.db.aquery()], list[list[oplog.Mark]])
    assert_type(await oplog.aflush(), FlushResult)


@observe
def traced(text: str) -> list[str]:
    return [text]


@observe(name="named", capture_args=False, enh_prompt=True, auto_enhance_after=3)
async def atraced(text: str) -> int:
    return len(text)


async def observed() -> int:
    session: str | None = observer.observe("name", labels={"team": "a"})
    words: list[str] = traced("a")
    count: int = await atraced("a")
    labels: dict[str, str] = observer.get_labels()
    with observer.continued(observer.traceparent()):
        work: list[str] = observer.carried(traced)("a")
    observer.end()
    found: list[str] = aicore_obs.instrument()
    aicore_obs.instrument(["openai", "langchain"])
    aicore_obs.instrument(providers=("anthropic",))
    aicore_obs.uninstrument()
    print(session, words, labels, work, found)
    return count
