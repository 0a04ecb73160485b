"""This module is where it is held that one filter gives the same rows, in the same order, from every store."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aicore_obs.model.events import Flag
from aicore_obs.model.filter import FILTER_NAMES, Filter
from aicore_obs.model.operation import Operation
from aicore_obs.protocols import Address
from aicore_obs.query.reader import read_frame
from aicore_obs.stores.matching import FoldedFlags, matcher
from tests.stored import START, flag, operation, write_json, write_postgres, write_sqlite

ODD_TEXTS = (
    *("a_b", "axb", "a%b", "%", "_", '"', "'", "''", "é", "e\u0301", "😀", " a", "a ", "", "a,b", ",", '","'),
    *("'; DROP TABLE aicore_obs_operations; --", "$1", "%(x)s", ":x", "\\", "\\u0000", "a\\", "a\x00b", "a\x00"),
    *("line\nbreak", "\r", "\t", "\x1f", "\x1e", "\ue000", "\ue0000", "{}", "[]", "null", "NaN", "a"),
)
# JSON has all of them; the unusual ones come from Hypothesis itself.
texts = st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=4, alphabet=st.characters(codec="utf-8")))
seconds = st.integers(0, 4).map(lambda number: START + timedelta(seconds=number))
counts = st.one_of(st.none(), st.integers(0, 3), st.just(2**53 + 1))
latencies = st.one_of(st.none(), st.floats(0, 5), st.sampled_from([0.1 + 0.2, 1e-9, 5e300]))
json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        texts,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(texts, inner, max_size=2)),
    max_leaves=4,
)


@st.composite
def stored(draw: st.DrawFn) -> list[Operation | Flag]:
    """Some operations, and flags on them."""
    height = draw(st.integers(0, 6))
    optional = {
        **dict.fromkeys(("project", "provider", "session_id", "run_id", "workspace", "agent_id", "user_id"), texts),
        "model": texts,
        "extras": st.dictionaries(texts, json_values, max_size=3),
        "response": json_values,
        "completion_args": st.dictionaries(texts, json_values, max_size=2),
        "labels": st.dictionaries(texts, texts, max_size=2),
    }
    records: list[Operation | Flag] = []
    for number in range(height):
        fields = draw(st.fixed_dictionaries({"timestamp": seconds}, optional=optional))
        tags = tuple(draw(st.lists(texts, max_size=3, unique=True)))
        records.append(operation(number, **fields, tags=tags, total_tokens=draw(counts), latency_ms=draw(latencies)))
    for number in range(100, 100 + draw(st.integers(0, 4))):
        reason = draw(st.sampled_from([None, "bad", "a_b", "a\x00b"]))
        active = reason is not None and draw(st.booleans())
        whom = draw(st.lists(st.integers(0, 6), max_size=3, unique=True))
        records.append(flag(number, *whom, reason=reason, active=active))
    return draw(st.permutations(records))


several = st.one_of(texts, st.lists(texts, max_size=3))
filters = st.fixed_dictionaries(
    {},
    optional={
        "start_date": seconds,
        "end_date": st.one_of(seconds, st.just("2026-01-01"), st.just(START.date())),
        **dict.fromkeys(("project", "provider", "model", "session_id", "user_id", "operation_type"), several),
        "status": st.sampled_from(["ok", "error"]),
        "min_tokens": st.integers(0, 3),
        "max_tokens": st.one_of(st.integers(0, 3), st.just(2**70)),
        "min_latency": st.one_of(st.integers(0, 3), st.just(0.1 + 0.2)),
        "max_latency": st.floats(0, 5),
        "tags": several,
        "labels": st.dictionaries(texts, texts, max_size=2),
        "flagged_for": st.sampled_from(["bad", ["a_b", "bad"], "a\x00b", "axb", []]),
        "limit": st.integers(0, 3),
        "order": st.sampled_from(["asc", "desc"]),
    },
)


def expected(records: list[Operation | Flag], given_filters: dict[str, Any]) -> list[str]:
    """The rule in its plainest words."""
    query = Filter.of(**given_filters)
    flags = FoldedFlags()
    for record in records:
        if isinstance(record, Flag):
            flags.add(record)
    matches = matcher(query)
    found = [one for one in records if isinstance(one, Operation) and matches(one)]
    if query.flagged_for is not None:
        found = [one for one in found if flags.any_of(one.id, query.flagged_for)]
    found.sort(key=lambda one: (one.timestamp, one.id), reverse=query.order == "desc")
    return [one.id for one in found][: query.limit]


def ids(address: Address, given_filters: dict[str, Any]) -> list[str]:
    """What a store answers."""
    return read_frame(address, given_filters)["operation_id"].to_list()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=stored(), asked=st.lists(filters, min_size=1, max_size=4))
def test_files_and_sqlite_answer_alike(
    tmp_path: Path, records: list[Operation | Flag], asked: list[dict[str, Any]]
) -> None:
    """A JSON array, JSON lines and SQLite give the same operations in the same order, and the same frames."""
    places = [
        write_json(tmp_path / "a.json", records),
        write_json(tmp_path / "a.jsonl", records),
        write_sqlite(tmp_path / "a.db", records),
    ]
    for one in asked:
        for place in places:
            assert ids(place, one) == expected(records, one), (place.kind, one)
    array, lines, database = (read_frame(place, {}) for place in places)
    assert_frame_equal(array, lines)
    assert_frame_equal(array, database)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=stored(), asked=st.lists(filters, min_size=1, max_size=3))
def test_postgres_answers_as_a_file_does(
    tmp_path: Path, postgres_url: str, records: list[Operation | Flag], asked: list[dict[str, Any]]
) -> None:
    """PostgreSQL gives the same operations in the same order; its frame differs in the spaces of JSON only."""
    place = write_postgres(postgres_url, records)
    for one in asked:
        assert ids(place, one) == expected(records, one), one
    # jsonb writes JSON in its own way, and turns 1.0 into a number without a fraction only by spelling.
    narrow = pl.exclude("completion_args", "response", "extras")
    file = read_frame(write_json(tmp_path / "a.jsonl", records), {})
    assert_frame_equal(read_frame(place, {}).select(narrow), file.select(narrow))


def test_every_filter_is_tried() -> None:
    """No filter is forgotten here; those left out are columns like the others, or need prices."""
    elsewhere = {"run_id", "workspace", "agent_id", "action_id", "min_cost", "max_cost", "columns"}
    tried = set(filters.wrapped_strategy.optional)  # type: ignore[attr-defined]
    assert tried | elsewhere == set(FILTER_NAMES)
