"""This module is where the peers are listed: what each is, how it is driven, and where its records are counted."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.payload import numbers_in

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
