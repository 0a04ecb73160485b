"""This module is where AiCore's records are described: the tables Session, Message and Metric, and its JSON chunks.

Source: core-for-ai 0.2.257 (``aicore/observability/models.py`` and ``collector.py``), read 2026-11-27. A chunk is an
array of the same words as the columns, ``<session>/<number>.json``; ``completion_args`` and ``extras`` are JSON text in
both. Empty text and 0 are what AiCore writes for what it does not know. Times name no zone. Its ``input_tokens`` are
those beside the cache (``llm/providers/openai.py`` takes ``cached_tokens`` out of the provider's count).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from typing import Any

from aicore_obs.importing.made import Call, cost_of, counts, objects, operation, required, text, time_of, unpacked
from aicore_obs.model.record import Record
from aicore_obs.model.usage import Usage, count_of

name = "aicore"
TABLES = ("Session", "Message", "Metric")
# Every message, with its session and its numbers where they are there.
SQL = (
    'SELECT m.*, s.workspace, s.agent_id, n.* FROM "Message" m LEFT JOIN "Session" s ON s.session_id = m.session_id '
    "LEFT JOIN (SELECT operation_id AS metric_of, operation_type, provider, model, success, temperature, max_tokens, "
    'input_tokens, output_tokens, cached_tokens, total_tokens, cost, latency_ms, extras FROM "Metric") n '
    "ON n.metric_of = m.operation_id ORDER BY m.timestamp, m.operation_id"
)
_OPTIONS = ("session_id", "workspace", "agent_id", "action_id")


def fits(row: Mapping[str, Any]) -> bool:
    """Return whether an element of a JSON file is one of AiCore's."""
    return {"operation_id", "completion_args", "assistant_message", "cached_tokens"} <= row.keys()


def records(row: Mapping[str, Any], tz: tzinfo) -> Iterator[Record]:
    """Yield the operation of one record."""
    request = objects(row.get("completion_args")) or _rebuilt(row)
    error = text(row.get("error_message"))
    yield operation(
        Call(
            source=(name, required(row, "operation_id")),
            when=time_of(row.get("timestamp"), tz),
            request=request,
            response=text(row.get("response")),
            operation_type=text(row.get("operation_type")) or "completion",
            provider=text(row.get("provider")),
            latency_ms=row.get("latency_ms"),
            options={**{one: text(row.get(one)) for one in _OPTIONS}, "extras": _extras(row), "error": error},
            told={"model": text(row.get("model"))},
            usage=_usage(row),
            cost=cost_of(row.get("cost"), name),
        )
    )


def _usage(row: Mapping[str, Any]) -> Usage:
    cached = count_of(row.get("cached_tokens")) or 0
    beside = count_of(row.get("input_tokens"))
    return counts(
        input_tokens=None if beside is None else beside + cached,
        output_tokens=row.get("output_tokens"),
        cache_read_tokens=cached or None,
    )


def _rebuilt(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request made of the columns, for a row that kept none."""
    messages = unpacked(row.get("history_messages"))
    found = {"model": row.get("model"), "messages": messages if isinstance(messages, list) else None}
    return {key: value for key, value in found.items() if value}


def _extras(row: Mapping[str, Any]) -> Any:
    found = unpacked(row.get("extras"))
    return found if isinstance(found, dict) or not found else {"extras": found}
