"""This module is where imports are tested: files of other programs, as these programs write them, and our own exports.

The fixtures were written by core-for-ai 0.2.257's and oplogger 0.2.1's own tables, and by hand after the documented
columns of LiteLLM's spend logs and of OTLP/JSON. Each has a bad row.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import polars as pl
import pytest
from typer.testing import CliRunner, Result

import aicore_obs
from aicore_obs import LlmOperationCollector
from aicore_obs.cli.app import app
from aicore_obs.errors import ConfigurationError, StoreDamagedError, StoreError, StoreNotFoundError
from aicore_obs.model.frame_columns import FRAME_COLUMNS
from aicore_obs.model.ids import id_from, time_of_id
from tests import records
from tests.integration.test_copy import everything

FIXTURES = Path(__file__).parents[1] / "fixtures" / "imports"
START = datetime(2026, 3, 1, 10, tzinfo=UTC)


def database(name: str, folder: Path) -> Path:
    """Return a SQLite database made of a fixture."""
    path = folder / f"{name}.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((FIXTURES / f"{name}.sql").read_text(encoding="utf-8"))
    return path


def aicore_database(folder: Path) -> Path:
    return database("aicore", folder)


def aicore_chunks(_: Path) -> Path:
    return FIXTURES / "aicore_chunks"


def oplogger(folder: Path) -> Path:
    return database("oplogger", folder)


def litellm(_: Path) -> Path:
    return FIXTURES / "litellm_spend_logs.json"


def otlp(_: Path) -> Path:
    return FIXTURES / "otlp.json"


SOURCES: dict[str, tuple[Callable[[Path], Path], str, dict[str, int], dict[str, int]]] = {
    "aicore": (aicore_database, "aicore", {"operation": 3}, {"no time": 1}),
    "aicore-chunks": (aicore_chunks, "aicore", {"operation": 3}, {"no time": 1}),
    "oplogger": (oplogger, "oplogger", {"flag": 2, "operation": 3, "scope": 1}, {}),
    "litellm": (litellm, "litellm", {"operation": 4}, {"no time": 1}),
    "otlp": (otlp, "otlp", {"operation": 3, "span": 2}, {"no traceId or spanId": 1}),
}


def frame(place: Any, **filters: Any) -> pl.DataFrame:
    """Return the operations of a store, oldest first."""
    if isinstance(place, Path):
        return LlmOperationCollector.polars_from_db(f"sqlite:///{place}", **filters)
    return LlmOperationCollector.polars_from_file(place.path, **filters)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
def test_importing_twice_stores_once(name: str, kind: str, tmp_path: Path) -> None:
    """The format is told by the content, bad rows are counted, and a second import adds nothing."""
    make, told, counts, bad = SOURCES[name]
    source, place = make(tmp_path), records.address(kind, tmp_path)
    first = aicore_obs.import_records(source, place)
    assert (first.format, first.counts, first.bad, first.rejected) == (told, counts, bad, 0)
    assert first.ok is not bool(bad)
    ids = records.kept_ids(place)
    assert len(set(ids)) == len(ids) == sum(counts.values())
    second = aicore_obs.import_records(source, place)
    assert (second.counts, records.kept_ids(place)) == (counts, ids)


def test_the_database_and_the_chunks_of_aicore_are_the_same(tmp_path: Path) -> None:
    """Whichever is imported first, the other adds nothing: the ids are made of AiCore's own."""
    place = records.address("sqlite", tmp_path)
    aicore_obs.import_records(aicore_database(tmp_path), place)
    before = frame(place.path)
    aicore_obs.import_records(aicore_chunks(tmp_path), place)
    assert frame(place.path).equals(before)


@pytest.mark.parametrize("name", ["aicore", "oplogger"])
def test_a_database_on_postgresql_gives_the_same(name: str, tmp_path: Path, postgres_url: str) -> None:
    """The same tables on a server give the same ids and the same columns."""
    source = database(name, tmp_path)
    asyncio.run(on_postgres(source, postgres_url))
    place = records.address("sqlite", tmp_path)
    first = aicore_obs.import_records(source, place)
    before = frame(place.path)
    again = aicore_obs.import_records(postgres_url, place)
    assert (again.format, again.counts, again.bad) == (first.format, first.counts, first.bad)
    assert frame(place.path).equals(before)
    with pytest.raises(StoreError, match="cannot read the PostgreSQL database"):
        aicore_obs.import_records("postgresql://nobody:secret@localhost:1/none", place)


async def on_postgres(source: Path, url: str) -> None:
    """Make the tables of a SQLite database on a server, with their rows."""
    connection = await asyncpg.connect(url)
    with closing(sqlite3.connect(source)) as old:
        tables = old.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        # A table that another one refers to comes first.
        for table, sql in sorted(tables, key=lambda one: one[1].count("FOREIGN KEY") + (one[0] == "Metric")):
            await connection.execute(sql.replace("DATETIME", "TIMESTAMP"))
            types = [row[0] for row in await connection.fetch(_TYPES, table)]
            rows = old.execute(f'SELECT * FROM "{table}"').fetchall()
            values = [[_converted(*one) for one in zip(row, types, strict=True)] for row in rows]
            await connection.copy_records_to_table(table, records=values)
    await connection.close()


_TYPES = "SELECT data_type FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position"


def _converted(value: Any, kind: str) -> Any:
    if kind.startswith("timestamp") and value is not None:
        return datetime.fromisoformat(value)
    return bool(value) if kind == "boolean" else value


def test_aicore_columns(tmp_path: Path) -> None:
    """Names, tokens, cost and error are where ours are; 0 that AiCore writes for unknown is unknown and priced."""
    place = records.address("sqlite", tmp_path)
    aicore_obs.import_records(aicore_database(tmp_path), place)
    one, two, three = frame(place.path).to_dicts()
    assert one["timestamp"] == START.replace(microsecond=250_000)
    who = ("session_id", "workspace", "agent_id", "action_id")
    assert [one[name] for name in who] == ["s-1", "shop", "helper", "greet"]
    assert (one["operation_type"], one["provider"], one["model"]) == ("acompletion", "openai", "gpt-4o-mini")
    assert (one["input_tokens"], one["output_tokens"], one["total_tokens"]) == (20, 3, 23)
    assert (one["cost_usd"], one["cost_source"], one["latency_ms"]) == (Decimal("0.0000048"), "aicore", 812.5)
    assert (one["temperature"], one["max_tokens"], one["extras"]["tenant"]) == (0.2, 64, "t-1")
    assert json.loads(one["response"]) == "Hi!"
    assert json.loads(one["completion_args"])["messages"][1]["content"] == "Hello"
    assert (two["input_tokens"], two["cache_read_tokens"], two["cost_source"]) == (120, 100, "genai-prices")
    assert two["cost_usd"] > 0
    assert (three["status"], three["error_message"], three["input_tokens"]) == (
        "error",
        "RateLimitError: slow down",
        None,
    )


def test_times_without_a_zone_are_of_the_zone_that_is_named(tmp_path: Path) -> None:
    """AiCore writes local time without saying so."""
    place = records.address("sqlite", tmp_path)
    aicore_obs.import_records(aicore_chunks(tmp_path), place, timezone="Europe/Berlin")
    assert frame(place.path)["timestamp"][0] == datetime(2026, 3, 1, 9, 0, 0, 250_000, tzinfo=UTC)
    with pytest.raises(ConfigurationError, match="Europe/Berlin or UTC"):
        aicore_obs.import_records(aicore_chunks(tmp_path), place, timezone="Mars/Base")


def test_oplogger_columns(tmp_path: Path) -> None:
    """Operations, runs with their numbering, tags and flags; a flag on a run is one on each of its operations."""
    place = records.address("sqlite", tmp_path)
    aicore_obs.import_records(oplogger(tmp_path), place)
    one, two, three = frame(place.path).to_dicts()
    assert (one["project"], one["run_id"], one["seq"], one["tags"]) == ("ner", "run-1", 0, ["prod", "a_b"])
    assert (one["operation_type"], one["model"], one["extras"]["k"]) == ("extract", "gpt-4o-mini", 1)
    assert json.loads(one["completion_args"]) == {"text": "Ada met Alan"}
    assert json.loads(one["response"]) == {"names": ["Ada", "Alan"]}
    assert (three["run_id"], three["completion_args"], three["seq"]) == (None, None, None)
    assert frame(place.path, flagged_for="good")["operation_id"].to_list() == [one["operation_id"]]
    flagged = frame(place.path, flagged_for="review")["operation_id"].to_list()
    assert flagged == [one["operation_id"], two["operation_id"]]


def test_litellm_columns(tmp_path: Path) -> None:
    """Usage, cost, times, content and error arrive, no key's hash does; an answer from the proxy's cache was free."""
    place = records.address("sqlite", tmp_path)
    aicore_obs.import_records(litellm(tmp_path), place)
    rows = frame(place.path).to_dicts()
    one = next(row for row in rows if row["response_id"] == "chatcmpl-1")
    cached = next(row for row in rows if row["cost_usd"] == 0)
    failed = next(row for row in rows if row["status"] == "error")
    embedding = next(row for row in rows if row["operation_type"] == "embedding")
    assert (one["cost_usd"], one["cost_source"]) == (Decimal("0.000123"), "litellm")
    assert (one["input_tokens"], one["cache_read_tokens"], one["output_tokens"]) == (100, 64, 20)
    assert (one["latency_ms"], one["time_to_first_token_ms"], one["response_text"]) == (1500.0, 400.0, "Hello")
    assert (one["provider"], one["server_address"], one["response_model"]) == (
        "openai", "api.openai.com", "gpt-4o-mini-2024-07-18",
    )  # fmt: skip
    assert (one["user_id"], one["session_id"], one["tags"]) == ("u-1", "s-9", ["jobID:1"])
    assert (one["labels"]["team_id"], one["labels"]["end_user"]) == ("team-1", "customer-1")
    assert (cached["cost_source"], cached["time_to_first_token_ms"]) == ("litellm", None)
    assert (failed["error_type"], failed["error_message"], failed["cost_usd"]) == ("RateLimitError", "slow down", None)
    assert (embedding["model"], embedding["input_tokens"]) == ("text-embedding-3-small", 100)
    assert "88dc28d0" not in str(rows)


def test_otlp_columns(tmp_path: Path) -> None:
    """Calls of models are operations by all three conventions, other spans are spans, and the tree is kept."""
    place = records.address("jsonl", tmp_path)
    aicore_obs.import_records(otlp(tmp_path), place)
    one, failed, third = frame(place).to_dicts()
    trace = "5b8efff798038103d269b633813fc60c"
    assert (one["trace_id"], one["span_id"], one["parent_id"]) == (trace, "eee19b7ec3c1b171", "eee19b7ec3c1b170")
    assert (one["provider"], one["model"], one["response_id"]) == ("openai", "gpt-4o-mini", "r-1")
    assert (one["input_tokens"], one["cache_read_tokens"], one["output_tokens"]) == (100, 64, 20)
    assert (one["latency_ms"], one["temperature"], one["max_tokens"]) == (750.0, 0.5, 64)
    assert (one["session_id"], one["project"], one["response_text"], one["finish_reason"]) == (
        "c-1",
        "shop",
        "Hello",
        "stop",
    )
    assert one["cost_usd"] > 0
    assert (failed["error_type"], failed["error_stack"], failed["session_id"]) == (
        "OverloadedError",
        "Traceback",
        "c-2",
    )
    assert (failed["provider"], failed["input_tokens"], failed["cost_source"]) == ("anthropic", 10, "genai-prices")
    assert (third["total_tokens"], third["user_id"], third["session_id"]) == (9, "u-3", "c-3")
    agent, tool = [one for one in records.elements(place) if one["kind"] == "span"]
    assert (agent["name"], agent["duration_ms"], agent.get("parent_id")) == ("invoke_agent helper", 750.0, None)
    assert (tool["parent_id"], tool["body"]["attributes"]["gen_ai.tool.name"]) == ("eee19b7ec3c1b170", "search")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_export_of_ours_comes_back_whole(
    ending: str, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Every column of every operation is what it was, ids included."""
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else None
    place, file = records.address(kind, tmp_path, url), tmp_path / f"calls.{ending}"
    written = [one for one in everything() if one.__struct_config__.tag == "operation"]
    records.write(place, written)
    aicore_obs.export_operations(file, store=place)
    (tmp_path / "to").mkdir()
    target = records.address("sqlite", tmp_path / "to")
    done = aicore_obs.import_records(file, target)
    assert (done.format, done.counts, done.ok) == ("export", {"operation": len(written)}, True)
    assert said(target) == said(place)


def said(place: Any) -> list[tuple[Any, ...]]:
    """Return the whole frame of a store; JSON as what it says."""
    rows = records.read(place, *FRAME_COLUMNS[1:])
    return [tuple(json.loads(one) if isinstance(one, str) and one[:1] in "{[" else one for one in row) for row in rows]


def test_what_has_no_reason_to_be_there_is_told(tmp_path: Path) -> None:
    """Unknown content, a store of ours, nothing at all, a wrong format, a damaged Parquet: no store is made."""
    target = tmp_path / "to.db"
    ours = records.address("sqlite", tmp_path)
    lines = records.address("jsonl", tmp_path)
    for place in (ours, lines):
        records.write(place, records.operations(1))
    (tmp_path / "other.json").write_text('[{"a": 1}]', encoding="utf-8")
    (tmp_path / "text.json").write_text("hello", encoding="utf-8")
    (tmp_path / "bad.parquet").write_text("hello", encoding="utf-8")
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE things (a)")
    wrong: list[tuple[Path, str, type[Exception]]] = [
        (ours.path or tmp_path, "store of ours", ConfigurationError),
        (lines.path or tmp_path, "store of ours", ConfigurationError),
        (tmp_path / "other.json", "no format that is known", ConfigurationError),
        (tmp_path / "text.json", "no format that is known", ConfigurationError),
        (tmp_path / "other.db", "the tables things", ConfigurationError),
        (tmp_path / "bad.parquet", "no Parquet file", StoreDamagedError),
        (tmp_path / "nothing", "there is nothing", StoreNotFoundError),
    ]
    for path, words, error in wrong:
        with pytest.raises(error, match=words):
            aicore_obs.import_records(path, target)
    with pytest.raises(ConfigurationError, match="formats are aicore, export"):
        aicore_obs.import_records(litellm(tmp_path), target, format="csv")
    assert not target.exists()


def test_bad_rows_cost_no_neighbour(tmp_path: Path) -> None:
    """Rows that are no objects, that lack what is needed, that hold another type: each is told with its place."""
    good = json.loads((FIXTURES / "litellm_spend_logs.json").read_text(encoding="utf-8"))[0]
    odd = [
        good,
        7,
        {**good, "request_id": ""},
        {**good, "request_id": "x", "spend": "much", "metadata": 5, "messages": 3},
    ]
    path = tmp_path / "logs.jsonl"
    path.write_text("\n".join([*map(json.dumps, odd), '{"torn": ', ""]), encoding="utf-8")
    done = aicore_obs.import_records(path, tmp_path / "to.db")
    assert (done.counts, done.bad) == ({"operation": 2}, {"no JSON object": 2, "no request_id": 1})
    assert done.problems[0] == "logs.jsonl, line 2: no JSON object"


def test_secrets_stay_out(tmp_path: Path) -> None:
    """What another program kept goes through the same redaction as a call that is recorded."""
    row = json.loads((FIXTURES / "aicore_chunks" / "s-1" / "0.json").read_text(encoding="utf-8"))[0]
    row["completion_args"] = json.dumps({"model": "m", "api_key": "sk-very-secret", "messages": []})
    path = tmp_path / "0.json"
    path.write_text(json.dumps([row]), encoding="utf-8")
    place = records.address("jsonl", tmp_path)
    aicore_obs.import_records(path, place)
    assert place.path is not None
    assert "very-secret" not in place.path.read_text(encoding="utf-8")


def test_ids_are_of_the_time_and_the_source() -> None:
    """The same words give the same id, in the order of time; other words give another one."""
    one = id_from(START, "litellm", "a")
    assert one == id_from(START, "litellm", "a") != id_from(START, "litellm", "b")
    assert one != id_from(START, "litell", "ma")
    assert (one[14], time_of_id(one), int(one[-1], 16) % 4) == ("7", START, 0)
    assert one < id_from(START.replace(microsecond=1000), "litellm", "a")


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["import", *map(str, arguments)])


def test_the_command_imports(tmp_path: Path) -> None:
    """It shows what was read and what was left out; a dry run stores nothing; the exit code tells of bad rows."""
    target = tmp_path / "to.db"
    dry = _run(otlp(tmp_path), "--to", target, "--dry-run")
    assert (dry.exit_code, target.exists(), "nothing was stored" in dry.stdout) == (1, False, True)
    assert "Left out: 1 row: no traceId or spanId" in dry.stderr
    done = _run(oplogger(tmp_path), "--to", target, "--json")
    data = json.loads(done.stdout)
    assert (done.exit_code, data["ok"], data["format"], data["counts"]["operation"]) == (0, True, "oplogger", 3)
    assert _run(tmp_path / "none", "--to", target).exit_code == 2
