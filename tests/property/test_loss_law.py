"""This module is where law 2 is tested over any mix of good, odd, poisonous, dropped and failing records."""

from __future__ import annotations

import tempfile
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aicore_obs import DropRecord, LlmOperationCollector
from aicore_obs.model.record import Record
from tests.faults.law import assert_nothing_lost
from tests.faults.sinks import Healthy, Picky

fates = st.lists(st.sampled_from(["good", "odd", "poison", "drop", "fail"]), max_size=40)
ODD: dict[str, Any] = {"latency_ms": "soon", "tags": 7, "extras": object()}


def _process(record: Record) -> Record:
    if record.session_id == "drop":
        raise DropRecord("not wanted")
    if record.session_id == "fail":
        raise RuntimeError("cannot")
    return record


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(fates, min_size=1, max_size=3))
def test_every_record_is_somewhere(rounds: list[list[str]]) -> None:
    """After each flush the numbers add up for every sink, and the ids are where the numbers say."""
    picky, healthy = Picky(["poison"]), Healthy()
    ids: dict[str, list[str]] = {fate: [] for fate in ("good", "odd", "poison", "drop", "fail")}
    with (
        tempfile.TemporaryDirectory() as folder,
        LlmOperationCollector(sinks=[picky, healthy], processors=[_process], journal_dir=folder) as collector,
    ):
        for some in rounds:
            for fate in some:
                odd = ODD if fate == "odd" else {}
                ids[fate].append(str(collector.record_completion({"model": "m"}, session_id=fate, **odd)))
            result = collector.flush()
            assert bool(result) == (not {"poison", "fail"} & set(some))
            assert_nothing_lost(collector.stats())
            assert result.pending == 0
        numbers = collector.stats().sinks
        assert collector.stats().odd == len(ids["odd"])
        assert set(picky.ids) == {*ids["good"], *ids["odd"]}
        assert set(healthy.ids) == {*ids["good"], *ids["odd"], *ids["poison"]}
        assert len(healthy.ids) == len(set(healthy.ids))
        assert numbers[picky.name].dead_lettered == len(ids["poison"]) + len(ids["fail"])
        assert numbers[healthy.name].dead_lettered == len(ids["fail"])
        assert sum(numbers[healthy.name].dropped.values()) == len(ids["drop"])
