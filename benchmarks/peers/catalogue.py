"""This module is where the peers are listed: what each is, how it is driven, and where its records are counted."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.payload import answers_in, numbers_in

Found = Callable[[Path, str], int]


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A library that records. ``program``: ``module:class`` with the duties that :mod:`.program` names.

    ``counted`` says in words what ``found`` counts: distinct records, each by a number in its own request.
    """

    name: str
    package: str
    program: str
    counted: str
    found: Found


def _in_files(pattern: str) -> Found:
    def found(folder: Path, stub: str) -> int:
        del stub
        return len(set().union(*(numbers_in(path.read_bytes()) for path in folder.rglob(pattern))))

    return found


def _in_database(name: str, column: str) -> Found:
    def found(folder: Path, stub: str) -> int:
        del stub
        with contextlib.closing(sqlite3.connect(folder / name)) as connection:
            table, field = column.split(".")
            texts = connection.execute(f"SELECT CAST({field} AS BLOB) FROM {table} WHERE {field} IS NOT NULL")
            return len(set().union(*(numbers_in(text) for (text,) in texts)))

    return found


def _at_stub(folder: Path, stub: str) -> int:
    del folder
    with urllib.request.urlopen(f"{stub}/count", timeout=60) as answer:
        return int(json.load(answer)["distinct"])


OURS = Peer(
    name="this package, SQLite",
    package="aicore-obs",
    program="benchmarks.peers.ours:Ours",
    counted="requests in the SQLite file",
    found=_in_database("ours.db", "aicore_obs_payloads.body"),
)
PEERS = (
    Peer(
        name="OpenTelemetry SDK, to a file",
        package="opentelemetry-sdk",
        program="benchmarks.peers.open_telemetry:ToFile",
        counted="spans in the file",
        found=_in_files("spans.jsonl"),
    ),
    Peer(
        name="OpenTelemetry SDK, OTLP",
        package="opentelemetry-exporter-otlp-proto-http",
        program="benchmarks.peers.open_telemetry:ToStub",
        counted="spans that reached a server on this machine",
        found=_at_stub,
    ),
    Peer(
        name="Langfuse SDK",
        package="langfuse",
        program="benchmarks.peers.langfuse_sdk:Langfuse",
        counted="observations that reached a server on this machine",
        found=_at_stub,
    ),
    Peer(
        name="MLflow tracing, SQLite",
        package="mlflow",
        program="benchmarks.peers.mlflow_tracing:Mlflow",
        counted="spans in the SQLite file",
        found=_in_database("mlflow.db", "spans.content"),
    ),
    Peer(
        name="oplogger, SQLite",
        package="oplogger",
        program="benchmarks.peers.oplogger_sqlite:Oplogger",
        counted="operations in the SQLite file",
        found=_in_database("oplog.db", "operations.inputs"),
    ),
    Peer(
        name="AiCore's collector, JSON files",
        package="core-for-ai",
        program="benchmarks.peers.aicore_collector:AiCore",
        counted="records in its JSON files",
        found=_in_files("*.json"),
    ),
    Peer(
        name="Logfire, to a file",
        package="logfire",
        program="benchmarks.peers.logfire_sdk:Logfire",
        counted="logs in the file",
        found=_in_files("spans.jsonl"),
    ),
)


class Watcher(msgspec.Struct, frozen=True, kw_only=True):
    """What watches OpenAI's SDK. ``program``: one of :mod:`.watchers`; ``found``: how many requests and answers."""

    name: str
    package: str
    program: str
    how: str
    found: Callable[[Path, str], tuple[int, int]]


def _texts_at_stub(folder: Path, stub: str) -> tuple[int, int]:
    del folder
    with urllib.request.urlopen(f"{stub}/count", timeout=60) as answer:
        counts = json.load(answer)
    return int(counts["distinct"]), int(counts["answers"])


def _texts_of_ours(folder: Path, stub: str) -> tuple[int, int]:
    del stub
    with contextlib.closing(sqlite3.connect(folder / "ours.db")) as connection:
        texts = [text for (text,) in connection.execute("SELECT CAST(body AS BLOB) FROM aicore_obs_payloads")]
    requests, answers = (len(set().union(*map(numbers, texts))) for numbers in (numbers_in, answers_in))
    return requests, answers


PLAIN = Watcher(
    name="nobody",
    package="openai",
    program="benchmarks.peers.watchers:Plain",
    how="",
    found=lambda _folder, _stub: (0, 0),
)
OUR_WATCHER = Watcher(
    name="this package",
    package="aicore-obs",
    program="benchmarks.peers.watchers:Ours",
    how="into SQLite, by its own thread",
    found=_texts_of_ours,
)
_OTLP = "BatchSpanProcessor and OTLP over HTTP to a server on this machine"
WATCHERS = (
    Watcher(
        name="OpenLLMetry",
        package="opentelemetry-instrumentation-openai",
        program="benchmarks.peers.watchers:OpenLlmetry",
        how=_OTLP,
        found=_texts_at_stub,
    ),
    Watcher(
        name="OpenInference",
        package="openinference-instrumentation-openai",
        program="benchmarks.peers.watchers:OpenInference",
        how=_OTLP,
        found=_texts_at_stub,
    ),
    Watcher(
        name="OpenTelemetry's openai-v2",
        package="opentelemetry-instrumentation-openai-v2",
        program="benchmarks.peers.watchers:OpenTelemetryV2",
        how=f"{_OTLP}; capture of content on, span_only",
        found=_texts_at_stub,
    ),
    Watcher(
        name="OpenTelemetry's genai-openai",
        package="opentelemetry-instrumentation-genai-openai",
        program="benchmarks.peers.watchers:OpenTelemetryGenai",
        how=f"{_OTLP}; capture of content on, span_only",
        found=_texts_at_stub,
    ),
    Watcher(
        name="Langfuse's OpenAI",
        package="langfuse",
        program="benchmarks.peers.watchers:Langfuse",
        how="its own processor, over HTTP to a server on this machine",
        found=_texts_at_stub,
    ),
)
