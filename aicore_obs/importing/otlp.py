"""This module is where OTLP/JSON is described: the spans of a tracer, of which calls of models become operations.

Source: opentelemetry-proto 1.9 (``ExportTraceServiceRequest`` as JSON: hexadecimal ids, 64-bit numbers as text), and
for the attributes :mod:`aicore_obs.shapes.spans`. An agent's or a workflow's span repeats the usage of the calls
inside it, so that it becomes a span and never an operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any

import msgspec

from aicore_obs.capture.redaction import without_secrets
from aicore_obs.descriptions import canonical
from aicore_obs.importing.made import BadRow, Call, operation, text, unpacked
from aicore_obs.model.events import Span
from aicore_obs.model.ids import from_microseconds, id_from
from aicore_obs.model.record import FIRST_VERSION, ErrorInfo, Record

name = "otlp"
# What a call of a model is called by each convention → the type of its operation.
_CALLS = {"chat": "completion", "text_completion": "completion", "generate_content": "completion",
          "completion": "completion", "LLM": "completion", "embeddings": "embedding", "embedding": "embedding",
          "EMBEDDING": "embedding", "rerank": "rerank", "RERANKER": "rerank"}  # fmt: skip
_KINDS = ("gen_ai.operation.name", "llm.request.type", "openinference.span.kind")
_PROVIDERS = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
_MODELS = ("gen_ai.request.model", "llm.request.model_name", "llm.model_name", "gen_ai.response.model")
_MESSAGES = ("gen_ai.input.messages", "input.value")
_SESSIONS = ("gen_ai.conversation.id", "session.id", "traceloop.association.properties.session_id")
_USERS = ("user.id", "enduser.id", "traceloop.association.properties.user_id")
_AGENTS = ("gen_ai.agent.id", "gen_ai.agent.name", "agent.name")
_PARAMETERS = {"temperature": "gen_ai.request.temperature", "max_tokens": "gen_ai.request.max_tokens"}
_FAILED = (2, "STATUS_CODE_ERROR")


def fits(row: Mapping[str, Any]) -> bool:
    """Return whether an element of a JSON file is an export of spans."""
    return "resourceSpans" in row


def spans(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the spans of one export, each with the attributes of its resource."""
    for resource in _list(row.get("resourceSpans")):
        given = _attributes(_object(resource.get("resource")).get("attributes"))
        for scope in _list(resource.get("scopeSpans")):
            for span in _list(scope.get("spans")):
                yield {**span, "resource": given}


def records(row: Mapping[str, Any], tz: tzinfo) -> Iterator[Record]:  # noqa: ARG001 - times are in UTC by themselves
    """Yield the operation or the span of one span."""
    ids = {"trace_id": text(row.get("traceId")), "span_id": text(row.get("spanId"))}
    if None in ids.values():
        raise BadRow("no traceId or spanId")
    start = _time(row.get("startTimeUnixNano"))
    given = _attributes(row.get("attributes"))
    call = Call(
        source=(name, f"{ids['trace_id']}/{ids['span_id']}"),
        when=start,
        operation_type=_type_of(given) or "",
        request=_request(given),
        response=given,
        provider=_provider(given),
        described="otel",
        latency_ms=_duration(row, start),
        options=_options(row, given),
        header={**ids, "parent_id": text(row.get("parentSpanId")), "project": _project(row)},
    )
    yield operation(call) if call.operation_type else _span(row, call, given)


def _span(row: Mapping[str, Any], call: Call, given: Mapping[str, Any]) -> Span:
    header: dict[str, Any] = dict(call.header)
    body = {"attributes": given, "events": _list(row.get("events"))}
    error = call.options["error"]
    return Span(
        id=id_from(call.when, *call.source),
        timestamp=call.when,
        v=FIRST_VERSION,
        name=text(row.get("name")) or "span",
        duration_ms=call.latency_ms,
        session_id=call.options["session_id"],
        error=None if error is None else ErrorInfo(**error),
        body=msgspec.Raw(msgspec.json.encode(without_secrets({key: value for key, value in body.items() if value}))),
        **header,
    )


def _type_of(given: Mapping[str, Any]) -> str | None:
    """Return the type of the operation that a span is, None when it is none."""
    kind = _first(given, _KINDS)
    if kind is not None:
        return _CALLS.get(kind)
    return "completion" if _first(given, _MODELS) and any(".usage." in one for one in given) else None


def _request(given: Mapping[str, Any]) -> dict[str, Any]:
    found = {"model": _first(given, _MODELS), **{key: given.get(one) for key, one in _PARAMETERS.items()}}
    found["messages"] = unpacked(next((given[one] for one in _MESSAGES if one in given), None))
    return {key: value for key, value in found.items() if value is not None}


def _options(row: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    extras = {"span_name": row.get("name"), "resource": row.get("resource")}
    return {
        "session_id": _first(given, _SESSIONS),
        "user_id": _first(given, _USERS),
        "agent_id": _first(given, _AGENTS),
        "api": "span.attributes",
        "extras": {key: value for key, value in extras.items() if value},
        "error": _error(row, given),
    }


def _error(row: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str | None] | None:
    status = _object(row.get("status"))
    if status.get("code") not in _FAILED:
        return None
    events = (_attributes(one.get("attributes")) for one in _list(row.get("events")) if one.get("name") == "exception")
    told = next(events, {})
    return {
        "type": text(told.get("exception.type")) or text(given.get("error.type")),
        "message": text(told.get("exception.message")) or text(status.get("message")),
        "stack": text(told.get("exception.stacktrace")),
    }


def _provider(given: Mapping[str, Any]) -> str:
    """Return who answered by the name that we have for it, so that one filter finds all of them."""
    told = _first(given, _PROVIDERS)
    return "otel" if told is None else canonical(told)


def _project(row: Mapping[str, Any]) -> str | None:
    return text(_object(row.get("resource")).get("service.name"))


def _first(given: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((given[one] for one in names if text(given.get(one))), None)


def _duration(row: Mapping[str, Any], start: datetime) -> float | None:
    try:
        until = int(row["endTimeUnixNano"])
    except (KeyError, TypeError, ValueError):
        return None
    taken = (until - int(row["startTimeUnixNano"])) / 1e6
    return taken if until and taken >= 0 and start else None


def _time(value: Any) -> datetime:
    try:
        return from_microseconds(int(value) // 1000)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRow("no startTimeUnixNano") from error


def _attributes(given: Any) -> dict[str, Any]:
    """Return OTLP's list of keys and typed values as an object."""
    return {one["key"]: _plain(one.get("value")) for one in _list(given) if isinstance(one.get("key"), str)}


def _plain(value: Any) -> Any:
    typed = _object(value)
    if "arrayValue" in typed:
        return [_plain(one) for one in _list(_object(typed["arrayValue"]).get("values"))]
    if "kvlistValue" in typed:
        return _attributes(_object(typed["kvlistValue"]).get("values"))
    if "intValue" in typed:
        return _whole(typed["intValue"])
    return next(
        (typed[kind] for kind in ("stringValue", "boolValue", "doubleValue", "bytesValue") if kind in typed), None
    )


def _whole(value: Any) -> Any:
    try:
        return int(value)
    except (TypeError, ValueError):
        return value


def _list(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
