"""This module is where one call of an SDK is followed, from its arguments to its record."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from aicore_obs import context
from aicore_obs.callsite import call_site
from aicore_obs.capture.plain import snapshot
from aicore_obs.default import get_collector
from aicore_obs.descriptions import server_of
from aicore_obs.guard import attempt, log_window
from aicore_obs.model.ids import utc_now
from aicore_obs.observer import outers, sessions, tracing
from aicore_obs.pipeline import late
from aicore_obs.protocols import Asked, Hook

COMPLETE, ABANDONED, CANCELLED, ERROR = "complete", "abandoned", "cancelled", "error"
_CANCELLATIONS = frozenset({"CancelledError", "Cancelled"})


class Watch:
    """One call in progress. It is finished once; what comes later changes nothing."""

    def __init__(self, hook: Hook, provider: str, asked: Asked, *, told: dict[str, Any] | None = None) -> None:
        self.hook = hook
        self._asked = asked
        around = outers.around()
        server = server_of(asked.base_url) if asked.base_url is not None else None
        at_host = server.provider if server is not None else None
        who = next((one.provider for one in around if one.provider is not None), asked.provider or provider)
        self._provider = at_host.name if at_host is not None else who
        self._told = told if told is not None else outers.told(around)
        where = {"base_url": asked.base_url} if asked.base_url is not None else {}
        self._request = snapshot({**asked.request, **where})
        self._session = sessions.current()
        self._context = tracing.context_in(self._session, around)
        self._site = call_site(
            outside=hook.package.partition(".")[0],
            around=next((one.site for one in around if one.site is not None), None),
        )
        # Taken now: where garbage is collected, nothing may be asked that takes a lock.
        self._collector = get_collector()
        self.is_done = False
        # True while the reader has asked for the next part: what is closed meanwhile is not given up.
        self.is_advancing = False
        self._started_at = utc_now()
        self._started = time.perf_counter()
        self._first: float | None = None
        self._end: float | None = None
        # From now on there will be a record, and what is around makes none.
        for one in around:
            one.cover(asked.operation_type)

    def first_token(self, moment: datetime | None = None) -> None:
        """Say that the first token has come, now or at a moment; only the first call counts."""
        if self._first is None:
            self._first = self._at(moment)

    def end_at(self, moment: datetime | None) -> None:
        """Say when the call ended, where that is told later."""
        self._end = self._at(moment)

    def _at(self, moment: datetime | None) -> float:
        """Return a moment in the seconds of the call: between its beginning and now, whatever clocks do."""
        now = time.perf_counter()
        if not isinstance(moment, datetime):
            return now
        return min(now, self._started + max(0.0, (moment.astimezone() - self._started_at).total_seconds()))

    @property
    def has_first_token(self) -> bool:
        """Return whether a token has come."""
        return self._first is not None

    def answered(self, response: Any) -> None:
        """Record a whole answer; never raises."""
        self._finish(response, None, {})

    def failed(self, error: BaseException, *, is_late: bool = False) -> None:
        """Record that the call raised; never raises."""
        self._finish(None, error, {}, is_late=is_late or isinstance(error, GeneratorExit))

    def ended(self, state: str, parts: Any, count: int | None, error: BaseException | None = None) -> None:
        """Record a stream that has ended one way or another; never raises."""
        stream = {"stream_state": state, "stream_chunks": count}
        self._finish(parts, error, stream, is_late=state == ABANDONED)

    def _finish(
        self, response: Any, error: BaseException | None, stream: dict[str, Any], *, is_late: bool = False
    ) -> None:
        if self.is_done:
            return
        self.is_done = True
        now = self._end if self._end is not None else time.perf_counter()
        outcome = attempt(self._record, response, error, stream, now, is_late)
        if outcome.error is not None:
            log_window.warn("instrument", f"a call of {self._asked.api} was not recorded: {outcome.error!r}")

    def _record(
        self, response: Any, error: BaseException | None, stream: dict[str, Any], now: float, is_late: bool
    ) -> None:
        if self._is_known(response, now):
            return
        collector = self._collector if is_late or not self._collector.is_closed else get_collector()
        extras = {"callsite": self._site, "stream_chunks": stream.get("stream_chunks"), **self._told.get("extras", {})}
        token = context.enter(self._context)
        try:
            captured = collector.watching.operation(
                self._request,
                self._asked.operation_type,
                self._provider,
                response,
                (now - self._started) * 1000,
                is_late=is_late,
                is_seen=True,
                api=self._asked.api,
                error=error,
                extras={name: value for name, value in extras.items() if value is not None},
                timestamp=self._started_at,
                time_to_first_token_ms=(self._first - self._started) * 1000 if self._first is not None else None,
                stream_state=stream.get("stream_state"),
                **{name: value for name, value in self._told.items() if name != "extras"},
            )
        finally:
            context.leave(token)
        if captured is not None:
            sessions.keep(self._session, captured.line)

    def _is_known(self, response: Any, now: float) -> bool:
        """Return whether a listener outside, which did not know of us, has recorded the answer already."""
        answer_id = _answer_id(response) if outers.LISTENERS else None
        if answer_id is None:
            return False
        begin = self._started_at.timestamp()
        return outers.answers.is_known(answer_id, "sdk", begin, begin + now - self._started)


def _answer_id(response: Any) -> str | None:
    """Return the provider's id of an answer, where it stands where most have it: at the top, or an event's top."""
    for one in response[:2] if isinstance(response, list) else (response,):
        for name in _IDS:
            found = one.get(name) if isinstance(one, dict) else getattr(one, name, None)
            if isinstance(found, str):
                return found
            if isinstance(found, dict) and isinstance(found.get("id"), str):
                return str(found["id"])
    return None


# In a stream of Anthropic's the first event has the message, in one of OpenAI's Responses the response.
_IDS = ("id", "response_id", "responseId", "message", "response")


def state_of(error: BaseException) -> str:
    """Return how a stream ended that raised."""
    if isinstance(error, GeneratorExit):
        return ABANDONED
    return CANCELLED if type(error).__name__ in _CANCELLATIONS else ERROR


class Parts:
    """What has come of one stream so far. ``add`` is called for each part that the reader was given."""

    def __init__(self, watch: Watch, decode: Callable[[Any], Any] = lambda part: part) -> None:
        self._watch = watch
        self._decode = decode
        self._parts: list[Any] = []

    def begin(self) -> None:
        """Say that the stream is being read: from now on it may be given up."""
        late.expect(self)

    def add(self, part: Any) -> None:
        """Keep a part; the first one is taken for the first token."""
        self._watch.first_token()
        self._parts.append(part)

    def end(self, state: str, error: BaseException | None = None) -> None:
        """Record the stream."""
        parts = [attempt(self._decode, part).value for part in self._parts]
        self._watch.ended(state, parts, len(parts), error)

    def give_up(self) -> None:
        """Record the stream as it is: nobody will read on."""
        self.end(ABANDONED)


class Bytes:
    """The bytes of one HTTP response as the reader was given them: a stream of events, JSON, or something else."""

    def __init__(self, watch: Watch, content_type: str, *, has_items: bool) -> None:
        self._has_items = has_items
        self.watch = watch
        self._content_type = content_type
        self._chunks: list[bytes] = []
        self._line = b""
        late.expect(self)

    def closed(self) -> None:
        """Record a response that its reader has closed: whole where the last event came, else given up.

        Where the SDK's items are read, these tell whether all of them were.
        """
        tail = b"".join(self._chunks[-2:])[-4096:]
        has_end = not self._has_items and any(mark in tail for mark in _ENDS)
        self.end(COMPLETE if has_end else ABANDONED)

    def add(self, chunk: bytes) -> None:
        """Keep some bytes; look for the first token until it is there."""
        self._chunks.append(chunk)
        if not self.watch.has_first_token:
            *lines, self._line = (self._line + chunk).split(b"\n")
            if any(self._is_token(line) for line in lines):
                self.watch.first_token()

    def _is_token(self, line: bytes) -> bool:
        return line.startswith(b"data:") and not any(mark in line for mark in self.watch.hook.before_tokens)

    def end(self, state: str, error: BaseException | None = None) -> None:
        """Record the response; what is no stream of events has no state when it is complete."""
        if self.watch.is_done:
            return
        body = b"".join(self._chunks)
        events = attempt(_events, body).value if self._is_stream(body) else None
        if events is not None:
            self.watch.ended(state, events, len(events), error)
        elif state == COMPLETE:
            self.watch.answered(_body(body, self._content_type))
        else:
            self.watch.ended(state, _body(body, self._content_type) if body else None, None, error)

    def give_up(self) -> None:
        """Record the response as it is: nobody will read on."""
        self.end(ABANDONED)

    def _is_stream(self, body: bytes) -> bool:
        return "event-stream" in self._content_type or body.startswith((b"data:", b"event:"))


_ENDS = (b"data: [DONE]", b"data:[DONE]", b'"message_stop"', b'"response.completed"', b'"response.failed"',
         b'"response.incomplete"')  # fmt: skip


def read_body(http: Any) -> Any:
    """Return the body of a response that was read."""
    return _body(http.content, str(http.headers.get("content-type", "")))


def _body(body: bytes, content_type: str) -> Any:
    if "json" in content_type or body[:1] in (b"{", b"["):
        found = attempt(msgspec.json.decode, body)
        if found.error is None:
            return found.value
    if content_type.startswith("text/"):
        return body.decode("utf-8", "replace")
    return {"content_type": content_type, "size_bytes": len(body)}


def _events(body: bytes) -> list[Any]:
    """Return the data of server-sent events; what is no JSON stays text."""
    events = []
    data: list[bytes] = []
    for line in [*body.replace(b"\r\n", b"\n").split(b"\n"), b""]:
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            text, data = b"\n".join(data), []
            if text != b"[DONE]":
                found = attempt(msgspec.json.decode, text)
                events.append(text.decode("utf-8", "replace") if found.error is not None else found.value)
    return events
