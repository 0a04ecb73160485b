"""This module is where it is held that a predicate means the same to a store as to Polars.

The store is small and odd, and made once; the predicates are random.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta, timezone
from decimal import Decimal
from functools import reduce
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aicore_obs.model.cost import Cost
from aicore_obs.protocols import Address
from aicore_obs.query.reader import read_frame
from aicore_obs.query.scan import scan
from tests.postgres import PostgresServer
from tests.stored import START, operation, revision, write_postgres, write_sqlite

TEXTS = (
    *("", "a", "A", "ab", "a_b", "axb", "a%b", "%", "\\", "'", '"', "é", "e\u0301", "😀", "Ω", "z", " a", "a "),
    *(
        "a\x00b",
        "a\x00",
        "\x00",
        "b\x00a",
        "\ue000",
        "\ue0000",
        "a\ue0001",
        "\ue001",
        "\ufffd",
        "0",
        "1",
        "u",
        "not priced",
    ),
)
COUNTS = (None, 0, 1, 2, 2**53, 2**53 + 1, 2**63 - 1)
NUMBERS = (None, 0.0, 0.1, 0.1 + 0.2, 1.0, 1e-9, 5e300, float("inf"))
AMOUNTS = (None, Decimal(0), Decimal("0.1"), Decimal("1e-12"), Decimal("0.3"), Decimal("9223372.036854775807"))
TEXT_COLUMNS = ("model", "session_id", "provider", "cost_reason", "cost_source", "user_id")
COUNT_COLUMNS = ("total_tokens", "input_tokens")
NUMBER_COLUMNS = ("latency_ms", "temperature")
MONEY_COLUMNS = ("cost_usd", "input_cost_usd")
ROWS = 60


def rows() -> list[Any]:
    """Operations in which every odd value comes up, and new costs of some."""
    made = []
    for number in range(ROWS):
        text, other = TEXTS[number % len(TEXTS)], TEXTS[(number * 7 + 3) % len(TEXTS)]
        amount = AMOUNTS[number % len(AMOUNTS)]
        cost = Cost(total=amount, input=AMOUNTS[(number + 2) % len(AMOUNTS)], reason=other if number % 3 else None)
        known = {"model": text, "session_id": other, "provider": text} if number % 5 else {}
        made.append(
            operation(
                number,
                **known,
                cost=cost if number % 4 else None,
                total_tokens=COUNTS[number % len(COUNTS)],
                input_tokens=COUNTS[(number * 3) % len(COUNTS)],
                latency_ms=NUMBERS[number % len(NUMBERS)],
                temperature=NUMBERS[(number * 5) % len(NUMBERS)],
                labels={"app": text} if number % 3 else {},
                timestamp=START + timedelta(seconds=number % 7, microseconds=number % 2),
            )
        )
    costs = [revision(100 + number, number, Cost(total=Decimal("0.2"), source="é")) for number in range(0, ROWS, 9)]
    return [*made, *costs]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> Iterator[Address]:
    """The odd store."""
    if request.param == "sqlite":
        yield write_sqlite(tmp_path_factory.mktemp("odd") / "odd.db", rows())
        return
    url = postgres_server.create_database()
    yield write_postgres(url, rows())
    postgres_server.drop_database(url)


@pytest.fixture(scope="module")
def everything(place: Address) -> pl.DataFrame:
    """All of the store, as an eager frame."""
    return read_frame(place, {})


COMPARE: tuple[Callable[[Any, Any], pl.Expr], ...] = (
    lambda left, right: left == right,
    lambda left, right: left != right,
    lambda left, right: left < right,
    lambda left, right: left <= right,
    lambda left, right: left > right,
    lambda left, right: left >= right,
    lambda left, right: right < left,
    lambda left, right: left.eq_missing(right),
)
texts = st.one_of(st.sampled_from(TEXTS), st.text(max_size=2, alphabet=st.characters(codec="utf-8")))
times = st.builds(
    lambda seconds, micros, hours: (START + timedelta(seconds=seconds, microseconds=micros)).astimezone(
        timezone(timedelta(hours=hours))
    ),
    *(st.integers(-1, 8), st.integers(0, 2), st.integers(-1, 1)),
)
VALUES = {
    TEXT_COLUMNS: texts,
    COUNT_COLUMNS: st.one_of(st.sampled_from(COUNTS[1:]), st.integers(-1, 3), st.sampled_from([0.5, 2.0, 2.0**53])),
    NUMBER_COLUMNS: st.one_of(st.sampled_from([*NUMBERS[1:], float("nan")]), st.integers(0, 2)),
    MONEY_COLUMNS: st.one_of(
        st.sampled_from(AMOUNTS[1:]), st.sampled_from([0.1, 0.3, 1e-12, 0.0, 1, Decimal("0.0000000000005")])
    ),
    ("timestamp",): times,
}
flags = st.sampled_from(["both", "left", "right", "none"])


@st.composite
def comparisons(draw: st.DrawFn) -> pl.Expr:
    """One column beside one or two values."""
    columns = draw(st.sampled_from(list(VALUES)))
    column, values = pl.col(draw(st.sampled_from(columns))), VALUES[columns]
    if draw(st.booleans()):
        return column.is_between(draw(values), draw(values), closed=draw(flags))
    return draw(st.sampled_from(COMPARE))(column, draw(values))


@st.composite
def lists(draw: st.DrawFn) -> pl.Expr:
    """One column and a list of values, nulls among them."""
    columns = draw(st.sampled_from(list(VALUES)))
    kind = type(draw(VALUES[columns]))
    values = draw(st.lists(VALUES[columns].filter(lambda value: type(value) is kind), max_size=4))
    listed = [*values, None] if draw(st.integers(0, 3)) == 0 and values else values
    return pl.col(draw(st.sampled_from(columns))).is_in(listed, nulls_equal=draw(st.integers(0, 4)) == 0)


@st.composite
def others(draw: st.DrawFn) -> pl.Expr:
    """Parts of texts, nulls, and what no store is told of."""
    text = pl.col(draw(st.sampled_from(TEXT_COLUMNS)))
    any_column = pl.col(draw(st.sampled_from([name for names in VALUES for name in names])))
    asked = draw(texts)
    return draw(
        st.sampled_from(
            [
                text.str.starts_with(asked),
                text.str.ends_with(asked),
                text.str.contains(asked, literal=True),
                text.str.contains("^a", literal=False),
                any_column.is_null(),
                any_column.is_not_null(),
                text.str.len_bytes() > 1,
                text.str.to_lowercase() == "a",
                pl.col("labels").struct.field("app") == asked,
                pl.col("labels").struct.field("app") != asked,
                pl.col("operation_id").str.ends_with("1"),
                pl.col("operation_id") > asked,
                pl.col("operation_id").is_in([asked, "00000000-0000-7000-8000-000000000003"]),
                pl.col("timestamp").dt.second() > 2,
                pl.lit(True),
            ]
        )
    )


@st.composite
def predicates(draw: st.DrawFn, depth: int = 2) -> pl.Expr:
    """Leaves, and what and, or, xor and not make of them."""
    if depth == 0 or draw(st.integers(0, 2)) == 0:
        return draw(st.one_of(comparisons(), lists(), others()))
    parts = draw(st.lists(predicates(depth=depth - 1), min_size=1, max_size=3))
    joined = reduce(draw(st.sampled_from([lambda a, b: a & b, lambda a, b: a | b, lambda a, b: a ^ b])), parts)
    return ~joined if draw(st.booleans()) else joined


def wanted_of(frame: pl.DataFrame, predicate: pl.Expr) -> pl.DataFrame | None:
    """Return what Polars itself says; None for a question that it does not take."""
    try:
        return frame.lazy().filter(predicate).select("operation_id", "timestamp").collect()
    except pl.exceptions.PolarsError:
        return None


@settings(max_examples=60, deadline=None)
@given(predicate=predicates())
@example(predicate=pl.col("model") < "\x01")
@example(predicate=pl.col("model") > "\U0001f600")
@example(predicate=~pl.col("model").str.contains("0", literal=True))
@example(predicate=~pl.col("model").str.starts_with("\ue000"))
@example(predicate=~pl.col("latency_ms").is_not_null())
@example(predicate=pl.col("cost_usd") == 0.3)
@example(predicate=pl.col("total_tokens") >= 2.0**53)
def test_a_predicate_means_the_same_to_the_store(place: Address, everything: pl.DataFrame, predicate: pl.Expr) -> None:
    """Filtering the lazy frame gives the rows that filtering the eager frame gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = wanted_of(everything, predicate)
        if wanted is not None:
            found = scan(place, {}).filter(predicate).select("operation_id", "timestamp").collect()
            assert_frame_equal(found, wanted)


ONE_OF_EACH = {
    "model": "é",
    "cost_reason": "é",
    "total_tokens": 1,
    "latency_ms": 0.1,
    "cost_usd": Decimal("0.1"),
    "timestamp": START,
    "operation_id": operation(3).id,
}


def test_every_kind_of_column_can_be_asked_everything(place: Address, everything: pl.DataFrame) -> None:
    """Each comparison, lists and nulls, and the opposite."""
    for name, value in ONE_OF_EACH.items():
        column = pl.col(name)
        lazy = scan(place, {"columns": ["operation_id", "timestamp", name]})
        asked = [column.is_null(), column.is_not_null(), column.is_in([value, value])]
        for predicate in (*asked, *(compare(column, value) for compare in COMPARE)):
            for one in (predicate, ~predicate):
                found, wanted = lazy.filter(one).collect(), everything.filter(one)
                assert found["operation_id"].to_list() == wanted["operation_id"].to_list(), one
