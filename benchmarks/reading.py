"""This module is where reading a large SQLite file is measured: time and peak memory, beside the raw driver.

Raw means: the same columns, the same filter and the same join by ``sqlite3`` and ``fetchall``, no frame. Each reading
has a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import contextlib
import resource
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polars as pl

from aicore_obs import LlmOperationCollector
from aicore_obs.model.ids import new_id, part_id
from benchmarks.figures import Taken
from benchmarks.payload import ARGUMENTS, RESPONSE
from benchmarks.turns import Case, Stage, take

NARROW = [
    *("operation_id", "timestamp", "project", "operation_type", "provider", "model", "response_model", "api"),
    *("status", "finish_reason", "latency_ms", "time_to_first_token_ms", "temperature", "max_tokens"),
    *("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens", "total_tokens", "usage_source"),
    *("session_id", "run_id", "trace_id", "workspace", "agent_id", "action_id", "user_id"),
]
RAW_NARROW = ", ".join("id" if name == "operation_id" else name for name in NARROW)
RAW_WHOLE = (
    "SELECT o.*, q.body, r.body FROM aicore_obs_operations o "
    "LEFT JOIN aicore_obs_payloads q ON q.payload_id = o.request_payload_id "
    "LEFT JOIN aicore_obs_payloads r ON r.payload_id = o.response_payload_id ORDER BY o.timestamp, o.id"
)
BATCH = 2_000


def cases(stage: Stage) -> Sequence[Case]:
    rows = stage.size(full=1_000_000, quick=5_000)
    path = stage.folder / "reading.db"
    take("benchmarks.reading:fill", {"path": str(path), "rows": rows, "folder": str(stage.folder)})
    return [
        Case(
            name=f"{rows:,} rows, {name}",
            ours="benchmarks.reading:turn",
            floor="benchmarks.reading:raw",
            given={"path": str(path), "name": name},
            floor_is="sqlite3, fetchall",
            rounds=3,
        )
        for name in READINGS
    ]


def turn(*, path: str, name: str, folder: str) -> list[Taken]:
    """Read as a user does."""
    del folder
    # What is imported for the first reading is measured elsewhere.
    LlmOperationCollector.polars_from_db(f"sqlite:///{path}", limit=1)
    return _timed(lambda: READINGS[name](f"sqlite:///{path}"))


def raw(*, path: str, name: str, folder: str) -> list[Taken]:
    """Read the same by the driver."""
    del folder
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return _timed(lambda: connection.execute(RAW[name]).fetchall())


def _timed(read: Callable[[], object]) -> list[Taken]:
    start = time.perf_counter()
    kept = read()
    seconds = time.perf_counter() - start
    peak = peak_memory()
    del kept
    return [Taken(what="time", unit="s", value=seconds), Taken(what="peak memory", unit="GiB", value=peak)]


def peak_memory() -> float:
    """Return the largest memory that this process has had, in GiB."""
    # Kilobytes, but bytes on macOS.
    unit = 1024**3 if sys.platform == "darwin" else 1024**2
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _narrow_filtered(url: str) -> pl.DataFrame:
    return LlmOperationCollector.polars_from_db(url, provider="openai", columns=NARROW)


def _narrow(url: str) -> pl.DataFrame:
    return LlmOperationCollector.polars_from_db(url, columns=NARROW)


def _wide(url: str) -> pl.DataFrame:
    return LlmOperationCollector.polars_from_db(url)


def _aggregate(url: str) -> pl.DataFrame:
    tokens = LlmOperationCollector.scan_db(url).group_by("session_id").agg(pl.len(), pl.col("total_tokens").sum())
    return tokens.collect()


READINGS: dict[str, Callable[[str], pl.DataFrame]] = {
    "27 narrow columns, filtered to half": _narrow_filtered,
    "27 narrow columns": _narrow,
    "all columns, texts too": _wide,
    "lazy aggregate": _aggregate,
}
RAW = dict(
    zip(
        READINGS,
        (
            f"SELECT {RAW_NARROW} FROM aicore_obs_operations WHERE provider = 'openai' ORDER BY timestamp, id",
            f"SELECT {RAW_NARROW} FROM aicore_obs_operations ORDER BY timestamp, id",
            RAW_WHOLE,
            "SELECT session_id, total_tokens FROM aicore_obs_operations",
        ),
        strict=True,
    )
)


def fill(*, path: str, rows: int, folder: str) -> list[Taken]:
    """Make a file of ``rows`` copies of one recorded operation: two providers in turn, one second apart."""
    del folder
    with LlmOperationCollector(db_url=f"sqlite:///{path}") as collector:
        collector.record_completion(ARGUMENTS, "completion", "openai", RESPONSE, 1200)
        collector.flush()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        operation = dict(connection.execute("SELECT * FROM aicore_obs_operations").fetchone())
        texts = {row["payload_id"]: tuple(row)[1:] for row in connection.execute("SELECT * FROM aicore_obs_payloads")}
        request, response = (texts[operation[f"{name}_payload_id"]] for name in ("request", "response"))
        connection.execute("DELETE FROM aicore_obs_operations")
        connection.execute("DELETE FROM aicore_obs_payloads")
        connection.execute("PRAGMA synchronous=OFF")
        for start in range(0, rows, BATCH):
            copies = list(_copies(operation, range(start, min(start + BATCH, rows))))
            connection.execute("BEGIN")
            _insert(connection, "operations", [tuple(copy.values()) for copy in copies])
            _insert(connection, "payloads", [(copy["request_payload_id"], *request) for copy in copies])
            _insert(connection, "payloads", [(copy["response_payload_id"], *response) for copy in copies])
            connection.execute("COMMIT")
    return []


def _copies(operation: dict[str, Any], numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    for number in numbers:
        name = new_id()
        yield {
            **operation,
            "id": name,
            "timestamp": operation["timestamp"] + number * 1_000_000,
            "provider": "openai" if number % 2 else "azure",
            "session_id": f"session-{number % 1000}",
            "request_payload_id": part_id(name, 1),
            "response_payload_id": part_id(name, 2),
        }


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    connection.executemany(f"INSERT INTO aicore_obs_{table} VALUES ({','.join('?' * len(rows[0]))})", rows)
