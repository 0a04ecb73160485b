"""This module is where a reconciliation is tested: what is compared, and each cause by the figures that prove it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal, Inexact, Rounded, localcontext
from typing import Any

import polars as pl
import pytest

from aicore_obs import read_statement, reconcile
from aicore_obs.errors import ConfigurationError, StatementError
from tests.statements import FIXTURES, at, is_exact, lines, operations, words

D = Decimal
AUGUST_1, AUGUST_2 = at(1).date(), at(2).date()


def test_line_items_of_a_day_and_model_are_one_amount() -> None:
    """Input, cached input and output of a snapshot are what our operations of the alias cost; searches are a fee."""
    ours = operations(
        {"cost_usd": "0.1", "input_tokens": 40_000, "output_tokens": 1_500, "cache_read_tokens": 10_000},
        {"cost_usd": "0.0575", "input_tokens": 20_000, "output_tokens": 500, "response_model": "gpt-4o-2024-08-06"},
        {"cost_usd": "0.4", "model": "gpt-5.6-sol", "output_tokens": 8_000, "timestamp": at(3)},
    )
    result = reconcile(ours, FIXTURES / "openai_costs.json")
    assert result.matched.select("day", "model", "ours_usd", "provider_usd").rows() == [
        (AUGUST_1, "gpt-4o", D("0.1575"), D("0.1575")),
        (date(2026, 8, 3), "gpt-5.6-sol", D("0.4"), D("0.4")),
    ]
    assert result.matched["provider_input_tokens"].to_list() == [60_000, None]
    assert result.provider_only.select("fee", "provider_usd", "cause").rows() == [("web_search", D("0.01"), "fee")]
    assert not result.ok
    assert (result.totals.start, result.totals.end) == (AUGUST_1, date(2026, 8, 4))
    assert is_exact(result)


def test_a_fee_that_our_costs_contain_is_compared_by_itself() -> None:
    """What is neither input nor output of a call that searched stands with the statement's fee."""
    search = {"cost_usd": "0.1675", "input_cost_usd": "0.1375", "output_cost_usd": "0.02", "web_searches": 1}
    ours = operations(search, {"cost_usd": "0.4", "model": "gpt-5.6-sol", "timestamp": at(3)})
    result = reconcile(ours, FIXTURES / "openai_costs.json", tolerance=0)
    assert result.ok
    assert sorted(result.matched["fee"].drop_nulls()) == ["web_search"]
    assert result.totals.operations == 2
    assert is_exact(result)


def test_a_statement_without_models_is_compared_by_day() -> None:
    """The dashboard's export of day totals: all our models of a day are one amount."""
    ours = operations({"cost_usd": "0.1"}, {"cost_usd": "0.0675", "model": "o3"})
    result = reconcile(ours, FIXTURES / "openai_day_totals.csv")
    assert result.matched.select("day", "model", "ours_usd").rows() == [(AUGUST_1, None, D("0.1675"))]
    assert result.ok


def test_requests_match_by_the_providers_id_or_ours() -> None:
    """``response_id`` first, then ``operation_id``; the default tolerance is that of requests."""
    ours = operations(
        {"response_id": "gen-1", "cost_usd": "0.000086", "provider": "openrouter"},
        {"response_id": "gen-2", "cost_usd": "0.0133", "provider": "openrouter"},
        {"operation_id": "gen-3", "cost_usd": "0.00105", "provider": "openai"},
        {"response_id": "gen-4", "cost_usd": "0.5", "server_address": "openrouter.ai"},
        {"response_id": "gen-5", "cost_usd": "0.7", "provider": "anthropic"},
    )
    result = reconcile(ours, FIXTURES / "openrouter_activity.csv")
    assert result.by == "request"
    assert sorted(result.matched["request_id"]) == ["gen-1", "gen-3"]
    assert result.mismatch.select("request_id", "day", "model", "difference_usd").rows() == [
        ("gen-2", AUGUST_1, "gpt-4o", D("0.0000176"))
    ]
    assert result.ours_only.select("request_id", "cause").rows() == [("gen-4", "not_billed")]
    assert result.totals.other_operations == 1
    assert is_exact(result)


def test_ids_that_nobody_knows_are_no_keys() -> None:
    """Where no id of the statement is ours, days and models are compared, unless ids were asked for."""
    ours = operations({"response_id": "other", "cost_usd": "1"})
    statement = lines({"request_id": "req-1", "amount_usd": "1"})
    assert reconcile(ours, statement).by == "day"
    assert reconcile(ours, statement).ok
    assert not reconcile(ours, statement, by="request").ok


def test_lines_of_a_month_are_compared_over_the_period() -> None:
    """All our days together; a fee of a month changes nothing about days."""
    ours = operations({"cost_usd": "1"}, {"cost_usd": "2", "timestamp": at(20)})
    statement = lines({"amount_usd": "3", "end_day": date(2026, 9, 1)})
    result = reconcile(ours, statement)
    assert (result.by, result.ok) == ("period", True)
    with pytest.raises(ConfigurationError, match="more than a day"):
        reconcile(ours, statement, by="day")
    month = {"amount_usd": "9", "model": None, "model_name": None, "fee": "tax", "end_day": date(2026, 9, 1)}
    assert reconcile(ours, lines({"amount_usd": "3"}, month)).by == "day"


def test_other_providers_are_left_out_and_counted() -> None:
    """By the server's address, else by the provider's name; where none fits, all are compared."""
    ours = operations(
        {"cost_usd": "1"},
        {"cost_usd": "5", "provider": "anthropic", "model": "claude-sonnet-4-5"},
        {"cost_usd": "7", "provider": "openai", "server_address": "openrouter.ai"},
        {"cost_usd": "9", "provider": "azure_openai"},
    )
    result = reconcile(ours, lines({"amount_usd": "1"}))
    assert result.ok
    assert result.totals.other_operations == 3
    assert reconcile(ours, lines({"amount_usd": "22", "provider": "mine"}), by="period").totals.operations == 4


def _cause(our: list[dict[str, Any]], their: list[dict[str, Any]], part: str = "mismatch", **options: Any) -> Any:
    result = reconcile(operations(*our), lines(*their), **options)
    assert is_exact(result)
    return words(result, part)


def test_rounding_matches_and_says_so() -> None:
    """A cent of a day and model; an exact match says nothing."""
    result = reconcile(operations({"cost_usd": "1.004"}), lines({"amount_usd": "1"}))
    assert result.ok
    assert words(result, "matched") == ["rounding"]
    assert words(reconcile(operations({"cost_usd": "1"}), lines({"amount_usd": "1"})), "matched") == [None]


def test_unpriced_operations_are_no_zeros() -> None:
    """They are counted beside, explain a difference in the provider's favour, and never match by being nothing."""
    our = [{"cost_usd": "1"}, {"cost_usd": None, "cost_reason": "no price", "input_tokens": 5}]
    assert _cause(our, [{"amount_usd": "3"}]) == ["unpriced"]
    assert _cause(our[1:], [{"amount_usd": "0.001"}]) == ["unpriced"]
    assert _cause(our[1:], [{"amount_usd": "1", "model_name": "o3"}], "ours_only") == ["unpriced"]
    result = reconcile(operations(*our), lines({"amount_usd": "1"}))
    assert result.ok
    assert result.totals.unpriced_operations == 1
    assert result.matched["unpriced"].to_list() == [1]


def test_a_cost_beside_a_reason_is_a_lower_bound() -> None:
    """It explains that the provider charged more, and the reason is told."""
    our = [{"cost_usd": "1", "cost_reason": "no price for web searches"}]
    result = reconcile(operations(*our), lines({"amount_usd": "3"}))
    assert words(result) == ["unpriced"]
    assert result.mismatch["explanation"].item() == (
        "1 operation of ours has a price for a part only: no price for web searches"
    )
    assert result.totals.partly_priced_operations == 1


def test_what_owes_nothing_is_no_difference() -> None:
    """A call that failed before it used anything, a free call, a line of zero."""
    our = [{"cost_usd": None, "status": "error"}, {"cost_usd": "0", "model": "llama"}]
    result = reconcile(operations(*our), lines({"amount_usd": "0", "model_name": "o3"}))
    assert result.ok
    assert result.totals.unpriced_operations == 0


TOKENS = {"input_tokens": 1_000, "output_tokens": 100}


@pytest.mark.parametrize(
    ("our", "their", "cause"),
    [
        ({"cost_usd": "1", **TOKENS}, {"amount_usd": "3", "input_tokens": 3_000, "output_tokens": 300}, "missing"),
        ({"cost_usd": "3", **TOKENS}, {"amount_usd": "1", "input_tokens": 300, "output_tokens": 30}, "extra"),
        ({"cost_usd": "1", **TOKENS}, {"amount_usd": "0.5", **TOKENS}, "price"),
        ({"cost_usd": "1", **TOKENS}, {"amount_usd": "1.77", **TOKENS}, "price"),
        (
            {"cost_usd": "1", **TOKENS, "cache_read_tokens": 500},
            {"amount_usd": "1.4", **TOKENS, "cache_read_tokens": 0},
            "cached_as_input",
        ),
        (
            {"cost_usd": "1.4", **TOKENS},
            {"amount_usd": "1", **TOKENS, "cache_read_tokens": 500},
            "cached_unseen",
        ),
        ({"cost_usd": "1"}, {"amount_usd": "1.33"}, "unexplained"),
        ({"cost_usd": "1"}, {"amount_usd": "2"}, "price"),
        ({"cost_usd": "1", **TOKENS}, {"amount_usd": "0.5", "input_tokens": 3_000}, "unexplained"),
    ],
)
def test_tokens_tell_the_cause(our: dict[str, Any], their: dict[str, Any], cause: str) -> None:
    """More or fewer of them, the same ones at another price, or cached ones on one side only."""
    expected = f"{cause}_operations" if cause in ("missing", "extra") else cause
    assert _cause([our], [their]) == [expected]


def test_a_statement_by_kinds_tells_of_cached_tokens_without_counts() -> None:
    """There is a line for input and none for cached input."""
    our = {"cost_usd": "1", "cache_read_tokens": 500, "input_tokens": 900}
    their = [{"amount_usd": "1", "kind": "input"}, {"amount_usd": "0.6", "kind": "output"}]
    assert _cause([our], their) == ["cached_as_input"]
    assert _cause([our], [*their, {"amount_usd": "0.1", "kind": "cache_read"}]) == ["unexplained"]


def test_the_usage_export_brings_the_tokens() -> None:
    """Beside the costs: its tokens count and its lines add no amount."""
    usage = {"amount_usd": None, **TOKENS}
    result = reconcile(operations({"cost_usd": "1", **TOKENS}), lines({"amount_usd": "2"}, usage))
    assert words(result) == ["price"]
    assert result.mismatch["provider_input_tokens"].to_list() == [1_000]
    assert result.totals.lines == 1
    with pytest.raises(StatementError, match="no amounts"):
        reconcile(operations({"cost_usd": "1"}), lines(usage))


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        ("0.5", "0.5 times our price: batch or flex"),
        ("2", "2 times our price: priority, or long context"),
        ("1.1", "1.1 times our price: regional processing"),
        ("6", "6 times our price: fast mode"),
    ],
)
def test_a_usual_ratio_has_a_name(theirs: str, told: str) -> None:
    """Price lists have it."""
    result = reconcile(operations({"cost_usd": "100"}), lines({"amount_usd": D(theirs) * 100}))
    assert told in result.mismatch["explanation"].item()
    assert result.mismatch["ratio"].item() == D(theirs)


def test_the_statement_names_the_tier_of_another_price() -> None:
    """Its own word comes before what a ratio suggests."""
    result = reconcile(operations({"cost_usd": "100"}), lines({"amount_usd": "50", "tier": "batch"}))
    assert "our price: batch" in result.mismatch["explanation"].item()


def test_a_shift_over_midnight_cancels() -> None:
    """Neighbouring days whose differences sum to nothing, in whatever part they stand."""
    our = [{"cost_usd": "5", "timestamp": at(day)} for day in (1, 2, 3)]
    their = [{"amount_usd": amount, "day": at(day).date()} for day, amount in ((1, "3"), (2, "6"), (3, "6"))]
    assert _cause(our, their) == ["day_boundary"] * 3
    moved = [{"amount_usd": amount, "day": at(day).date()} for day, amount in ((1, "3"), (2, "5"), (3, "5"), (4, "2"))]
    assert _cause(our, moved) == ["day_boundary"]
    assert _cause(our, moved, "provider_only") == ["day_boundary"]
    apart = [{"amount_usd": "4"}, {"amount_usd": "6", "day": at(3).date()}]
    assert _cause([our[0], our[2]], apart) == ["unexplained"] * 2


def test_one_amount_under_another_name() -> None:
    """A deployment's name on our side; both rows say so."""
    result = reconcile(operations({"cost_usd": "4", "model": "my-deployment"}), lines({"amount_usd": "4"}))
    assert words(result, "ours_only") == words(result, "provider_only") == ["other_name"]
    assert "gpt-4o" in result.ours_only["explanation"].item()
    assert "my-deployment" in result.provider_only["explanation"].item()


def test_the_model_that_was_priced_or_served_is_known_too() -> None:
    """Of our names the one that the statement has."""
    our = {"cost_usd": "4", "model": "my-deployment", "priced_model": "gpt-4o"}
    assert reconcile(operations(our), lines({"amount_usd": "4"})).ok
    served = {"cost_usd": "4", "model": "router", "response_model": "gpt-4o-2024-08-06"}
    assert reconcile(operations(served), lines({"amount_usd": "4"})).ok


def test_records_with_one_response_id() -> None:
    """The second one of them is the excess."""
    our = [{"cost_usd": "1", "response_id": "r"}, {"cost_usd": "1", "response_id": "r"}]
    assert _cause(our, [{"amount_usd": "1"}]) == ["recorded_twice"]
    assert _cause(our, [{"amount_usd": "1.5"}]) == ["unexplained"]


def test_the_lines_of_another_project() -> None:
    """The difference is exactly what one project or key cost."""
    their = [{"amount_usd": "1", "project_id": "ours"}, {"amount_usd": "3.3", "project_id": "theirs"}]
    result = reconcile(operations({"cost_usd": "1"}), lines(*their))
    assert words(result) == ["other_project"]
    assert "project_id theirs, $3.30" in result.mismatch["explanation"].item()


def test_a_day_that_the_statement_is_not_about() -> None:
    """An operation of another month is not an unbilled one."""
    our = [{"cost_usd": "1"}, {"cost_usd": "1", "timestamp": at(9)}]
    assert _cause(our, [{"amount_usd": "1"}], "ours_only") == ["outside_period"]


def test_days_are_utc_and_half_open() -> None:
    """Midnight belongs to the day that begins."""
    ours = operations({"cost_usd": "1", "timestamp": at(2, 0)}, {"cost_usd": "2", "timestamp": at(1, 23)}).with_columns(
        pl.col("timestamp").dt.convert_time_zone("UTC")
    )
    result = reconcile(ours, lines({"amount_usd": "2"}, {"amount_usd": "1", "day": AUGUST_2}), tolerance=0)
    assert result.ok


@pytest.mark.parametrize("tolerance", ["x", "-1", "nan"])
def test_a_tolerance_is_an_amount(tolerance: str) -> None:
    """Of 0 or more."""
    with pytest.raises(ConfigurationError, match="tolerance="):
        reconcile(operations(), lines(), tolerance=tolerance)


def test_what_cannot_be_compared_is_refused() -> None:
    """A frame without costs or with floats, lines that are none, an unknown way."""
    with pytest.raises(ConfigurationError, match="no column cost_usd"):
        reconcile(operations().drop("cost_usd"), lines())
    with pytest.raises(ConfigurationError, match="cost_usd is Float64"):
        reconcile(operations().with_columns(pl.col("cost_usd").cast(pl.Float64)), lines())
    with pytest.raises(StatementError, match="day and amount_usd"):
        reconcile(operations(), pl.DataFrame({"a": [1]}))
    with pytest.raises(ConfigurationError, match="by='week'"):
        reconcile(operations(), lines(), by="week")
    with pytest.raises(ConfigurationError, match="no ids"):
        reconcile(operations(), lines({"amount_usd": "1"}), by="request")


def test_few_columns_are_enough() -> None:
    """On both sides."""
    ours = pl.DataFrame({"timestamp": [at(1)], "cost_usd": [D(1)], "model": ["gpt-4o"]})
    theirs = pl.DataFrame({"day": [AUGUST_1], "amount_usd": [D(1)], "model": ["gpt-4o-2024-08-06"]})
    assert reconcile(ours, theirs).ok
    assert reconcile(operations(), lines()).ok


def test_the_applications_own_arithmetic_changes_no_amount() -> None:
    """It may calculate with two digits or forbid rounding."""
    ours = operations({"cost_usd": "0.1575"}, {"cost_usd": "0.123456789", "model": "gpt-5.6-sol", "timestamp": at(3)})
    expected = reconcile(ours, FIXTURES / "openai_costs.json")
    with localcontext(prec=2) as context:
        context.traps[Inexact] = context.traps[Rounded] = True
        result = reconcile(ours, FIXTURES / "openai_costs.json")
        read = read_statement(FIXTURES / "anthropic_cost_report.json")
    assert result.totals == expected.totals
    assert result.mismatch.equals(expected.mismatch)
    assert read.equals(read_statement(FIXTURES / "anthropic_cost_report.json"))
