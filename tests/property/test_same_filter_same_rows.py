"""This module is where it is held that one filter gives the same rows, in the same order, from every store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aicore_obs.model.cost import Cost, CostLine
from aicore_obs.model.events import CostRevision, Flag, Score
from aicore_obs.model.filter import FILTER_NAMES, Filter
from aicore_obs.model.frame_columns import NOT_PRICED
from aicore_obs.model.operation import Operation
from aicore_obs.protocols import Address
from aicore_obs.query.costs import read_costs, sum_costs
from aicore_obs.query.reader import read_frame
from aicore_obs.stores.matching import FoldedFlags, FoldedScores, cost_matcher, is_seen, matcher
from tests.stored import START, flag, operation, revision, score, write_json, write_postgres, write_sqlite

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

# The edges of twelve places and of 64 bits, and what lies between.
amounts = st.one_of(
    st.sampled_from([Decimal(0), Decimal("0.1"), Decimal("0.2"), Decimal("1e-12"), Decimal("9223372.036854775807")]),
    st.integers(-5, 5).map(lambda quanta: Decimal(quanta).scaleb(-12)),
)
lines = st.builds(
    CostLine, unit=st.just("input_mtok"), amount=amounts, side=st.just("input"), quantity=st.integers(0, 9), model=texts
)
costs = st.builds(
    Cost,
    **dict.fromkeys(("total", "input", "output"), st.one_of(st.none(), amounts)),
    **dict.fromkeys(("source", "reason", "model", "price_id", "book"), st.one_of(st.none(), texts)),
    lines=st.lists(lines, max_size=2).map(tuple),
)
score_names = st.sampled_from(["helpful", "a_b", "a\x00b", "\ue000"])
Stored = Operation | Flag | CostRevision | Score


@st.composite
def stored(draw: st.DrawFn) -> list[Stored]:
    """Some operations, flags on them, scores of them, and revisions of their costs."""
    height = draw(st.integers(0, 6))
    optional = {
        **dict.fromkeys(("project", "provider", "session_id", "run_id", "workspace", "agent_id", "user_id"), texts),
        "model": texts,
        "extras": st.dictionaries(texts, json_values, max_size=3),
        "response": json_values,
        "completion_args": st.dictionaries(texts, json_values, max_size=2),
        "labels": st.dictionaries(texts, texts, max_size=2),
        "cost": costs,
    }
    records: list[Stored] = []
    for number in range(height):
        fields = draw(st.fixed_dictionaries({"timestamp": seconds}, optional=optional))
        tags = tuple(draw(st.lists(texts, max_size=3, unique=True)))
        records.append(operation(number, **fields, tags=tags, total_tokens=draw(counts), latency_ms=draw(latencies)))
    for number in range(100, 100 + draw(st.integers(0, 4))):
        reason = draw(st.sampled_from([None, "bad", "a_b", "a\x00b"]))
        active = reason is not None and draw(st.booleans())
        whom = draw(st.lists(st.integers(0, 6), max_size=3, unique=True))
        records.append(flag(number, *whom, reason=reason, active=active))
    values = st.one_of(st.none(), st.booleans(), st.sampled_from([-1.0, 0.5, 0.1 + 0.2, 1e300]), texts)
    records += [
        score(number, draw(st.integers(0, 3)), draw(score_names), draw(values))
        for number in range(150, 150 + draw(st.integers(0, 6)))
    ]
    # Of few operations, so that some are costed again and again.
    for number in range(200, 200 + draw(st.integers(0, 5))):
        of, cost, author = draw(st.integers(0, 1)), draw(costs), draw(st.one_of(st.none(), texts))
        records.append(revision(number, of, cost, author=author, timestamp=draw(seconds)))
    return draw(st.permutations(records))


score_bounds = st.dictionaries(score_names, st.sampled_from([-1, 0, 0.3, "0.5", 1, "1e400"]), max_size=2)
several = st.one_of(texts, st.lists(texts, max_size=3))
bounds = st.one_of(
    amounts,
    st.sampled_from(
        [0.1, 0.1 + 0.2, "0.0000000000005", "-0.0000000000005", "1e-400", "1e400", "Infinity", "-Infinity"]
    ),
    st.sampled_from(["9223372.036854775808", "-9223372.036854775809"]),
)
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
        **dict.fromkeys(("min_cost", "max_cost"), bounds),
        "cost_as_of": st.one_of(seconds, st.just("2026-01-01"), st.just("2025-12-31"), st.just(date.max)),
        "tags": several,
        "labels": st.dictionaries(texts, texts, max_size=2),
        "flagged_for": st.sampled_from(["bad", ["a_b", "bad"], "a\x00b", "axb", []]),
        "scored": st.one_of(score_names, st.lists(score_names, max_size=2)),
        **dict.fromkeys(("min_score", "max_score"), score_bounds),
        "limit": st.integers(0, 3),
        "offset": st.integers(0, 3),
        "operation_id": st.sampled_from(["nobody", [], operation(0).id, ["1", operation(1).id, operation(2).id]]),
        "order": st.sampled_from(["asc", "desc"]),
    },
)


def expected(records: Sequence[Stored], given_filters: dict[str, Any]) -> list[str]:
    """The rule in its plainest words."""
    query = Filter.of(**given_filters)
    flags = FoldedFlags()
    for record in records:
        if isinstance(record, Flag):
            flags.add(record)
    scores = FoldedScores()
    for record in records:
        if isinstance(record, Score):
            scores.add(record)
    matches, affordable = matcher(query), cost_matcher(query) or (lambda amount: True)
    found = [one for one in records if isinstance(one, Operation) and matches(one)]
    if query.flagged_for is not None:
        found = [one for one in found if flags.any_of(one.id, query.flagged_for)]
    found = [one for one in found if scores.match(one.id, query)]
    found = [one for one in found if affordable(shown(one, records, query).total)]
    found.sort(key=lambda one: (one.timestamp, one.id), reverse=query.order == "desc")
    return [one.id for one in found][query.offset :][: query.limit]


def shown(one: Operation, records: Sequence[Stored], query: Filter) -> Cost:
    """The cost that is shown for an operation: the newest revision's, else its own."""
    revisions = [each for each in records if isinstance(each, CostRevision) and each.operation_id == one.id]
    seen = [each for each in revisions if is_seen(each, query)]
    cost = max(seen, key=lambda each: each.id).cost if seen else one.derived and one.derived.cost
    return cost or Cost()


def expected_costs(records: Sequence[Stored], given_filters: dict[str, Any]) -> list[tuple[Decimal | None, str | None]]:
    """What the operations that match are shown to cost, in order, and why not."""
    by_id = {one.id: one for one in records if isinstance(one, Operation)}
    query = Filter.of(**given_filters)
    found = [shown(by_id[one], records, query) for one in expected(records, given_filters)]
    return [(one.total, NOT_PRICED if one.total is None and one.reason is None else one.reason) for one in found]


def check_costs(place: Address, records: Sequence[Stored], given_filters: dict[str, Any]) -> None:
    """Columns, sum and ledger of a store say the same of costs."""
    wanted = expected_costs(records, given_filters)
    frame = read_frame(place, {**given_filters, "columns": ["cost_usd", "cost_reason"]})
    assert frame.rows() == wanted
    known = [total for total, _ in wanted if total is not None]
    summed = sum_costs(place, given_filters)
    partial = sum(total is not None and reason is not None for total, reason in wanted)
    assert (summed.total, summed.priced, summed.partial) == (sum(known), len(known), partial)
    assert summed.unpriced == len(wanted) - len(known)
    ledger = read_costs(place, given_filters)
    assert [row for row, first in zip(ledger["operation_id"], ledger["revision"] == 0, strict=True) if first] == (
        expected(records, given_filters)
    )
    newest = ledger.group_by("operation_id", maintain_order=True).last()
    assert newest.select("cost_usd", "cost_reason").rows() == wanted


def ids(address: Address, given_filters: dict[str, Any]) -> list[str]:
    """What a store answers."""
    return read_frame(address, given_filters)["operation_id"].to_list()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=stored(), asked=st.lists(filters, min_size=1, max_size=4))
def test_files_and_sqlite_answer_alike(tmp_path: Path, records: list[Stored], asked: list[dict[str, Any]]) -> None:
    """A JSON array, JSON lines and SQLite give the same operations in the same order, and the same frames."""
    places = [
        write_json(tmp_path / "a.json", records),
        write_json(tmp_path / "a.jsonl", records),
        write_sqlite(tmp_path / "a.db", records),
    ]
    for one in asked:
        for place in places:
            assert ids(place, one) == expected(records, one), (place.kind, one)
    for place in places:
        check_costs(place, records, asked[0])
    array, lines, database = (read_frame(place, {}) for place in places)
    assert_frame_equal(array, lines)
    assert_frame_equal(array, database)
    array, lines, database = (read_costs(place, {}) for place in places)
    assert_frame_equal(array, lines)
    assert_frame_equal(array, database)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=stored(), asked=st.lists(filters, min_size=1, max_size=3))
def test_postgres_answers_as_a_file_does(
    tmp_path: Path, postgres_url: str, records: list[Stored], asked: list[dict[str, Any]]
) -> None:
    """PostgreSQL gives the same operations in the same order; its frame differs in the spaces of JSON only."""
    place = write_postgres(postgres_url, records)
    for one in asked:
        assert ids(place, one) == expected(records, one), one
    check_costs(place, records, asked[0])
    # jsonb writes JSON in its own way, and turns 1.0 into a number without a fraction only by spelling.
    narrow = pl.exclude("completion_args", "response", "extras")
    lines = write_json(tmp_path / "a.jsonl", records)
    file = read_frame(lines, {})
    assert_frame_equal(read_frame(place, {}).select(narrow), file.select(narrow))
    no_json = pl.exclude("cost_lines")
    assert_frame_equal(read_costs(place, {}).select(no_json), read_costs(lines, {}).select(no_json))


def test_every_filter_is_tried() -> None:
    """No filter is forgotten here; those left out are columns like the others."""
    elsewhere = {"run_id", "workspace", "agent_id", "action_id", "columns"}
    tried = set(filters.wrapped_strategy.optional)  # type: ignore[attr-defined]
    assert tried | elsewhere == set(FILTER_NAMES)
