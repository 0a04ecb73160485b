"""This module is where a fault test names a store of either kind and looks into it without the package."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg

from tests.faults import tally
from tests.postgres import run_sql

_MISSING = """
    SELECT count(*) FROM (
        SELECT request_payload_id AS payload_id FROM {prefix}operations WHERE request_payload_id IS NOT NULL
        UNION ALL SELECT response_payload_id FROM {prefix}operations WHERE response_payload_id IS NOT NULL
    ) AS named WHERE payload_id NOT IN (SELECT payload_id FROM {prefix}payloads)
"""


class Place:
    """A store: how to open a collector on it, what is in it, and where its journal is."""

    def __init__(self, kind: str, target: str) -> None:
        self.kind = kind
        self.target = target

    @classmethod
    def file(cls, kind: str, folder: Path) -> Place:
        """Return a store of ``kind`` (sqlite, json, jsonl) in a folder."""
        return cls(kind, str(folder / {"sqlite": "calls.db", "json": "calls.json", "jsonl": "calls.jsonl"}[kind]))

    @property
    def arguments(self) -> dict[str, Any]:
        """Return what a collector is opened with."""
        if self.kind in ("json", "jsonl"):
            return {"storage_path": self.target}
        return {"db_url": self.target if self.kind == "postgresql" else f"sqlite:///{self.target}"}

    def stored_ids(self) -> list[str]:
        """Return the ids of the stored operations, every occurrence; an array must parse as one JSON text."""
        path = Path(self.target)
        if self.kind == "postgresql":
            try:
                return [row["id"] for row in run_sql(self.target, "SELECT id::text AS id FROM aicore_obs.operations")]
            except asyncpg.UndefinedTableError:
                return []
        if not path.exists():
            return []
        if self.kind == "sqlite":
            with closing(sqlite3.connect(path)) as connection:
                return [row[0] for row in connection.execute("SELECT id FROM aicore_obs_operations")]
        text = path.read_text()
        records = json.loads(text) if self.kind == "json" else [json.loads(line) for line in text.splitlines()]
        return [record["id"] for record in records]

    def missing_payloads(self) -> int:
        """Return how many requests and responses a database's operations speak of without having them."""
        if self.kind == "postgresql":
            return int(run_sql(self.target, _MISSING.format(prefix="aicore_obs."))[0][0])
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self.target)) as connection:
                return int(connection.execute(_MISSING.format(prefix="aicore_obs_")).fetchone()[0])
        return 0

    def journal(self) -> Path:
        """Return the directory in which the journal's folders are; for PostgreSQL the state directory itself."""
        if self.kind == "postgresql":
            return Path(os.environ["AICORE_OBS_STATE_DIR"])
        return Path(f"{self.target}.journal")

    def journal_files(self) -> list[Path]:
        """Return every file that is left in the journal's directory."""
        return [path for path in self.journal().rglob("*") if path.is_file()]


def assert_exactly_once(place: Place, accepted: Collection[str], **numbers: int) -> int:
    """Every accepted id is stored, and no id twice; return how many are stored.

    ``numbers`` (kills, forks) are counted beside.
    """
    return assert_once_among(place.stored_ids(), accepted, store=place.kind, **numbers)


def assert_once_among(
    stored: Iterable[str], accepted: Collection[str], *, store: str = "memory", **numbers: int
) -> int:
    """Do as :func:`assert_exactly_once` with ids that were read already."""
    counts = Counter(stored)
    missing = [one for one in accepted if one not in counts]
    twice = [one for one, count in counts.items() if count > 1]
    tally.count(store, tried=len(accepted), lost=len(missing), twice=len(twice), **numbers)
    assert not missing, f"{len(missing)} of {len(accepted)} accepted records are missing, first {missing[:3]}"
    assert not twice, f"{len(twice)} of {len(counts)} records are stored twice, first {twice[:3]}"
    return len(counts)
