"""This module is where oplogger's databases are described: the tables operations and runs.

Source: oplogger 0.2.1 (``oplog/backends/sql.py``), read 2026-11-27; 0.1 has no runs, and neither run_id nor seq. JSON
columns are text in SQLite; times are UTC without a zone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

import msgspec

from aicore_obs.importing.made import Call, objects, operation, required, text, time_of, unpacked
from aicore_obs.model.events import Flag
from aicore_obs.model.ids import id_from
from aicore_obs.model.record import FIRST_VERSION, Record
from aicore_obs.model.scope import Scope

name = "oplogger"
TABLES = ("operations",)
SQL = "SELECT * FROM operations ORDER BY created_at, id"
# The runs, each with the time and the id of its operations, of which flags are made.
RUNS = "runs"
RUNS_SQL = "SELECT * FROM runs ORDER BY created_at, id"
MEMBERS_SQL = "SELECT run_id, id, created_at FROM operations WHERE run_id IS NOT NULL ORDER BY id"


def records(row: Mapping[str, Any], tz: tzinfo) -> Iterator[Record]:
    """Yield the operation of one row, and its flag."""
    made = operation(
        Call(
            source=(name, required(row, "id")),
            when=time_of(row.get("created_at"), tz),
            request=objects(row.get("inputs")),
            response=unpacked(row.get("outputs")),
            operation_type=required(row, "operation"),
            options={"run_id": text(row.get("run_id")), "extras": objects(row.get("meta")), "tags": tags_of(row)},
            header={"project": text(row.get("project"))},
            seq=row["seq"] if isinstance(row.get("seq"), int) else None,
            told={"model": text(row.get("model"))},
        )
    )
    yield made
    yield from _flag(row, tz, (made.id,))


def run_records(row: Mapping[str, Any], members: Sequence[str], tz: tzinfo) -> Iterator[Record]:
    """Yield the opening of one run, and the flag of all its operations."""
    when, run_id = time_of(row.get("created_at"), tz), required(row, "id")
    meta = objects(row.get("meta"))
    yield Scope(
        id=id_from(when, name, "run", run_id),
        timestamp=when,
        v=FIRST_VERSION,
        project=text(row.get("project")),
        run_id=run_id,
        tags=tags_of(row),
        scope="run",
        change="opened",
        scope_id=run_id,
        body=msgspec.UNSET if meta is None else msgspec.Raw(msgspec.json.encode(meta)),
    )
    if members:
        yield from _flag(row, tz, tuple(members))


def member_id(row: Mapping[str, Any], tz: tzinfo) -> str:
    """Return our id of one row of operations."""
    return id_from(time_of(row.get("created_at"), tz), name, required(row, "id"))


def tags_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a row's tags."""
    found = unpacked(row.get("tags"))
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()


def _flag(row: Mapping[str, Any], tz: tzinfo, flagged: tuple[str, ...]) -> Iterator[Record]:
    reason = text(row.get("flagged_for"))
    if reason is None:
        return
    when: datetime = time_of(row.get("flagged_at") or row.get("created_at"), tz)
    yield Flag(
        id=id_from(when, name, "flag", required(row, "id")),
        timestamp=when,
        v=FIRST_VERSION,
        project=text(row.get("project")),
        operation_ids=flagged,
        reason=reason,
        note=text(row.get("flag_note")),
    )
