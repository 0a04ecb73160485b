"""This module is where the laws of a reconciliation are held: what is equal matches, sums are exact, changes show."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from aicore_obs import reconcile
from tests.statements import at, is_exact, lines, operations

_MODELS = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "o3": "o3-2025-04-16",
}
_MONEY = st.integers(min_value=1, max_value=10**15).map(lambda units: Decimal(units).scaleb(-12))
_TOKENS = st.integers(min_value=1, max_value=10**9)
_OPERATION = st.fixed_dictionaries(
    {
        "model": st.sampled_from(sorted(_MODELS)),
        "timestamp": st.integers(min_value=0, max_value=5 * 24 * 3600 - 1).map(
            lambda seconds: at(1, 0) + timedelta(seconds=seconds)
        ),
        "cost_usd": _MONEY,
        "input_tokens": _TOKENS,
        "output_tokens": _TOKENS,
    }
)
_OPERATIONS = st.lists(_OPERATION, min_size=1, max_size=30)


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return operations(
        *(
            {**row, "response_model": _MODELS[row["model"]], "response_id": f"r-{number}"}
            for number, row in enumerate(rows)
        )
    )


def _statement(frame: pl.DataFrame, *, by_request: bool = False) -> list[dict[str, Any]]:
    """Return the lines that a provider would send for a frame of ours: per request, or per day and model."""
    days = frame.with_columns(pl.col("timestamp").dt.date().alias("day"), pl.col("model").alias("model_name"))
    if by_request:
        return [{**row, "request_id": row["response_id"], "amount_usd": row["cost_usd"]} for row in days.to_dicts()]
    sums = days.group_by("day", "model_name", maintain_order=True).agg(
        pl.col("cost_usd").sum().alias("amount_usd"), pl.col("input_tokens", "output_tokens").sum()
    )
    return list(sums.to_dicts())


@given(rows=_OPERATIONS, random=st.randoms(use_true_random=False), by_request=st.booleans())
def test_a_statement_of_our_own_frame_matches(rows: list[dict[str, Any]], random: Any, by_request: bool) -> None:
    """In any order of its lines, and of ours, without a tolerance."""
    frame = _frame(rows)
    statement = _statement(frame, by_request=by_request)
    random.shuffle(statement)
    result = reconcile(frame.sample(fraction=1, shuffle=True, seed=1), lines(*statement), tolerance=0)
    assert result.ok
    assert result.totals.difference_usd == 0
    assert result.totals.operations == len(rows)
    assert result.by == ("request" if by_request else "day")
    assert is_exact(result)


@given(rows=_OPERATIONS, data=st.data(), by_request=st.booleans())
def test_a_missing_line_shows_itself_and_nothing_else(
    rows: list[dict[str, Any]], data: st.DataObject, by_request: bool
) -> None:
    """On our side or on theirs."""
    frame = _frame(rows)
    statement = _statement(frame, by_request=by_request)
    gone = statement.pop(data.draw(st.integers(0, len(statement) - 1)))
    by = "request" if by_request and statement else "day"
    result = reconcile(frame, lines(*statement), tolerance=0, by=by)
    assert result.mismatch.height == result.provider_only.height == 0
    if by_request and statement:
        assert result.ours_only["request_id"].to_list() == [gone["request_id"]]
    elif statement:
        assert result.ours_only.select("day", "model").rows() == [(gone["day"], gone["model_name"])]
    assert result.totals.difference_usd == -gone["amount_usd"]
    assert is_exact(result)


@given(rows=_OPERATIONS, data=st.data())
def test_a_line_of_more_shows_itself_and_nothing_else(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    """What only the provider has."""
    frame = _frame(rows)
    amount = data.draw(_MONEY)
    extra = {"day": at(data.draw(st.integers(1, 9))).date(), "model_name": "gpt-5", "amount_usd": amount}
    result = reconcile(frame, lines(*_statement(frame), extra), tolerance=0)
    assert result.mismatch.height == result.ours_only.height == 0
    assert result.provider_only.select("day", "model", "provider_usd").rows() == [(extra["day"], "gpt-5", amount)]
    assert result.provider_only["cause"].to_list() == ["not_recorded"]
    assert is_exact(result)


@given(rows=_OPERATIONS, factor=st.sampled_from(["0.5", "2", "1.1", "6", "0.25", "3.5"]), with_tokens=st.booleans())
def test_another_price_for_a_model_names_its_ratio(rows: list[dict[str, Any]], factor: str, with_tokens: bool) -> None:
    """Each day of the model has the cause and the ratio; the other models match."""
    # Ten dollars or more, so that no ratio is blurred by the tolerance.
    frame = _frame([{**row, "cost_usd": Decimal(int(row["cost_usd"] * 10**6) + 10)} for row in rows])
    scaled = rows[0]["model"]
    statement = _statement(frame)
    for row in statement:
        if row["model_name"] == scaled:
            row["amount_usd"] *= Decimal(factor)
        if not with_tokens:
            row["input_tokens"] = row["output_tokens"] = None
    result = reconcile(frame, lines(*statement))
    days = {row["day"] for row in statement if row["model_name"] == scaled}
    assert set(result.mismatch["model"]) == {scaled}
    assert set(result.mismatch["day"]) == days
    assert result.ours_only.height == result.provider_only.height == 0
    told = with_tokens or len(days) > 1 or factor in {"0.5", "2", "1.1", "6"}
    assert set(result.mismatch["cause"]) == ({"price"} if told else {"unexplained"})
    assert set(result.mismatch["ratio"]) == ({Decimal(factor)} if told else {None})
    assert is_exact(result)


_LINE = st.fixed_dictionaries(
    {
        "day": st.integers(1, 7).map(lambda day: at(day).date()),
        "model_name": st.sampled_from(["gpt-4o", "o3", None]),
        "fee": st.sampled_from([None, None, "web_search", "tax"]),
        "kind": st.sampled_from([None, "input", "output", "cache_read"]),
        "request_id": st.sampled_from([None, None, "r-0", "r-1", "x"]),
        "input_tokens": st.none() | _TOKENS,
        "amount_usd": st.none() | st.integers(-(10**12), 10**14).map(lambda units: Decimal(units).scaleb(-12)),
        "project_id": st.sampled_from([None, "p", "q"]),
        "row": st.just(1),
    }
)
_ANY_OPERATION = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["gpt-4o", "o3", None]),
        "timestamp": st.integers(0, 8 * 24 - 1).map(lambda hours: at(1, 0) + timedelta(hours=hours)),
        "cost_usd": st.none() | st.just(Decimal(0)) | _MONEY,
        "input_cost_usd": st.none() | st.just(Decimal(0)),
        "output_cost_usd": st.none() | st.just(Decimal(0)),
        "web_searches": st.none() | st.integers(0, 2),
        "input_tokens": st.none() | _TOKENS,
        "cache_read_tokens": st.none() | _TOKENS,
        "status": st.sampled_from(["ok", "error"]),
        "response_id": st.sampled_from([None, "r-0", "r-1", "r-2"]),
    }
)


@settings(max_examples=100)
@given(
    rows=st.lists(_ANY_OPERATION, max_size=12),
    statement=st.lists(_LINE, max_size=12),
    by=st.sampled_from([None, "day", "period"]),
)
def test_ours_and_the_differences_are_theirs(
    rows: list[dict[str, Any]], statement: list[dict[str, Any]], by: str | None
) -> None:
    """Whatever is compared: nothing is counted twice or left out, and every difference has a cause."""
    if statement and all(row["amount_usd"] is None for row in statement):
        statement[0]["amount_usd"] = Decimal(1)
    frame = operations(*rows)
    result = reconcile(frame, lines(*statement), by=by)
    assert is_exact(result)
    assert result.totals.ours_usd == sum((row["cost_usd"] or 0 for row in rows), Decimal(0))
    assert result.totals.provider_usd == sum((row["amount_usd"] or 0 for row in statement), Decimal(0))
    assert result.totals.operations == len(rows)
    for part in ("mismatch", "ours_only", "provider_only"):
        assert result.parts[part]["cause"].null_count() == 0
