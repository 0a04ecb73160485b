"""This module is where LiteLLM's spend logs are described, as its proxy gives them out as JSON.

Source: litellm's ``schema.prisma`` (LiteLLM_SpendLogs) and docs.litellm.ai/docs/proxy/cost_tracking, read 2026-11-27.
The hash of the key (``api_key``) is not taken over. Content is there only with ``store_prompts_in_spend_logs``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from decimal import Decimal
from typing import Any

from aicore_obs.importing.made import (
    Call,
    cost_of,
    counts,
    number,
    objects,
    operation,
    required,
    text,
    time_of,
    unpacked,
)
from aicore_obs.model.cost import Cost
from aicore_obs.model.ids import to_microseconds
from aicore_obs.model.record import Record
from aicore_obs.model.usage import Usage

name = "litellm"
_TYPES = {"embedding": "embedding", "rerank": "rerank", "speech": "audio", "transcription": "audio",
          "image_generation": "image", "image_edit": "image"}  # fmt: skip
# Kept as extras, with everything that ``metadata`` holds.
_EXTRAS = ("call_type", "model_group", "model_id", "cache_hit", "requester_ip_address", "mcp_namespaced_tool_name")


def fits(row: Mapping[str, Any]) -> bool:
    """Return whether an element of a JSON file is a spend log."""
    return {"request_id", "startTime", "spend", "call_type"} <= row.keys()


def records(row: Mapping[str, Any], tz: tzinfo) -> Iterator[Record]:
    """Yield the operation of one spend log."""
    start = time_of(row.get("startTime"), tz)
    metadata = objects(row.get("metadata")) or {}
    response = objects(row.get("response"))
    yield operation(
        Call(
            source=(name, required(row, "request_id")),
            when=start,
            request=_request(row),
            response=response,
            operation_type=_TYPES.get(str(row.get("call_type")).removeprefix("a"), "completion"),
            provider=text(row.get("custom_llm_provider")),
            described=name,
            latency_ms=_ms(row, "endTime", tz),
            options=_options(row, metadata) | {"time_to_first_token_ms": _first_token(row, tz)},
            told={"model": text(row.get("model"))},
            usage=_usage(row, metadata),
            cost=_cost(row),
        )
    )


def _request(row: Mapping[str, Any]) -> dict[str, Any]:
    asked = objects(row.get("proxy_server_request")) or {}
    messages = unpacked(row.get("messages"))
    base = text(row.get("api_base"))
    return {
        "model": row.get("model"),
        **asked,
        **({"messages": messages} if messages and "messages" not in asked else {}),
        **({"base_url": base} if base else {}),
    }


def _options(row: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    tags = unpacked(row.get("request_tags"))
    labels = {key: text(row.get(key)) for key in ("team_id", "organization_id", "end_user")}
    extras = {key: row[key] for key in _EXTRAS if row.get(key) not in (None, "")}
    return {
        "user_id": text(row.get("user")),
        "session_id": text(row.get("session_id")),
        "agent_id": text(row.get("agent_id")),
        "tags": [one for one in tags if isinstance(one, str)] if isinstance(tags, list) else (),
        "labels": {key: value for key, value in labels.items() if value},
        "extras": {**extras, **({"metadata": dict(metadata)} if metadata else {})},
        "error": _error(row, metadata),
    }


def _error(row: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    if row.get("status") != "failure" and metadata.get("status") != "failure":
        return None
    told = objects(metadata.get("error_information")) or {}
    return {"type": told.get("error_class"), "message": told.get("error_message"), "stack": told.get("traceback")}


def _usage(row: Mapping[str, Any], metadata: Mapping[str, Any]) -> Usage:
    told = objects(metadata.get("usage_object")) or {}
    details = objects(told.get("prompt_tokens_details")) or {}
    spoken = objects(told.get("completion_tokens_details")) or {}
    return counts(
        input_tokens=row.get("prompt_tokens"),
        output_tokens=row.get("completion_tokens"),
        cache_read_tokens=told.get("cache_read_input_tokens") or details.get("cached_tokens"),
        cache_write_tokens=told.get("cache_creation_input_tokens"),
        reasoning_tokens=spoken.get("reasoning_tokens"),
    )


def _cost(row: Mapping[str, Any]) -> Cost | None:
    """Return what LiteLLM reckoned; an answer from its cache cost nothing, any other 0 means unknown."""
    if str(row.get("cache_hit")).lower() == "true" and number(row.get("spend")) == 0:
        return Cost(total=Decimal(0), source=name)
    return cost_of(row.get("spend"), name)


def _ms(row: Mapping[str, Any], end: str, tz: tzinfo) -> float | None:
    if not row.get(end):
        return None
    until, start = to_microseconds(time_of(row[end], tz)), to_microseconds(time_of(row.get("startTime"), tz))
    return (until - start) / 1000 if until >= start else None


def _first_token(row: Mapping[str, Any], tz: tzinfo) -> float | None:
    """Return when the first token came; LiteLLM writes the end there for what was not streamed."""
    return None if row.get("completionStartTime") == row.get("endTime") else _ms(row, "completionStartTime", tz)
