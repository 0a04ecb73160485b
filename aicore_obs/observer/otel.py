"""This module is where OpenTelemetry is listened to: finished spans that are calls of models become operations.

Source: opentelemetry-sdk 1.45.2 (``trace.SpanProcessor``), read 2026-11-28. How a span is read is
:mod:`aicore_obs.importing.spanned`, for files of spans and for these alike.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanContext, StatusCode

from aicore_obs import context
from aicore_obs.callsite import is_in
from aicore_obs.capture.redaction import without_secrets
from aicore_obs.collector import LlmOperationCollector
from aicore_obs.default import get_collector
from aicore_obs.errors import ConfigurationError
from aicore_obs.guard import attempt, log_window
from aicore_obs.importing import spanned
from aicore_obs.model.ids import from_microseconds
from aicore_obs.observer import outers, sessions
from aicore_obs.observer.outers import Outer
from aicore_obs.observer.streams import inside
from aicore_obs.settings import from_environment
from aicore_obs.shapes.spans import response_id

# Spans that were begun and not ended yet, and those that have ended lately: beyond this many the oldest are forgotten.
# One that was forgotten before its end is read then as if it had just begun.
_MOST = 10_000
_Key = tuple[int, int]


class _OpenSpan(Outer):
    """A span that has begun, with the session in which it did."""

    def __init__(self, ids: SpanContext, around: tuple[Outer, ...], collector: LlmOperationCollector | None) -> None:
        super().__init__(f"{ids.trace_id:032x}", f"{ids.span_id:016x}", around, is_kept=False)
        self.session = sessions.current()
        # What begins inside of a watched call is part of it.
        self.is_part = inside.get()
        # Taken at the beginning: a span may end where garbage is collected, and nothing may be asked that takes a lock.
        self.collector = get_collector() if collector is None else collector


class LlmOperationSpanProcessor(SpanProcessor):
    """Records the finished spans of a tracer provider that are calls of models, and looks over all others.

    ``provider.add_span_processor(LlmOperationSpanProcessor())`` is what
    :func:`aicore_obs.instrument_opentelemetry` does for a provider that is there already. A span inside of which a call
    was recorded (of an instrumented SDK, or of another span) is none itself. ``force_flush`` delivers to the stores and
    waits for it; nothing else waits.

    Args:
        collector: where to record; without it, the default collector.

    .. versionadded:: 0.1.0
    """

    def __init__(self, collector: LlmOperationCollector | None = None) -> None:
        self._collector = collector
        self.is_on = from_environment().enabled
        if self.is_on and collector is None:
            # Made now: what cannot work is said here, and no span waits for it.
            get_collector()
        _processors.add(self)
        if _around not in outers.LISTENERS:
            outers.LISTENERS.append(_around)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember a span, and what it is in."""
        if self.is_on:
            outcome = attempt(self._begin, span, parent_context)
            if outcome.error is not None:
                log_window.warn("span", f"the beginning of a span was not seen: {outcome.error!r}")

    def on_end(self, span: ReadableSpan) -> None:
        """Record a span that is a call of a model; never raises, never waits."""
        if self.is_on:
            outcome = attempt(self._end, span)
            if outcome.error is not None:
                log_window.warn("span", f"the span {span.name!r} was not recorded: {outcome.error!r}")

    def shutdown(self) -> None:
        """Look at no span any more. What was recorded is delivered by its collector."""
        self.is_on = False

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what was recorded; return whether all of it was stored in time."""
        if not self.is_on:
            return True
        collector = self._collector if self._collector is not None else get_collector()
        return bool(collector.flush(timeout_millis / 1000))

    def _begin(self, span: Span, parent_context: Context | None) -> None:
        ids = span.get_span_context()
        if ids is None or context.is_suppressed():
            return
        parent = _open.get(_key(trace.get_current_span(parent_context).get_span_context()))
        around = tuple(one for one in outers.around() if not isinstance(one, _OpenSpan))
        _open[_key(ids)] = _OpenSpan(ids, around if parent is None else (*around, parent), self._collector)
        _bound(_open)

    def _end(self, span: ReadableSpan) -> None:
        ids = span.get_span_context()
        if ids is None or context.is_suppressed():
            return
        if _key(ids) in _ended:
            return
        _ended[_key(ids)] = None
        _bound(_ended)
        begun = _open.pop(_key(ids), None)
        given = dict(span.attributes or {})
        kind = spanned.type_of(given)
        if begun is not None:
            begun.is_open = False
        if kind is None or (begun is not None and (begun.is_part or kind in begun.covered)):
            return
        begun = begun if begun is not None else _OpenSpan(ids, (), self._collector)
        if not _is_known(span, given):
            begun.cover(kind)
            _record(span, begun, kind, given)


# Span → what is known of it since its beginning; of all providers that are listened to.
_open: dict[_Key, _OpenSpan] = {}
# Where a provider has two of us, the first one records.
_ended: dict[_Key, None] = {}
_processors: WeakSet[LlmOperationSpanProcessor] = WeakSet()
_listening: WeakKeyDictionary[TracerProvider, LlmOperationSpanProcessor] = WeakKeyDictionary()


def listen(tracer_provider: Any = None) -> None:
    """Listen to a tracer provider, by default the global one; harmless twice.

    Raises:
        ConfigurationError: it makes no spans.
    """
    found = trace.get_tracer_provider() if tracer_provider is None else tracer_provider
    if not isinstance(found, TracerProvider):
        raise ConfigurationError(
            f"{type(found).__name__} makes no spans that could be recorded: give instrument_opentelemetry() a "
            "TracerProvider of opentelemetry.sdk.trace, or set one with opentelemetry.trace.set_tracer_provider() first"
        )
    processor = _listening.get(found)
    if processor is None:
        _listening[found] = processor = LlmOperationSpanProcessor()
        found.add_span_processor(processor)
    processor.is_on = from_environment().enabled


def rest() -> None:
    """Listen no more where :func:`listen` was asked to; a tracer provider has no way to take a processor away."""
    for processor in list(_listening.values()):
        processor.shutdown()


def _around() -> Outer | None:
    """Return the span of now, also where it is of another process, or of a provider that nobody listens to."""
    span = trace.get_current_span()
    ids = span.get_span_context()
    if not ids.is_valid or not any(one.is_on for one in list(_processors)):
        return None
    known = _open.get(_key(ids))
    if known is not None:
        return known
    outer = span.parent if isinstance(span, ReadableSpan) else None
    around = None if outer is None else _open.get(_key(outer))
    return Outer(f"{ids.trace_id:032x}", f"{ids.span_id:016x}", () if around is None else (around,), is_kept=False)


def _bound(kept: dict[_Key, Any]) -> None:
    while len(kept) > _MOST:
        kept.pop(next(iter(kept)), None)


def _key(ids: SpanContext) -> _Key:
    return ids.trace_id, ids.span_id


def _is_known(span: ReadableSpan, given: dict[str, Any]) -> bool:
    """Return whether the answer was recorded by somebody who does not stand inside: who saw the same id meanwhile."""
    answer_id = response_id(given)
    if answer_id is None or span.start_time is None or span.end_time is None:
        return False
    # One tracer makes one span of a call; two spans of one call are of two.
    source = "" if span.instrumentation_scope is None else span.instrumentation_scope.name
    return outers.answers.is_known(answer_id, f"spans of {source}", span.start_time / 1e9, span.end_time / 1e9)


def _record(span: ReadableSpan, begun: _OpenSpan, kind: str, given: dict[str, Any]) -> None:
    start_ns = span.start_time or 0
    parent = None if span.parent is None else f"{span.parent.span_id:016x}"
    now = sessions.context_of(begun.session, trace_id=begun.trace_id, span_id=begun.inside_id, parent_id=parent)
    scopes: dict[str, Any] = {name: value for name, value in spanned.scopes_of(given).items() if value is not None}
    if begun.session is not None:
        scopes.pop("session_id", None)
    is_late = is_in("aicore_obs", above=__name__)
    collector = begun.collector if is_late or not begun.collector.is_closed else get_collector()
    token = context.enter(now)
    try:
        captured = collector.watching.operation(
            spanned.request_of(given),
            kind,
            spanned.provider_of(given),
            without_secrets(spanned.answer_of(given)),
            (span.end_time - start_ns) / 1e6 if span.end_time is not None else None,
            is_late=is_late,
            api=spanned.API,
            error=_error(span, given),
            extras={"span_name": span.name},
            timestamp=from_microseconds(start_ns // 1000),
            time_to_first_token_ms=spanned.first_token_ms(
                given, start_ns, ((event.name, event.timestamp) for event in span.events)
            ),
            **scopes,
        )
    finally:
        context.leave(token)
    if captured is not None:
        sessions.keep(begun.session, captured.line)


def _error(span: ReadableSpan, given: dict[str, Any]) -> dict[str, str | None] | None:
    if span.status.status_code is not StatusCode.ERROR:
        return None
    events = ((event.name, event.attributes or {}) for event in span.events)
    return spanned.error_of(given, span.status.description, events)
