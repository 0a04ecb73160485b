"""This module is where OTLP/JSON is described: the spans of a tracer, of which calls of models become operations.

Source: opentelemetry-proto 1.9 (``ExportTraceServiceRequest`` as JSON: hexadecimal ids, 64-bit numbers as text), and
for the attributes :mod:`aicore_obs.importing.spanned`. What is no call of a model becomes a span, never an operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any

import msgspec

from aicore_obs.capture.redaction import without_secrets
from aicore_obs.importing import spanned
from aicore_obs.importing.made import BadRow, Call, operation, text
from aicore_obs.model.events import Span
from aicore_obs.model.ids import from_microseconds, id_from
from aicore_obs.model.record import FIRST_VERSION, ErrorInfo, Record

name = "otlp"
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
        operation_type=spanned.type_of(given) or "",
        request=spanned.request_of(given),
        response=spanned.answer_of(given),
        provider=spanned.provider_of(given),
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


def _options(row: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    extras = {"span_name": row.get("name"), "resource": row.get("resource")}
    return {
        **spanned.scopes_of(given),
        "api": spanned.API,
        "extras": {key: value for key, value in extras.items() if value},
        "error": _error(row, given),
        "time_to_first_token_ms": _first_token(row, given),
    }


def _error(row: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str | None] | None:
    status = _object(row.get("status"))
    if status.get("code") not in _FAILED:
        return None
    events = ((str(one.get("name")), _attributes(one.get("attributes"))) for one in _list(row.get("events")))
    return spanned.error_of(given, status.get("message"), events)


def _first_token(row: Mapping[str, Any], given: Mapping[str, Any]) -> float | None:
    times = ((str(one.get("name")), _whole(one.get("timeUnixNano"))) for one in _list(row.get("events")))
    events = [(name, when) for name, when in times if isinstance(when, int)]
    return spanned.first_token_ms(given, _whole(row.get("startTimeUnixNano")), events)


def _project(row: Mapping[str, Any]) -> str | None:
    return text(_object(row.get("resource")).get("service.name"))


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
