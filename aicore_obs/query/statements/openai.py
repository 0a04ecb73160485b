"""This module is where OpenAI's statements are read: costs (API and dashboard) and, for tokens, usage.

Columns, read on 2026-11-21:

- Costs API, ``GET /v1/organization/costs`` (developers.openai.com/api/reference, "Costs"): pages of buckets of a day,
  ``start_time``/``end_time`` in Unix seconds, ``results[]`` with ``amount {value, currency}`` in dollars,
  ``line_item``, ``project_id``, ``api_key_id``, ``quantity``. Without ``group_by=line_item`` a day has one amount
  for all models.
- The dashboard's export (platform.openai.com/usage, "Export"): ``start_time, end_time, start_time_iso, end_time_iso,
  amount_value, amount_currency, line_item, project_id, organization_id, organization_name``, as exports of 2025-10
  in public repositories have them; a day without costs is a row without an amount.
- Usage API, ``GET /v1/organization/usage/{completions,embeddings,…}`` (same reference), and its export: ``model,
  input_tokens`` (cached ones included), ``input_cached_tokens, output_tokens, batch, service_tier,
  num_model_requests``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from aicore_obs.query.statements.files import Content, results
from aicore_obs.query.statements.lines import Format, Line, count_tokens, line
from aicore_obs.query.statements.names import Item, item_of, model_item
from aicore_obs.query.statements.rows import Row

_PROVIDER = "openai"
_AMOUNT = ("amount_value", "amount_currency")
_USAGE = ("num_model_requests", "input_tokens")


def _pages(content: Content, _column: str | None) -> Iterator[Line]:
    for bucket, rows in results(content, content.buckets("start_time")):
        start, end = bucket.needed_time("start_time"), bucket.time("end_time")
        if not rows:
            yield _nothing(bucket, start, end)
        for row in rows:
            yield _cost(_flat(row), start, end) if "amount" in row.values else _usage(row, start, end)


def _flat(row: Row) -> Row:
    """Return a result with the columns of the dashboard's export."""
    amount: Any = row.values["amount"]
    if not isinstance(amount, dict):
        raise row.error("amount", amount, "an object with value and currency")
    values = {**row.values, "amount_value": amount.get("value"), "amount_currency": amount.get("currency")}
    return Row(row.file, row.number, values)


def _costs_table(content: Content, _column: str | None) -> Iterator[Line]:
    for row in content.rows:
        yield _cost(row, row.needed_time("start_time", "start_time_iso"), row.time("end_time", "end_time_iso"))


def _cost(row: Row, start: datetime, end: datetime | None) -> Line:
    row.check_currency("amount_currency")
    text = row.text("line_item")
    one = line(row, item_of(text), start=start, end=end)
    one.provider = _PROVIDER
    one.line_item = text
    # A day without costs is a row that says nothing but the day.
    one.amount_usd = Decimal(0) if _is_blank(row) else row.needed_money("amount_value")
    one.project_id, one.api_key_id = row.text("project_id"), row.text("api_key_id")
    one.quantity = row.money("quantity")
    count_tokens(one, row.count("quantity") if one.kind else None)
    return one


def _is_blank(row: Row) -> bool:
    return row.text("amount_value", "amount_currency", "line_item", "project_id") is None


def _usage_table(content: Content, _column: str | None) -> Iterator[Line]:
    for row in content.rows:
        start, end = row.needed_time("start_time", "start_time_iso"), row.time("end_time", "end_time_iso")
        yield _usage(row, start, end)


def _usage(row: Row, start: datetime, end: datetime | None) -> Line:
    tier = "batch" if (row.text("batch") or "").lower() == "true" else row.text("service_tier")
    one = line(row, model_item(row.text("model"), None, tier=tier), start=start, end=end)
    one.provider = _PROVIDER
    one.input_tokens, one.output_tokens = row.count("input_tokens"), row.count("output_tokens")
    one.cache_read_tokens = row.count("input_cached_tokens")
    one.project_id, one.api_key_id = row.text("project_id"), row.text("api_key_id")
    return one


def _nothing(bucket: Row, start: datetime, end: datetime | None) -> Line:
    """Return the line of a day without costs: it says that the statement covers the day."""
    one = line(bucket, Item(), start=start, end=end)
    one.provider, one.amount_usd = _PROVIDER, Decimal(0)
    return one


FORMATS = (
    Format(
        name="OpenAI costs or usage (Admin API, JSON)",
        told_by="data[].start_time and data[].results[]",
        fits=lambda content: bool(content.buckets("start_time")),
        read=_pages,
    ),
    Format(
        name="OpenAI costs (dashboard export, CSV)",
        told_by="start_time, amount_value, amount_currency",
        fits=lambda content: content.has(*_AMOUNT) and (content.has("start_time") or content.has("start_time_iso")),
        read=_costs_table,
    ),
    Format(
        name="OpenAI usage (dashboard export, CSV)",
        told_by="start_time, num_model_requests, input_tokens, model",
        fits=lambda content: content.has("start_time", *_USAGE),
        read=_usage_table,
    ),
)
