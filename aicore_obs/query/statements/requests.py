"""This module is where statements with one row per request are read: OpenRouter's activity, and tables like it.

OpenRouter's export (openrouter.ai/activity, "Export"): ``generation_id, created_at, cost_total, cost_web_search,
cost_cache, cost_file_processing, byok_usage_inference, tokens_prompt, tokens_completion, tokens_reasoning,
tokens_cached, model_permaslug, provider_name, variant, …`` (exports of 2026-02 in public repositories, read
2026-11-21). ``cost_total`` is what OpenRouter took; with a key of one's own the model's provider bills
``byok_usage_inference`` as well, and both together are the cost.

Other tables need one column each of :data:`IDS` and :data:`COSTS`; the first that is there is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from aicore_obs.model.cost import money
from aicore_obs.query.statements.files import Content
from aicore_obs.query.statements.lines import Format, Line, line
from aicore_obs.query.statements.names import model_item
from aicore_obs.query.statements.rows import Row

IDS = ("request_id", "response_id", "generation_id", "completion_id", "operation_id", "id")
COSTS = ("cost_usd", "cost_total", "total_cost", "cost", "amount_usd", "amount")
_TIMES = ("created_at", "timestamp", "time", "start_time", "created", "date", "usage_date_utc")
_MODELS = ("model_permaslug", "model", "model_id", "model_name")
_PROMPT = ("tokens_prompt", "prompt_tokens", "input_tokens")
_COMPLETION = ("tokens_completion", "completion_tokens", "output_tokens")
_CACHED = ("tokens_cached", "cached_tokens", "cache_read_tokens", "cache_read_input_tokens")


def _table(content: Content, _column: str | None) -> Iterator[Line]:
    id_column, cost_column, time_column = (_first(content, names) for names in (IDS, COSTS, _TIMES))
    for row in content.rows:
        yield _request(row, row.text(id_column), row.needed_money(cost_column), row.needed_time(time_column))


def _request(row: Row, request_id: str | None, amount: Decimal, time: datetime) -> Line:
    row.check_currency("currency")
    one = line(row, model_item(row.text(*_MODELS), None, tier=row.text("service_tier")), start=time)
    own_key = row.money("byok_usage_inference")
    one.amount_usd = amount if own_key is None else money(amount + own_key)
    one.time, one.request_id = time, request_id
    one.provider = "openrouter" if "generation_id" in row.values else row.text("provider")
    one.input_tokens, one.output_tokens = row.count(*_PROMPT), row.count(*_COMPLETION)
    one.cache_read_tokens = row.count(*_CACHED)
    one.project_id, one.api_key_id = row.text("project_id", "project"), row.text("api_key_id", "api_key_name")
    one.line_item = row.text(*_MODELS)
    return one


def _first(content: Content, names: tuple[str, ...]) -> str:
    return next(name for name in names if name in content.columns)


def _fits(content: Content) -> bool:
    return all(any(name in content.columns for name in names) for names in (IDS, COSTS, _TIMES))


FORMATS = (
    Format(
        name="one row per request, such as OpenRouter's activity (CSV)",
        told_by=f"an id ({', '.join(IDS)}), a cost ({', '.join(COSTS)}) and a time ({', '.join(_TIMES)})",
        fits=_fits,
        read=_table,
    ),
)
