"""This module is where Anthropic's statements are read: the cost report, the Console's export and, for tokens, usage.

Columns, read on 2026-11-21:

- Cost report, ``GET /v1/organizations/cost_report`` (platform.claude.com/docs/en/api/admin/cost_report): buckets of a
  day, ``starting_at``/``ending_at``, ``results[]`` with ``amount`` (decimal text in **cents**), ``currency``,
  ``description``, ``cost_type`` (tokens, web_search, code_execution), ``model``, ``token_type``, ``service_tier``,
  ``context_window``, ``inference_geo``, ``workspace_id``. All but amount and currency are null without
  ``group_by[]=description``. What is billed as priority tier is not in it (platform.claude.com/docs, "Usage and Cost
  API").
- The Console's export (platform.claude.com/cost, "Export"): ``usage_date_utc, model, workspace, api_key, usage_type,
  context_window, token_type, cost_usd, list_price_usd, cost_type, inference_geo, speed, api_key_id, api_key_status``
  (exports of 2026-08 in public repositories), in dollars, with models by their display name.
- Usage report, ``GET /v1/organizations/usage_report/messages`` (same reference): ``uncached_input_tokens,
  cache_creation {ephemeral_5m_input_tokens, ephemeral_1h_input_tokens}, cache_read_input_tokens, output_tokens``.
- The Console's export of usage: ``usage_date_utc, model_version, usage_input_tokens_no_cache,
  usage_input_tokens_cache_write_5m, …_1h, usage_input_tokens_cache_read, usage_output_tokens``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from aicore_obs.query.statements.files import Content, results
from aicore_obs.query.statements.lines import Format, Line, line
from aicore_obs.query.statements.names import Item, item_of, model_item
from aicore_obs.query.statements.rows import Row

_PROVIDER = "anthropic"
_CENTS = 100
_LONG_CONTEXT = frozenset({"200k-1M", "> 200k", "≤ 1M", "200k-1m"})


def _pages(content: Content, _column: str | None) -> Iterator[Line]:
    for bucket, rows in results(content, content.buckets("starting_at")):
        start, end = bucket.needed_time("starting_at"), bucket.time("ending_at")
        if not rows:
            yield _finished(bucket, line(bucket, Item(), start=start, end=end), Decimal(0))
        for row in rows:
            yield _report(row, start, end) if "amount" in row.values else _usage(row, start, end)


def _report(row: Row, start: datetime, end: datetime | None) -> Line:
    row.check_currency("currency")
    model, words = row.text("model"), row.text("description")
    fee = row.text("cost_type") not in (None, "tokens")
    item = model_item(None, row.text("cost_type")) if fee else _item(row, model, words)
    return _finished(row, line(row, item, start=start, end=end), row.needed_money("amount", minor_units=_CENTS), words)


def _item(row: Row, model: str | None, words: str | None) -> Item:
    if model is None:
        return item_of(words)
    return model_item(model, row.text("token_type") or words, tier=_tier(row))


def _tier(row: Row) -> str | None:
    if row.text("context_window") in _LONG_CONTEXT:
        return "long context"
    return row.text("speed") or row.text("service_tier") or row.text("usage_type")


def _costs_table(content: Content, _column: str | None) -> Iterator[Line]:
    for row in content.rows:
        row.check_currency("currency")
        kind, model = row.text("token_type"), row.text("model")
        fee = row.text("cost_type") not in (None, "token", "tokens")
        item = model_item(None, row.text("cost_type")) if fee else model_item(model, kind, tier=_table_tier(row))
        one = line(row, item, start=row.needed_time("usage_date_utc"))
        words = ", ".join(filter(None, (model, kind or row.text("cost_type"))))
        yield _finished(row, one, row.needed_money("cost_usd"), words)


def _table_tier(row: Row) -> str | None:
    tier = _tier(row)
    return None if tier == "message" else tier


def _finished(row: Row, one: Line, amount: Decimal, words: str | None = None) -> Line:
    one.provider = _PROVIDER
    one.amount_usd = amount
    one.line_item = words or None
    one.workspace_id = row.text("workspace_id", "workspace")
    one.api_key_id = row.text("api_key_id", "api_key")
    return one


def _usage(row: Row, start: datetime, end: datetime | None) -> Line:
    one = line(row, model_item(row.text("model"), None, tier=row.text("service_tier")), start=start, end=end)
    written = row.values.get("cache_creation")
    parts = Row(row.file, row.number, written if isinstance(written, dict) else {})
    creation = [parts.count("ephemeral_5m_input_tokens"), parts.count("ephemeral_1h_input_tokens")]
    return _counted(row, one, (row.count("uncached_input_tokens"), row.count("cache_read_input_tokens"), creation))


def _usage_table(content: Content, _column: str | None) -> Iterator[Line]:
    for row in content.rows:
        one = line(row, model_item(row.text("model_version"), None), start=row.needed_time("usage_date_utc"))
        prefix = "usage_input_tokens"
        creation = [row.count(f"{prefix}_cache_write_5m"), row.count(f"{prefix}_cache_write_1h")]
        yield _counted(row, one, (row.count(f"{prefix}_no_cache"), row.count(f"{prefix}_cache_read"), creation))


def _counted(row: Row, one: Line, counts: tuple[int | None, int | None, list[int | None]]) -> Line:
    plain, read, creation = counts
    one.provider = _PROVIDER
    one.cache_read_tokens = read
    one.cache_write_tokens = sum(filter(None, creation))
    one.input_tokens = (plain or 0) + (read or 0) + one.cache_write_tokens
    one.output_tokens = row.count("output_tokens", "usage_output_tokens")
    one.workspace_id, one.api_key_id = row.text("workspace_id", "workspace"), row.text("api_key_id", "api_key")
    return one


FORMATS = (
    Format(
        name="Anthropic cost or usage report (Admin API, JSON)",
        told_by="data[].starting_at and data[].results[]",
        fits=lambda content: bool(content.buckets("starting_at")),
        read=_pages,
    ),
    Format(
        name="Anthropic costs (Console export, CSV)",
        told_by="usage_date_utc, model, cost_usd",
        fits=lambda content: content.has("usage_date_utc", "cost_usd"),
        read=_costs_table,
    ),
    Format(
        name="Anthropic usage (Console export, CSV)",
        told_by="usage_date_utc, model_version, usage_output_tokens",
        fits=lambda content: content.has("usage_date_utc", "model_version", "usage_output_tokens"),
        read=_usage_table,
    ),
)
