"""This module is where the reading of providers' statements is tested: every format, and what is wrong with a file."""

from __future__ import annotations

import contextlib
import json
import random
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aicore_obs import read_statement
from aicore_obs.errors import AicoreObsError, ConfigurationError, StatementError
from aicore_obs.query.statements.files import load
from aicore_obs.query.statements.lines import STATEMENT_SCHEMA
from aicore_obs.query.statements.reading import FORMATS
from tests.statements import FIXTURES

D = Decimal
AUGUST_1, AUGUST_2, AUGUST_3 = date(2026, 8, 1), date(2026, 8, 2), date(2026, 8, 3)
KEYS = ("day", "model_name", "fee", "kind", "amount_usd")
# File → format, and its lines by KEYS.
READ: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "openai_costs.json": (
        "OpenAI costs or usage (Admin API, JSON)",
        [
            (AUGUST_1, "gpt-4o", None, "input", D("0.125")),
            (AUGUST_1, "gpt-4o", None, "cache_read", D("0.0125")),
            (AUGUST_1, "gpt-4o", None, "output", D("0.02")),
            (AUGUST_1, None, "web_search", None, D("0.01")),
            (AUGUST_2, None, None, None, D(0)),
            (AUGUST_3, "gpt-5.6-sol", None, "output", D("0.4")),
        ],
    ),
    "openai_costs.csv": (
        "OpenAI costs (dashboard export, CSV)",
        [
            (AUGUST_1, "gpt-4o", None, "input", D("0.125")),
            (AUGUST_1, "gpt-4o", None, "output", D("0.02")),
            (AUGUST_2, None, None, None, D(0)),
        ],
    ),
    "openai_day_totals.csv": (
        "OpenAI costs (dashboard export, CSV)",
        [(AUGUST_1, None, None, None, D("0.1675")), (AUGUST_2, None, None, None, D(0))],
    ),
    "openai_usage.csv": ("OpenAI usage (dashboard export, CSV)", [(AUGUST_1, "gpt-4o", None, None, None)]),
    "openai_usage.json": ("OpenAI costs or usage (Admin API, JSON)", [(AUGUST_1, "gpt-4o", None, None, None)]),
    "anthropic_cost_report.json": (
        "Anthropic cost or usage report (Admin API, JSON)",
        [
            (AUGUST_1, "claude-sonnet-4-5", None, "input", D("1.2378912")),
            (AUGUST_1, "claude-sonnet-4-5", None, "cache_read", D("0.031")),
            (AUGUST_1, "claude-sonnet-4-5", None, "cache_write", D("0.07")),
            (AUGUST_1, None, "web_search", None, D("0.5")),
            (AUGUST_2, None, None, None, D(0)),
        ],
    ),
    "anthropic_costs.csv": (
        "Anthropic costs (Console export, CSV)",
        [
            (AUGUST_1, "claude-haiku-4-5", None, "input", D("0.05")),
            (AUGUST_1, "claude-haiku-4-5", None, "output", D("0.02")),
            (AUGUST_1, "claude-haiku-3-5", None, "cache_write", D("0.01")),
            (AUGUST_2, None, "web_search", None, D("0.3")),
        ],
    ),
    "anthropic_usage_report.json": (
        "Anthropic cost or usage report (Admin API, JSON)",
        [(AUGUST_1, "claude-sonnet-4-5", None, None, None)],
    ),
    "anthropic_usage.csv": (
        "Anthropic usage (Console export, CSV)",
        [(AUGUST_1, "claude-sonnet-4-5", None, None, None)],
    ),
    "focus.csv": (
        "FOCUS (CSV)",
        [
            (AUGUST_1, "gpt-4o", None, "input", D("0.05")),
            (AUGUST_1, "gpt-4o", None, "output", D("0.06")),
            (AUGUST_1, "gpt-4.1", None, "cache_read", D("0.3")),
            (AUGUST_2, "claude-sonnet-4-5", None, "input", D("0.02")),
            (AUGUST_1, None, "tax", None, D("1.2")),
        ],
    ),
    "openrouter_activity.csv": (
        "one row per request, such as OpenRouter's activity (CSV)",
        [
            (AUGUST_1, "grok-4-fast", None, None, D("0.000086")),
            (AUGUST_1, "gpt-4o", None, None, D("0.0133176")),
            (AUGUST_2, "claude-sonnet-4-5", None, None, D("0.00105")),
        ],
    ),
    "requests.csv": (
        "one row per request, such as OpenRouter's activity (CSV)",
        [(AUGUST_1, "mistral-large", None, None, D("1234.5")), (AUGUST_1, "mistral-large", None, None, D("0.25"))],
    ),
}


@pytest.mark.parametrize("name", sorted(READ))
def test_a_statement_is_read(name: str) -> None:
    """Its format is told by its columns; each row is one line with an exact amount."""
    name_of_format, expected = READ[name]
    assert next(one.name for one in FORMATS if one.fits(load(FIXTURES / name))) == name_of_format
    frame = read_statement(FIXTURES / name)
    assert dict(frame.schema) == STATEMENT_SCHEMA
    assert frame.select(KEYS).rows() == expected


def test_every_fixture_is_read() -> None:
    """A new file of the folder has an expectation."""
    assert {path.name for path in FIXTURES.iterdir()} == set(READ)


def test_tokens_are_inclusive() -> None:
    """What was read from a cache, or written to it, is a part of the input, whoever counts."""
    columns = ["input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"]
    costs = read_statement(FIXTURES / "openai_costs.json")
    assert costs.select(columns).rows()[:3] == [
        (50_000, None, None, None),
        (10_000, 10_000, None, None),
        (None, None, None, 2_000),
    ]
    assert read_statement(FIXTURES / "openai_usage.json").select(columns).rows() == [(60_000, 10_000, None, 2_000)]
    for name in ("anthropic_usage_report.json", "anthropic_usage.csv"):
        assert read_statement(FIXTURES / name).select(columns).rows() == [(430, 300, 30, 40)]
    focus = read_statement(FIXTURES / "focus.csv")
    assert focus.select(columns).rows()[:3] == [
        (20_000, None, None, None),
        (None, None, None, 6_000),
        (100_000, 100_000, None, None),
    ]


def test_a_line_keeps_what_the_provider_says() -> None:
    """Tier, project, line item, request and the row of the file."""
    frame = read_statement(FIXTURES / "openai_costs.json", FIXTURES / "focus.csv")
    assert frame["tier"].to_list()[5] == "priority"
    assert frame["line_item"].to_list()[5] == "priority | gpt-5.6-sol, output, long context"
    assert frame["project_id"].to_list()[5:7] == ["proj_b", "sub-1"]
    assert frame["request_id"].to_list()[9] == "req-1"
    assert frame["row"].to_list() == [1, 2, 3, 4, 4, 5, 2, 3, 4, 5, 6]
    assert frame["end_day"].to_list()[-1] == date(2026, 9, 1)


@pytest.mark.parametrize(
    ("column", "total"), [(None, "1.63"), ("BilledCost", "1.63"), ("EffectiveCost", "1.61"), ("ListCost", "1.64")]
)
def test_the_cost_column_of_focus_can_be_chosen(column: str | None, total: str) -> None:
    """BilledCost, what the invoice is made of, unless another one is asked for."""
    assert read_statement(FIXTURES / "focus.csv", cost_column=column)["amount_usd"].sum() == D(total)


def test_a_cost_column_must_be_one() -> None:
    """A column that FOCUS does not have, or that this file does not have."""
    with pytest.raises(ConfigurationError, match="cost columns are BilledCost, EffectiveCost"):
        read_statement(FIXTURES / "focus.csv", cost_column="Cost")
    with pytest.raises(StatementError, match="no column ContractedCost"):
        read_statement(FIXTURES / "focus.csv", cost_column="ContractedCost")


def _openai(**row: str) -> str:
    plain = {"start_time": "1785542400", "amount_value": "1", "amount_currency": "usd", "line_item": "gpt-4o"}
    whole = {**plain, **row}
    return ",".join(whole) + "\n" + ",".join(whole.values()) + "\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (_openai(amount_value="1.2.3"), "row 2, column amount_value: '1.2.3': an amount"),
        (_openai(amount_value="nan"), "row 2, column amount_value: 'nan': an amount"),
        (_openai(amount_value="1e99"), "row 2, column amount_value: '1e99': an amount"),
        (_openai(amount_value=""), "row 2, column amount_value: '': an amount"),
        (_openai(amount_currency="eur"), "row 2, column amount_currency: the currency is eur"),
        (_openai(start_time="yesterday"), "row 2, column start_time: 'yesterday': a date or time"),
        (_openai(start_time=""), "row 2, column start_time: None: a date or time"),
        (_openai(line_item="a,b"), "row 2: 5 values for 4 columns"),
        (_openai() + "\n\n" + "1785542400,x,usd,gpt-4o\n", "row 5, column amount_value: 'x'"),
        ("", "is empty"),
        (" \r\n", "is empty"),
        ("{", "is no JSON"),
        ('{"data": [NaN]}', "is no JSON: NaN is no number"),
        ("[" * 100_000, "is no JSON"),
        ("a,b\n1,2\n", "Its columns: a, b. Known: OpenAI costs or usage"),
        ('{"a": 1}', "Its JSON has the keys: a. Known: OpenAI"),
        ("[]", "Its JSON has no pages with buckets. Known: OpenAI"),
        ('{"data":[{"start_time":1785542400,"results":[1]}]}', "row 1: 1: an object is needed"),
        (
            '{"data":[{"start_time":1785542400,"results":[{"amount":1}]}]}',
            "row 1, column amount: 1: an object with value",
        ),
        (
            '{"data":[{"starting_at":"2026-08-01","results":[{"amount":true,"currency":"USD"}]}]}',
            "row 1, column amount: 'True': an amount",
        ),
        (
            '{"data":[{"starting_at":"2026-08-01","results":[{"amount":"1","currency":"CHF"}]}]}',
            "row 1, column currency: the currency is CHF",
        ),
        ("request_id,cost,created_at,input_tokens\na,1,2026-08-01,1.5\n", "row 2, column input_tokens: '1.5': a whole"),
        (
            "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,Tags\n1,USD,2026-08-01,2026-08-02,{x\n",
            "row 2, column tags: '{x': a JSON object",
        ),
        ('""', "no column names"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    """File, row, column and value; for an unknown format what was found and what is known."""
    path = tmp_path / "statement.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StatementError) as caught:
        read_statement(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    """The first is the system's error, the second one of the statement."""
    with pytest.raises(FileNotFoundError):
        read_statement(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\x00\xfa\xfb")
    with pytest.raises(StatementError, match="is no text"):
        read_statement(tmp_path / "bytes.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_may_be_written_in_many_ways(tmp_path: Path, encoding: str, end: str, separator: str) -> None:
    """Marks of byte order, ends of lines and separators mean nothing."""
    path = tmp_path / "statement.csv"
    row = f'1785542400{separator}"1,234.5"{separator}usd{separator}"gpt-4o, input"'
    header = separator.join(("start_time", "amount_value", "amount_currency", "line_item"))
    path.write_bytes(f"{end}{header}{end}{row}{end}".encode(encoding))
    assert read_statement(path).select("amount_usd", "kind", "row").rows() == [(D("1234.5"), "input", 3)]


def test_pages_may_be_one_list_or_one_per_line_or_several_files(tmp_path: Path) -> None:
    """However the answers of the pages were put together."""
    page = json.loads((FIXTURES / "anthropic_cost_report.json").read_text(encoding="utf-8"))
    (tmp_path / "list.json").write_text(json.dumps([page, page]), encoding="utf-8")
    (tmp_path / "lines.json").write_text(f"{json.dumps(page)}\n{json.dumps(page)}\n", encoding="utf-8")
    (tmp_path / "buckets.json").write_text(json.dumps(page["data"] * 2), encoding="utf-8")
    several = read_statement(FIXTURES / "anthropic_cost_report.json", FIXTURES / "anthropic_cost_report.json")
    for name in ("list.json", "lines.json", "buckets.json"):
        read = read_statement(tmp_path / name)
        assert read["amount_usd"].to_list() == several["amount_usd"].to_list()
        assert read["row"].to_list() == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]


def test_no_digit_is_lost_over_many_rows(tmp_path: Path) -> None:
    """The sum of many amounts is the exact one, which floats would miss."""
    numbers = random.Random(7)
    amounts = [D(numbers.randrange(10**15)).scaleb(-12) for _ in range(20_000)]
    rows = [f"req-{at},{amount},2026-08-01,gpt-4o" for at, amount in enumerate(amounts)]
    path = tmp_path / "many.csv"
    path.write_text("request_id,cost,created_at,model\n" + "\n".join(rows), encoding="utf-8")
    frame = read_statement(path)
    assert frame.height == len(amounts)
    assert frame["amount_usd"].sum() == sum(amounts)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("2026-08-01"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "results", "start_time", "starting_at", "amount", "value", "currency", "model"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
_CELLS = st.sampled_from(["", "1", "x", "2026-08-01", "usd", "EUR", '"', "9" * 40, "-1", "{}", "[]", "gpt-4o, input"])
_COLUMNS = st.sampled_from(
    ["start_time", "amount_value", "amount_currency", "line_item", "usage_date_utc", "cost_usd", "id", "cost", "date"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(document=_JSON | st.lists(_JSON, max_size=3).map(lambda items: {"data": items}))
def test_any_json_is_read_or_refused(tmp_path: Path, document: Any) -> None:
    """Never another error than ours."""
    _read_or_refuse(tmp_path, json.dumps(document))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(columns=st.lists(_COLUMNS, min_size=1, unique=True), rows=st.lists(st.lists(_CELLS, max_size=9), max_size=4))
def test_any_table_is_read_or_refused(tmp_path: Path, columns: list[str], rows: list[list[str]]) -> None:
    """Never another error than ours."""
    table = "\n".join(",".join(cells) for cells in [columns, *([*row, *["1"] * 9][: len(columns)] for row in rows)])
    _read_or_refuse(tmp_path, table)


def _read_or_refuse(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any"
    path.write_text(text, encoding="utf-8")
    with contextlib.suppress(AicoreObsError):
        assert dict(read_statement(path).schema) == STATEMENT_SCHEMA
