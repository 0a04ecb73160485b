"""This module is where it is tested that rows have marks and extras as they were given, the same from every store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from aicore_obs.model.filter import Filter
from aicore_obs.protocols import Address
from aicore_obs.query.rows import read_rows
from tests.stored import flag, operation, record_id, write_json, write_postgres, write_sqlite

ODD = ("a_b", "a%b", "é", "😀", "'; DROP TABLE x; --", '"', " ", "a\x00b", "\ue000")


def _places(tmp_path: Path, postgres_url: str, records: list[Any]) -> list[Address]:
    lines, array = write_json(tmp_path / "a.jsonl", records), write_json(tmp_path / "a.json", records)
    return [lines, array, write_sqlite(tmp_path / "a.db", records), write_postgres(postgres_url, records)]


def _marks(text: str | None) -> list[tuple[str, str, str | None]]:
    return sorted((one["id"], one["reason"], one["note"]) for one in msgspec.json.decode(text or "[]"))


def test_marks_are_those_that_hold(tmp_path: Path, postgres_url: str) -> None:
    """The newest record of a reason counts, an un-flag of all takes away what came before it, and notes are kept."""
    records = [
        *(operation(number) for number in range(4)),
        *(flag(10 + number, 0, reason=reason, note=f"for {reason}") for number, reason in enumerate(ODD)),
        flag(30, 1, reason="bad", note="first"),
        flag(32, 1, reason="bad", note="third"),
        flag(31, 1, reason="bad", active=False),
        flag(40, 2, reason="bad"),
        flag(41, 2, active=False),
        flag(42, 2, reason="good"),
    ]
    for place in _places(tmp_path, postgres_url, records):
        found = {row[0]: _marks(row[1]) for row in read_rows(place, {}, ("operation_id", "flags_json"))}
        assert found[record_id(0)] == [
            (record_id(10 + number), reason, f"for {reason}") for number, reason in enumerate(ODD)
        ]
        assert found[record_id(1)] == [(record_id(32), "bad", "third")]
        assert found[record_id(2)] == [(record_id(42), "good", None)]
        assert found[record_id(3)] == []


def test_extras_come_whole(tmp_path: Path, postgres_url: str) -> None:
    """Whatever types a key has elsewhere, and whether it is null or not there."""
    given = [{"a": 1, "b": None}, {"a": "x", "é\x00": {"c": [1.5]}}, {}]
    records = [operation(number, extras=extras) for number, extras in enumerate(given)]
    for place in _places(tmp_path, postgres_url, records):
        rows = read_rows(place, {"order": "desc"}, ("extras_json",))
        assert [msgspec.json.decode(row[0]) for row in rows] == given[::-1]


@pytest.mark.parametrize("ids", [[], ["nobody"], ["'; --", record_id(3).upper()]])
def test_ids_that_nobody_has_match_nothing(tmp_path: Path, postgres_url: str, ids: list[str]) -> None:
    """Whatever they look like; an id is compared as it is written."""
    for place in _places(tmp_path, postgres_url, [operation(3)]):
        assert list(read_rows(place, {"operation_id": ids}, ("operation_id",))) == []
        assert len(list(read_rows(place, {"operation_id": [*ids, record_id(3)]}, ("operation_id",)))) == 1


def test_paging_passes_over_none_and_repeats_none(tmp_path: Path, postgres_url: str) -> None:
    """Pages follow one another in one order, equal times included; past the end there is nothing."""
    records = [operation(number, timestamp=operation(number // 3).timestamp) for number in range(10)]
    assert Filter.of(offset=3).offset == 3
    for place in _places(tmp_path, postgres_url, records):
        pages = [
            [row[0] for row in read_rows(place, {"offset": start, "limit": 3, "order": "desc"}, ("operation_id",))]
            for start in range(0, 15, 3)
        ]
        assert [one for page in pages for one in page] == [record_id(number) for number in range(9, -1, -1)]
        assert [len(page) for page in pages] == [3, 3, 3, 1, 0]
        assert len(list(read_rows(place, {"offset": 8}, ("operation_id",)))) == 2
