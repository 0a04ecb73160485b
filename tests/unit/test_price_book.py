"""This module is where the price book's promises are tested: layers, rows, dates, deployments, bills, local servers."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aicore_obs.errors import ConfigurationError
from aicore_obs.model.cost import OtherUsage
from aicore_obs.model.usage import Usage
from aicore_obs.pricing.book import MAX_REMEMBERED, PriceBook
from aicore_obs.pricing.price import NoPrice, Price
from tests.prices import bill, cost, other, usage

ACME: list[dict[str, Any]] = [
    {"provider": "acme", "model": "acme-1", "effective_from": "2026-01-01", "input_mtok": 1.0, "output_mtok": 2.0},
    {"provider": "acme", "model": "acme-1", "effective_from": "2026-07-01", "input_mtok": 0.5, "output_mtok": 1.0},
]


ANYTHING: dict[str, Any] = {"model": "", "match": "prefix"}


def total_of(rows: list[dict[str, Any]], model: str = "acme-1", **options: Any) -> Decimal | None:
    """Return what 1,000 tokens each way cost by some rows."""
    used = options.pop("used", usage(1000, 1000))
    provider = options.pop("by", "acme")
    return cost(provider, model, used, book=PriceBook(rows), **options).total


def test_dates_are_half_open_and_utc() -> None:
    """The first moment of a row is its own; before the first row there is no price."""
    book = PriceBook(ACME)
    assert cost("acme", "acme-1", usage(1000, 1000), "2026-06-30T23:59:59.999999", book=book).total == Decimal("0.003")
    assert cost("acme", "acme-1", usage(1000, 1000), "2026-07-01", book=book).total == Decimal("0.0015")
    assert cost("acme", "acme-1", usage(1000, 1000), "2026-07-01T01:00+02:00", book=book).total == Decimal("0.003")
    early = cost("acme", "acme-1", usage(1000, 1000), "2025-12-31", book=book)
    assert early.total is None
    assert early.reason == "the price of model 'acme-1' is known from 2026-01-01 on"


def test_a_row_ends() -> None:
    """From effective_to on it is as if it were not there."""
    rows = [{"model": "acme-1", "effective_to": "2026-07-01T12:00:00Z", "input_mtok": 1, "output_mtok": 1}]
    assert total_of(rows, at="2026-07-01T11:59:59") == Decimal("0.002")
    assert total_of(rows, at="2026-07-01T12:00") is None


def test_a_book_lies_over_the_bundled_layers() -> None:
    """What it does not speak of, other times of the same model included, is priced as without it."""
    row = {"provider": "openai", "model": "gpt-4o", "effective_from": "2026-01-01", "input_mtok": 1, "output_mtok": 1}
    book = PriceBook([row])
    assert cost("openai", "gpt-4o", usage(1000, 0), "2026-01-01", book=book).source == "user"
    assert cost("openai", "gpt-4o", usage(1000, 0), "2025-12-31", book=book).source == "genai-prices"
    assert cost("openai", "gpt-4o", usage(1000, 0), "2024-06-01", book=book).source == "corrections"
    assert cost("openai", "gpt-4o-mini", usage(1000, 0), "2026-01-01", book=book).source == "genai-prices"
    assert cost("azure", "gpt-4o", usage(1000, 0), "2026-01-01", book=book).source == "genai-prices"


def test_the_alias_that_was_asked_for_has_the_users_price() -> None:
    """A row for gpt-4o is meant for calls of gpt-4o, whichever snapshot answers."""
    book = PriceBook([{"provider": "openai", "model": "gpt-4o", "input_mtok": 1, "output_mtok": 1}])
    found = cost("openai", "gpt-4o", usage(1000, 0), book=book, response_model="gpt-4o-2024-08-06")
    assert found.total == Decimal("0.001")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"model": "acme", "match": "prefix", "input_mtok": 5}, {"model": "acme-1", "input_mtok": 1}], "0.001"),
        ([{**ANYTHING, "model": "acme-", "input_mtok": 1}, {**ANYTHING, "model": "acme", "input_mtok": 5}], "0.001"),
        ([{"model": "^acme-\\d$", "match": "regex", "input_mtok": 5}, {**ANYTHING, "input_mtok": 1}], "0.001"),
        ([{"provider": "acme", "model": "acme-1", "input_mtok": 1}, {"model": "acme-1", "input_mtok": 5}], "0.001"),
        ([{"model": "acme-1", "input_mtok": 5}, {"model": "acme-1", "input_mtok": 1}], "0.001"),
        ([{"model": "ACME-1", "input_mtok": 1}], "0.001"),
        ([{"model": "me-1", "match": "regex", "input_mtok": 1}], "0.001"),
        ([{"provider": "other", "model": "acme-1", "input_mtok": 1}], None),
        ([{"model": "acme-10", "match": "prefix", "input_mtok": 1}], None),
    ],
)  # fmt: skip
def test_the_most_specific_row_wins(rows: list[dict[str, Any]], expected: str | None) -> None:
    """Exact before longer prefix before shorter prefix before regex; with a provider before without; then the last."""
    total = total_of(rows, used=usage(1000, 0))
    assert total == (None if expected is None else Decimal(expected))


def test_conditions_choose_among_rows() -> None:
    """More conditions before fewer; a tier's call is never charged by a row that does not speak of tiers."""
    rows = [
        {"model": "acme-1", "input_mtok": 4, "output_mtok": 4},
        {"model": "acme-1", "input_mtok": 2, "output_mtok": 2, "conditions": {"tier": "flex"}},
        {"model": "acme-1", "input_mtok": 8, "output_mtok": 8, "conditions": {"region": "eu"}},
        {"model": "acme-1", "input_mtok": 9, "output_mtok": 9, "conditions": {"tier": "any", "region": "us"}},
    ]
    assert total_of(rows) == Decimal("0.008")
    assert total_of(rows, conditions={"tier": "FLEX"}) == Decimal("0.004")
    assert total_of(rows, conditions={"tier": "priority"}) is None
    assert total_of(rows, conditions={"region": "eu"}) == Decimal("0.016")
    assert total_of(rows, conditions={"region": "jp"}) == Decimal("0.008")
    assert total_of(rows, conditions={"region": "us", "tier": "priority"}) == Decimal("0.018")
    assert total_of(rows, conditions={"region": "us"}) == Decimal("0.018")


def test_token_limits_choose_among_rows() -> None:
    """Both limits are inclusive, and the whole call is charged by one row."""
    rows = [
        {"model": "acme-1", "input_mtok": 1, "output_mtok": 1, "conditions": {"max_input_tokens": 100}},
        {"model": "acme-1", "input_mtok": 2, "output_mtok": 2, "conditions": {"min_input_tokens": 101}},
    ]
    assert total_of(rows, used=usage(100, 0)) == Decimal("0.0001")
    assert total_of(rows, used=usage(101, 0)) == Decimal("0.000202")


def test_hours_and_days_choose_among_rows() -> None:
    """A window may pass midnight; its end is outside."""
    night = {"model": "acme-1", "input_mtok": 1, "output_mtok": 0, "conditions": {"time_of_day": "22:00-06:00"}}
    weekend = {"model": "acme-1", "input_mtok": 2, "output_mtok": 0, "conditions": {"days": "sat,sun"}}
    rows = [{"model": "acme-1", "input_mtok": 4, "output_mtok": 0}, night, weekend]
    book = PriceBook(rows)
    expected = {
        "2026-01-05T21:59:59": "0.004",
        "2026-01-05T22:00:00": "0.001",
        "2026-01-06T05:59:59": "0.001",
        "2026-01-06T06:00:00": "0.004",
        "2026-01-10T12:00:00": "0.002",
    }
    found = {at: cost("acme", "acme-1", usage(1000, 0), at, book=book).total for at in expected}
    assert found == {at: Decimal(total) for at, total in expected.items()}


def test_a_share_and_another_models_price() -> None:
    """A row may be a share of the price without its conditions, or name the model whose price it has."""
    rows = [
        {"provider": "openai", "model": "gpt-4o", "multiply": "0.9", "conditions": {"region": "eu"}},
        {"provider": "openai", "model": "my-tuned", "as_model": "gpt-4o"},
        {"provider": "openai", "model": "one", "as_model": "two"},
        {"provider": "openai", "model": "two", "as_model": "one"},
    ]
    book = PriceBook(rows)
    assert cost("openai", "gpt-4o", usage(1000, 0), book=book, conditions={"region": "eu"}).total == Decimal("0.00225")
    tuned = cost("openai", "my-tuned", usage(1000, 0), book=book)
    assert tuned.total == Decimal("0.0025")
    assert (tuned.price_id or "").endswith(" = genai-prices:openai/gpt-4o")
    assert "without an end" in (cost("openai", "one", usage(1000, 0), book=book).reason or "")


def test_another_models_tiers_hold_too_and_each_share_once() -> None:
    """A name that leads to another model has its price of a tier, a batch or a region, and no share of it twice."""
    rows = [
        {"provider": "openai", "model": "gpt-mine", "as_model": "gpt-5"},
        {"provider": "x-ai", "model": "grok-4-fast", "multiply": "0.9", "conditions": {"region": "eu"}},
        {"provider": "x-ai", "model": "grok-4", "match": "prefix", "multiply": "0.5", "conditions": {"region": "us"}},
    ]
    used, book = usage(1000, 0), PriceBook(rows)
    assert cost("openai", "gpt-mine", used, book=book, conditions={"tier": "flex"}).total == Decimal("0.000625")
    # Retired, and billed as grok-4.3: 1.25 a million; in a batch 20 % less.
    for name, value, total in (("batch", "true", "1"), ("region", "eu", "1.125"), ("region", "us", "0.625")):
        found = cost("xai", "grok-4-fast", used, "2026-06-24", book=book, conditions={name: value})
        assert found.total == Decimal(total) / 1000, name


def test_deployments_are_looked_up_first() -> None:
    """The name that was asked for, whatever the answer calls itself; a model that the answer names is nearer."""
    book = PriceBook(deployments={"my-prod": "gpt-4o"})
    for response in ("my-prod", None):
        assert cost("azure", "my-prod", usage(100, 10), book=book, response_model=response).total == Decimal("0.00035")
    found = cost("azure", "My-Prod", usage(100, 10), book=book, response_model="gpt-4o-mini-2024-07-18")
    assert found.total == Decimal("0.000021")
    ours = PriceBook([{"model": "our-gpt", "input_mtok": 0, "output_mtok": 0}], {"my-prod": "our-gpt"})
    assert cost("azure", "my-prod", usage(100, 10), book=ours, response_model="gpt-4o-2024-08-06").source == "user"


def test_a_deployment_may_be_a_condition() -> None:
    """As for two deployments of one model with contracts of their own."""
    rows = [{"provider": "azure", "model": "gpt-4o", "input_mtok": 1, "conditions": {"deployment": "prod-eu"}}]
    book = PriceBook(rows, {"prod-eu": "gpt-4o", "prod-us": "gpt-4o"})
    assert cost("azure", "prod-eu", usage(1000, 0), book=book).total == Decimal("0.001")
    assert cost("azure", "prod-us", usage(1000, 0), book=book).total == Decimal("0.0025")


@pytest.mark.parametrize(
    ("provider", "base_url", "source"),
    [
        ("ollama", None, "local"),
        ("hosted_vllm", "localhost:8000", "local"),
        ("vllm", "http://10.1.2.3:8000/v1", "local"),
        ("tgi", "http://[::1]:8080", "local"),
        ("openai", "http://localhost:11434/v1", "local"),
        ("openai", "http://gpu-box:8000/v1", "local"),
        ("huggingface-tgi", "http://127.0.0.1:8080", "local"),
        ("huggingface-tgi", None, None),
        ("ollama", "https://ollama.com", None),
        ("vllm", "https://x.endpoints.huggingface.cloud", None),
        ("openai", "https://llm.example.com/v1", None),
        ("openai", "http://[broken", None),
    ],
)
def test_servers_of_the_users_own_cost_nothing(provider: str, base_url: str | None, source: str | None) -> None:
    """By their kind or a private address; a public address is somebody's business."""
    found = cost(provider, "some-llama", usage(1000, 100), base_url=base_url)
    assert found.source == source
    assert found.total == (0 if source else None)


def test_a_row_may_price_a_local_server_and_a_gateway_is_none() -> None:
    """The user's machine may have a price; a gateway at home forwards to those who have one."""
    book = PriceBook(
        [{"provider": "ollama", "model": "", "match": "prefix", "input_mtok": "0.01", "output_mtok": "0.01"}]
    )
    assert cost("ollama", "llama3", usage(1000, 0), book=book).total == Decimal("0.00001")
    gateway = cost("openai", "gpt-4o", usage(1000, 0), base_url="http://localhost:4000")
    assert gateway.total == Decimal("0.0025")


def test_the_bill_stands() -> None:
    """Its total is the total; the list explains its parts where it can, and the rest is neither input nor output."""
    parts = cost("openrouter", "openai/gpt-4.1-mini", usage(8174, 30), bill=bill("0.0133176", "0.0032696", "0.000048"))
    assert (parts.total, parts.input, parts.output, other(parts), parts.source) == (
        Decimal("0.0133176"), Decimal("0.0032696"), Decimal("0.000048"), Decimal("0.01"), "provider",
    )  # fmt: skip
    listed = cost(
        "xai", "grok-4-fast-reasoning", usage(221, 122, cache_read_tokens=128), "2026-06-24", bill=bill("0.00044685")
    )
    assert (listed.input, listed.output, other(listed)) == (Decimal("0.00014185"), Decimal("0.000305"), 0)
    above = cost("openai", "gpt-4o", usage(1000, 0), bill=bill("1"))
    assert (above.total, above.input, other(above)) == (1, Decimal("0.0025"), Decimal("0.9975"))
    below = cost("openai", "gpt-4o", usage(1000, 0), bill=bill("0.001"))
    assert (below.total, below.input, below.output, below.lines) == (Decimal("0.001"), None, None, ())
    guess = cost("acme", "acme-1", Usage(), bill=bill("0.25", is_estimate=True))
    assert (guess.total, guess.source, guess.reason) == (Decimal("0.25"), "provider-estimate", None)
    free = cost("acme", "acme-1", Usage(), bill=bill("0"))
    assert (free.total, free.input, free.output) == (0, 0, 0)


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-1", "1e30"])
def test_a_bill_that_cannot_be_one_is_not_used(amount: str) -> None:
    """The list is, then."""
    assert cost("openai", "gpt-4o", usage(1000, 0), bill=bill(amount)).source == "genai-prices"


def test_other_models_inside_a_call_are_lines_of_their_own() -> None:
    """Neither input nor output of the model that was asked; one without a price makes the sum a lower bound."""
    advisor = OtherUsage(model="claude-opus-4-8", usage=usage(2518, 22))
    found = cost("anthropic", "claude-sonnet-5", usage(2390, 121), "2026-07-22", others=(advisor,))
    assert (found.total, found.input, found.output, other(found)) == (
        Decimal("0.01913"), Decimal("0.00478"), Decimal("0.00121"), Decimal("0.01314"),
    )  # fmt: skip
    assert {line.model for line in found.lines} == {None, "claude-opus-4-8"}
    nobody = OtherUsage(model="nobody-1", usage=usage(5, 5))
    bound = cost("anthropic", "claude-sonnet-5", usage(2390, 121), "2026-07-22", others=(nobody,))
    assert bound.total == Decimal("0.00599")
    assert "nobody-1" in (bound.reason or "")


@pytest.mark.parametrize(
    ("model", "used", "total", "reason"),
    [
        ("gpt-4o", Usage(), None, "no usage reported"),
        ("gpt-4o", usage(1000, None), None, "output tokens were not reported"),
        ("gpt-4o", usage(None, 1000), None, "input tokens were not reported"),
        ("tts-1", usage(10, 10), None, "input_characters were not reported"),
        ("gpt-5.6-cyber", usage(1000, 0, web_searches=2), "0.0125", "no price is known for web_searches"),
        ("gpt-4o", usage(0, 0), "0", None),
        ("gpt-image-1", usage(10, 100, images=1), "0.00405", None),
        ("dall-e-3", Usage(images=0), "0", None),
    ],
)
def test_what_was_not_reported_is_not_guessed(model: str, used: Usage, total: str | None, reason: str | None) -> None:
    """Unknown with a reason, or a lower bound with a reason; a reported zero is a known zero."""
    found = cost("openai", model, used)
    assert found.total == (None if total is None else Decimal(total))
    assert found.reason == reason


def test_a_row_without_a_side_prices_no_tokens_of_it() -> None:
    """A missing price is unknown; write 0 for what is free."""
    assert total_of([{"model": "acme-1", "input_mtok": 1}]) is None
    assert total_of([{"model": "acme-1", "input_mtok": 1, "output_mtok": 0}]) == Decimal("0.001")


def test_the_version_names_all_layers() -> None:
    """The same rows have the same version in every process; other rows another."""
    assert PriceBook().version.startswith("corrections:")
    one, same, more = PriceBook(ACME).version, PriceBook(list(ACME)).version, PriceBook(ACME[:1]).version
    assert one == same != more
    assert one.split()[0].startswith("user:")
    assert PriceBook(deployments={"a": "b"}).version.startswith("user:")


def test_the_price_of_a_call_can_be_asked_for() -> None:
    """As the command does, or why there is none."""
    at = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5)))
    price = PriceBook().price(provider="openai", model="gpt-5.5", at=at, input_tokens=300_000)
    assert isinstance(price, Price)
    assert (price.rates["input_mtok"], price.above_input_tokens) == (Decimal(10), 272_000)
    assert isinstance(PriceBook().price(provider="acme", model="acme-1", at=at), NoPrice)


def test_what_is_remembered_is_bounded() -> None:
    """Many names do not fill the memory, and change no price."""
    book = PriceBook(ACME)
    for number in range(MAX_REMEMBERED + 10):
        cost("nobody", f"model-{number}", usage(1, 1), book=book)
    assert len(book._days) <= MAX_REMEMBERED
    assert cost("acme", "acme-1", usage(1000, 1000), "2026-02-01", book=book).total == Decimal("0.003")


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_book_is_read_from_a_file(tmp_path: Path, suffix: str) -> None:
    """TOML and JSON say the same, and no number passes through a float."""
    path = tmp_path / f"prices{suffix}"
    if suffix == ".toml":
        path.write_text(
            '[deployments]\nprod = "acme-1"\n\n[[rows]]\nprovider = "acme"\nmodel = "acme-1"\n'
            'effective_from = 2026-01-01\ninput_mtok = 0.1000000000000000055511151231\noutput_mtok = "2"\n'
            'conditions = { region = "eu" }\n'
        )
    else:
        path.write_text(
            '{"deployments": {"prod": "acme-1"}, "rows": [{"provider": "acme", "model": "acme-1", "effective_from":'
            '"2026-01-01", "input_mtok": 0.1000000000000000055511151231, "output_mtok": "2", "conditions":'
            '{"region": "eu"}}]}'
        )
    with pytest.raises(ConfigurationError, match="decimal places"):
        PriceBook.from_file(path)
    path.write_text(path.read_text().replace("0.1000000000000000055511151231", "0.10000000000000000555"))
    book = PriceBook.from_file(str(path))
    assert book.deployments == {"prod": "acme-1"}
    assert book.rows[0].prices["input_mtok"] == Decimal("0.10000000000000000555")
    assert book.rows[0].effective_from == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.toml", "rows = 3", "rows is no list"),
        ("a.toml", "[[row]]\nmodel='a'", "there is no part 'row'"),
        ("a.toml", "= =", "this is no TOML"),
        ("a.json", "{", "this is no JSON"),
        ("a.json", "3", "an object with rows"),
        ("a.json", "[" * 100_000, "this is no JSON"),
        ("a.yaml", "", "a .toml or a .json file"),
        ("a.toml", None, "cannot be read"),
        ("a.json", '[{"model": "a", "input_mtok": NaN}]', "price in US dollars"),
        ("a.json", '[{"model": "a", "input_mtok": 1}, {"model": "b"}]', "price row 2 (b)"),
        ("a.json", '{"deployments": {"a": 1}}', "deployments must map"),
    ],
)
def test_a_file_that_is_no_price_book_says_why(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    """One line with the place, and what is wrong."""
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        PriceBook.from_file(path)
    assert message in str(caught.value)


def test_the_table_is_loaded_at_the_first_price() -> None:
    """Neither the import of the book nor the making of one imports the table."""
    program = (
        "import sys\nfrom aicore_obs.pricing.book import PriceBook\n"
        "book = PriceBook([{'model': 'a', 'input_mtok': 1}])\nbook.version\nprint('genai_prices' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_several_models_of_one_call_cost_no_more_than_one_may() -> None:
    """Each is believed by itself; a store holds no such sum of them."""
    many = usage(10, 300_000_000_000)
    one = cost("anthropic", "claude-opus-4-5", many)
    both = cost("anthropic", "claude-opus-4-5", many, others=(OtherUsage(model="claude-opus-4-5", usage=many),))
    assert one.total is not None
    assert both.total is None
    assert "is not believed" in (both.reason or "")


def test_a_name_without_an_end_is_neither_remembered_nor_repeated() -> None:
    """Who sends a megabyte as a model's name fills no memory and no reason."""
    book = PriceBook()
    found = cost("openai", "x" * 1_000_000, usage(10, 1), book=book)
    assert found.total is None
    assert len(found.reason or "") <= 500
    assert "no price is known for model 'xxx" in (found.reason or "")
    assert not book._days
