"""This module is where a JSON file is torn, locked by others and written by threads that came too late."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from aicore_obs import LlmOperationCollector
from tests.faults.law import assert_nothing_lost
from tests.faults.places import Place, assert_exactly_once

Opens = Callable[..., LlmOperationCollector]
CALL: dict[str, Any] = {"model": "m"}
KINDS = ["json", "jsonl"]
TRIES = 4


@pytest.mark.parametrize("kind", KINDS)
def test_writes_that_were_given_up_write_nothing_later(kind: str, tmp_path: Path, open_collector: Opens) -> None:
    """Another process holds the lock past several write time-outs: when it lets go, each record is there once."""
    place = Place.file(kind, tmp_path)
    collector = open_collector(**place.arguments, write_timeout_s=0.2)
    ids = [str(collector.record_completion(CALL))]
    assert collector.flush()
    with FileLock(f"{place.target}.lock"):
        ids += [str(collector.record_completion(CALL)) for _ in range(9)]
        for _ in range(TRIES):
            assert not collector.flush(timeout_s=0.5)
        assert "no answer" in str(collector.stats().sinks.popitem()[1].last_error)
    assert collector.flush(30)
    ids += [str(collector.record_completion(CALL)) for _ in range(10)]
    assert collector.flush(30)
    assert assert_exactly_once(place, ids) == 20
    assert collector.close()
    assert assert_exactly_once(place, ids) == 20
    assert_nothing_lost(collector.stats())


ELEMENT = (
    b'{"kind":"operation","id":"01900000-0000-7000-8000-000000000004","v":1,"tags":["a","b"],"extras":{"n":[[1],[2]]}}'
)


@pytest.mark.parametrize("cut", range(1, len(ELEMENT)))
def test_an_array_that_is_torn_anywhere_stays_an_array(cut: int, tmp_path: Path, open_collector: Opens) -> None:
    """Wherever a killed writer stopped, a bracket of a text included: the rest is moved aside, the array goes on."""
    place = Place.file("json", tmp_path)
    Path(place.target).write_bytes(b'[\n{"id":"first"},\n' + ELEMENT[:cut])
    collector = open_collector(**place.arguments)
    record_id = collector.record_completion(CALL)
    assert collector.close()
    assert place.stored_ids() == ["first", record_id]
    assert Path(f"{place.target}.torn").read_bytes().rstrip(b"\n").endswith(ELEMENT[:cut])


@pytest.mark.parametrize(
    "text", ['[{"id": "a"}, {"id": "b"}]', '[\n  {"id": "a"},\n  {"id": "b", "x": [\n 1\n]}\n]\n', "[]", "[ ]\n"]
)
def test_an_array_of_another_program_is_gone_on_with(text: str, tmp_path: Path, open_collector: Opens) -> None:
    """However it is laid out, a whole array takes further elements and stays one."""
    place = Place.file("json", tmp_path)
    Path(place.target).write_text(text)
    collector = open_collector(**place.arguments)
    ids = [str(collector.record_completion(CALL)) for _ in range(3)]
    assert collector.flush()
    ids += [str(collector.record_completion(CALL)) for _ in range(3)]
    assert collector.close()
    assert place.stored_ids() == [one["id"] for one in json.loads(text)] + ids
    assert not Path(f"{place.target}.torn").exists()
