"""This module is where reading a large SQLite file is measured: time and peak memory, beside the raw driver.

Each reading runs in a process of its own, so that its peak memory is its own. Raw means: the same columns and the same
join by ``sqlite3`` and ``fetchall``, no frame.

Run with ``python -m benchmarks.reading [rows]`` from the project's root.
"""

from __future__ import annotations

import os
import platform
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import msgspec

from aicore_obs import LlmOperationCollector, plugins
from aicore_obs.addresses import address_of
from aicore_obs.assembly import ask_store
from aicore_obs.capture.record import Capture
from aicore_obs.model.ids import new_id
from aicore_obs.model.operation import Operation
from aicore_obs.pipeline.processors import normalise, prepare
from aicore_obs.protocols import Batch, StoreOptions
from aicore_obs.stores.sql.rows import Rows, sqlite_amount, sqlite_time
from aicore_obs.stores.sql.statements import statements
from aicore_obs.stores.sql.tables import sqlite_tables
from benchmarks.payload import ARGUMENTS, RESPONSE

NARROW = [
    *("operation_id", "timestamp", "project", "operation_type", "provider", "model", "response_model", "api"),
    *("status", "finish_reason", "latency_ms", "time_to_first_token_ms", "temperature", "max_tokens"),
    *("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens", "total_tokens", "usage_source"),
    *("session_id", "run_id", "trace_id", "workspace", "agent_id", "action_id", "user_id"),
]
RAW_NARROW = ", ".join("id" if name == "operation_id" else name for name in NARROW)
BATCH = 2_000


def fill(path: Path, rows: int) -> None:
    """Write ``rows`` operations of 2.8 KB, two providers in turn, one second apart, as fast as the driver can."""
    ask_store(address_of(f"sqlite:///{path}", StoreOptions()), lambda store: store.migrate())
    capture = Capture(derive=plugins.derive)
    first = normalise(plugins.derive)
    made = prepare(capture.operation(ARGUMENTS, "completion", "openai", RESPONSE, 1200, {}).line, first, ()).record
    if not isinstance(made, Operation):
        raise SystemExit("no operation came out")
    text = statements(sqlite_tables(), plugins.load("sqlalchemy.dialects.sqlite.aiosqlite:SQLiteDialect_aiosqlite")())
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    for start in range(0, rows, BATCH):
        records = [
            msgspec.structs.replace(
                made,
                id=new_id(),
                timestamp=made.timestamp + timedelta(seconds=number),
                provider="openai" if number % 2 else "azure",
                session_id=f"session-{number % 1000}",
            )
            for number in range(start, min(start + BATCH, rows))
        ]
        batch = Batch(records=records, lines=[b""] * len(records), note=lambda _: None)
        ready = Rows(batch, time=sqlite_time, amount=sqlite_amount, nul_safe=False)
        connection.execute("BEGIN")
        connection.executemany(text.operations, ready.operations())
        connection.executemany(text.payloads, ready.payloads())
        connection.execute("COMMIT")
    connection.close()


def narrow_frame(path: Path) -> int:
    """Filter and 27 narrow columns: what a report asks for."""
    return LlmOperationCollector.polars_from_db(f"sqlite:///{path}", provider="openai", columns=NARROW).height


def narrow_all(path: Path) -> int:
    """27 narrow columns of every row."""
    return LlmOperationCollector.polars_from_db(f"sqlite:///{path}", columns=NARROW).height


def narrow_raw(path: Path) -> int:
    """27 narrow columns of every row, ``fetchall``."""
    connection = sqlite3.connect(path)
    statement = f"SELECT {RAW_NARROW} FROM aicore_obs_operations ORDER BY timestamp, id"
    return len(connection.execute(statement).fetchall())


def whole_frame(path: Path) -> int:
    """All columns, texts included."""
    return LlmOperationCollector.polars_from_db(f"sqlite:///{path}").height


def whole_raw(path: Path) -> int:
    """All stored columns and both texts, ``fetchall``."""
    connection = sqlite3.connect(path)
    statement = (
        "SELECT o.*, q.body, r.body FROM aicore_obs_operations o "
        "LEFT JOIN aicore_obs_payloads q ON q.payload_id = o.request_payload_id "
        "LEFT JOIN aicore_obs_payloads r ON r.payload_id = o.response_payload_id ORDER BY o.timestamp, o.id"
    )
    return len(connection.execute(statement).fetchall())


READINGS = {one.__name__: one for one in (narrow_frame, narrow_all, narrow_raw, whole_frame, whole_raw)}


def _run(name: str, path: Path) -> None:
    start = time.perf_counter()
    rows = READINGS[name](path)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / 1024
    print(f"{name:14} {rows:>9} rows   {seconds:7.1f} s   peak {peak:5.2f} GB", flush=True)


def main() -> None:
    """Fill a database, then run each reading in a process of its own."""
    if len(sys.argv) == 3:
        _run(sys.argv[1], Path(sys.argv[2]))
        return
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    path = Path(tempfile.mkdtemp(prefix="aicore-obs-bench-")) / "reading.db"
    fill(path, rows)
    size = path.stat().st_size / 1e9
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {size:.1f} GB")
    for name in READINGS:
        subprocess.run([sys.executable, "-m", "benchmarks.reading", name, str(path)], check=True)


if __name__ == "__main__":
    main()
