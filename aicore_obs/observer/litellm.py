"""This module is where LiteLLM is listened to, by the callbacks that it has for that.

What LiteLLM asks through an SDK that is watched, that SDK's call records, with what LiteLLM knows of it. What it asks
over HTTP by itself is recorded here. Its callbacks tell the end of a call on threads and tasks of its own; where the
call was made is remembered when it begins. Source: litellm 1.110.2, read 2026-11-28.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import litellm
import msgspec
from litellm.integrations.custom_logger import CustomLogger

from aicore_obs import context
from aicore_obs.callsite import CallSite, call_site, is_called_by
from aicore_obs.descriptions import canonical
from aicore_obs.guard import attempt_briefly, log_window
from aicore_obs.observer import outers, sessions, tracing
from aicore_obs.observer.outers import Outer
from aicore_obs.observer.streams import inside
from aicore_obs.observer.watch import ABANDONED, COMPLETE, ERROR, Watch
from aicore_obs.pipeline import late
from aicore_obs.protocols import Hook
from aicore_obs.sdks import litellm as sdk

# Calls that have begun and of which no end was told; beyond this many the oldest are forgotten.
_MOST = 10_000
_HOOK = Hook(package="litellm", module="litellm", function="callbacks", read_call=lambda *_: None)


class _Call(Outer):
    """One attempt of LiteLLM's to get an answer, from its beginning until its end is told.

    A call of an SDK inside takes its place: ids pass through, as if it were not there.
    """

    def __init__(self, call_id: str, before: _Call | None) -> None:
        around = tuple(one for one in outers.around() if not isinstance(one, _Call))
        ids = tracing.span_ids(around)
        super().__init__(ids["trace_id"], ids["parent_id"], around, is_kept=False)
        self.call_id = call_id
        is_again = before is not None and before.call_id == call_id
        # Taken as early as can be: the attempt itself may be on another thread, without the application's frames.
        self.site: CallSite | None = before.site if is_again and before is not None else call_site(outside="litellm")
        # LiteLLM may tell the error of one attempt only.
        self.error: BaseException | None = before.error if is_again and before is not None else None
        self.watch: Watch | None = None
        self.is_asked = False
        self.is_stream = False
        self.operation_type = ""
        self.parts: list[Any] = []

    def asked(self, kwargs: dict[str, Any], asked: Any) -> None:
        """Begin to watch: the request is about to be made."""
        self.is_asked = True
        self.is_stream = kwargs.get("stream") is True
        self.operation_type = asked.operation_type
        self.provider = canonical(asked.provider) if asked.provider is not None else None
        self.told = _told(kwargs)
        self.told["extras"]["callsite"] = self.site
        asked = msgspec.structs.replace(asked, provider=self.provider)
        self.watch = Watch(_HOOK, "litellm", asked, told=self.told)

    def taken(self) -> Watch | None:
        """Return what records the call, once; None where a call inside has done it."""
        self.is_open = False
        watch, self.watch = self.watch, None
        if _pending.get(self.call_id) is self:
            _pending.pop(self.call_id, None)
        return None if watch is None or self.operation_type in self.covered else watch

    def answered(self, kwargs: dict[str, Any], response: Any, end: Any) -> None:
        """Record the answer."""
        watch = self.taken()
        if watch is None:
            return
        watch.end_at(end)
        if not self.is_stream:
            watch.answered(sdk.answer(kwargs, response))
            return
        watch.first_token(kwargs.get("completion_start_time"))
        body = sdk.answer(kwargs, response)
        if not any(getattr(part, "usage", None) for part in self.parts) and _is_own_count(kwargs, body):
            body = {**body, "usage": None}
        watch.ended(COMPLETE, body, len(self.parts) or None)

    def failed(self, error: BaseException, end: Any = None) -> None:
        """Record that the attempt failed."""
        self.error = error
        watch, parts = self.taken(), self.parts
        if watch is None:
            return
        watch.end_at(end)
        if parts:
            watch.ended(ERROR, parts, len(parts), error)
        else:
            watch.failed(error)

    def give_up(self) -> None:
        """Record what will not be told any more: LiteLLM says nothing of a closed stream, or a cancelled call."""
        watch, parts = self.taken(), self.parts
        if watch is None:
            return
        if self.is_stream:
            watch.ended(ABANDONED, parts or None, len(parts) or None)
        else:
            error = self.error or asyncio.CancelledError("the call was given up before its answer")
            watch.failed(error, is_late=True)


# The call that is being made, in the context that makes it. It stays after its end: it is no longer open then.
_calling: ContextVar[_Call | None] = ContextVar("aicore_obs_litellm_call", default=None)
_pending: dict[str, _Call] = {}
# Answers out of the cache that were recorded: both kinds of callbacks may tell of them.
_cached: dict[str, None] = {}


def _never() -> bool:
    return False


class _Listening:
    """Whether calls are wanted; asked at each one."""

    is_wanted: Callable[[], bool] = staticmethod(_never)


def _is_recording() -> bool:
    """Return whether a call that is made here is to be recorded."""
    return _Listening.is_wanted() and not inside.get() and not context.is_suppressed()


def _around() -> Outer | None:
    """Return the call of LiteLLM's that makes the call of an SDK; its context alone does not say so."""
    call = _calling.get()
    return call if call is not None and call.is_open and is_called_by("litellm") else None


class LlmOperationLogger(CustomLogger):  # type: ignore[misc] # LiteLLM is not there for the type checker
    """Records what LiteLLM tells of its calls; never raises, never waits, changes nothing."""

    def log_pre_api_call(self, model: str, messages: Any, kwargs: dict[str, Any]) -> None:
        """A request is about to be made: the caller's frame is that of the call's own object."""
        call = sys._getframe(1).f_locals.get("self")  # noqa: SLF001 - it is not handed over, and its end tells the call's
        _quietly(_asked, kwargs, call)

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], _call_type: Any) -> None:
        """An async call begins, in the application's own task."""
        _quietly(_begun, sdk.call_id_of(kwargs))

    async def async_post_call_success_deployment_hook(self, request_data: Any, response: Any, _call_type: Any) -> None:
        """An async call has its whole answer; told in its own task, where the other callback may come too late."""
        _quietly(_returned, request_data, response)

    async def async_post_call_failure_deployment_hook(
        self, request_data: Any, exception: Exception, _call_type: Any
    ) -> None:
        """One attempt of an async call has failed; others may follow."""
        _quietly(_failed, request_data, exception)

    def log_stream_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        """A part of a stream that is read synchronously has come."""
        call = _pending.get(sdk.call_id_of(kwargs) or "")
        if call is not None:
            call.parts.append(response_obj)

    def log_success_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        """An answer has come, as a whole."""
        _quietly(_answered, kwargs, response_obj, end_time)

    def log_failure_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        """The call has failed."""
        _quietly(_failed, kwargs, kwargs.get("exception"), end_time)

    async def async_log_success_event(
        self,
        kwargs: dict[str, Any],
        response_obj: Any,
        start_time: Any,
        end_time: Any,
    ) -> None:
        """The same of an async call."""
        _quietly(_answered, kwargs, response_obj, end_time)

    async def async_log_failure_event(
        self,
        kwargs: dict[str, Any],
        response_obj: Any,
        start_time: Any,
        end_time: Any,
    ) -> None:
        """The same of an async call."""
        _quietly(_failed, kwargs, kwargs.get("exception"), end_time)


class _Leaving:
    """What is to be done at the end of the process: what LiteLLM's threads have still to tell goes first."""

    def give_up(self) -> None:
        """Give up what nobody has in hand any more, and after a moment the rest."""
        if _pending:
            gc.collect()
        end = time.monotonic() + _PATIENCE_S
        while _pending and time.monotonic() < end:
            time.sleep(0.005)
        for call in list(_pending.values()):
            call.give_up()


_leaving = _Leaving()
_PATIENCE_S = 0.5
_logger = LlmOperationLogger()
_LISTS = ("callbacks", "input_callback", "success_callback", "failure_callback", "_async_success_callback",
          "_async_failure_callback")  # fmt: skip


def listen(is_recording: Callable[[], bool]) -> None:
    """Listen to LiteLLM; harmless twice.

    In each of its lists: who sets ``litellm.callbacks`` or ``litellm.success_callback`` anew takes us out of one.
    """
    _Listening.is_wanted = staticmethod(is_recording)
    for name in _LISTS:
        if _logger not in (found := getattr(litellm, name)):
            found.append(_logger)
    if _around not in outers.LISTENERS:
        outers.LISTENERS.append(_around)


def rest() -> None:
    """Listen no more. Calls that go on are not recorded: nobody will tell of their end."""
    for name in _LISTS:
        while _logger in (found := getattr(litellm, name)):
            found.remove(_logger)
    _Listening.is_wanted = staticmethod(_never)
    if _around in outers.LISTENERS:
        outers.LISTENERS.remove(_around)
    _forget()


def _forget() -> None:
    while _pending:
        _pending.popitem()[1].taken()


if hasattr(os, "register_at_fork"):
    # In a forked child: what goes on, the parent records.
    os.register_at_fork(after_in_child=_forget)


def _quietly(work: Callable[..., None], *args: Any) -> None:
    outcome = attempt_briefly(work, *args)
    if outcome.error is not None:
        log_window.warn("litellm", f"a call of litellm is not recorded: {outcome.error!r}")


def _before(call_id: str | None) -> _Call | None:
    """Return the call that was made last in this context.

    Of several attempts LiteLLM may tell the error of one only: where another call begins, the last one was the end.
    """
    before = _calling.get()
    if before is not None and before.call_id != call_id and before.error is not None and not before.is_stream:
        before.give_up()
    return before


def _begun(call_id: str | None) -> None:
    before = _before(call_id)
    if call_id is None or not _is_recording():
        _calling.set(None)
    elif before is None or before.call_id != call_id or before.is_asked or not before.is_open:
        _calling.set(_Call(call_id, before))


def _asked(kwargs: dict[str, Any], logging: Any) -> None:
    call_id = sdk.call_id_of(kwargs)
    asked = sdk.asked(kwargs, with_content=not _is_redacted()) if _is_recording() else None
    if call_id is None or asked is None:
        _calling.set(None)
        return
    call = _before(call_id)
    if call is None or call.call_id != call_id or call.is_asked or not call.is_open:
        call = _Call(call_id, call)
    _again(call_id)
    # What is watched is not inside of itself.
    _calling.set(None)
    call.asked(kwargs, asked)
    _calling.set(call)
    _pending[call_id] = call
    _bound(_pending)
    late.expect(_leaving)
    if logging is not None:
        weakref.finalize(logging, call.give_up).atexit = False


def _again(call_id: str) -> None:
    """LiteLLM asks again without having told how the attempt before went: it does so where that one has raised."""
    before = _pending.pop(call_id, None)
    error = sys.exc_info()[1]
    if before is not None and isinstance(error, Exception):
        before.failed(error)
    elif before is not None:
        before.taken()


def _answered(kwargs: dict[str, Any], response: Any, end: Any) -> None:
    call_id = sdk.call_id_of(kwargs) or ""
    call = _pending.pop(call_id, None)
    if call is not None:
        call.answered(kwargs, response, end)
    elif sdk.is_cached(kwargs) and call_id not in _cached and _is_recording():
        _cached[call_id] = None
        _bound(_cached)
        _remembered(call_id, kwargs, response)


def _returned(request: Any, response: Any) -> None:
    call = _pending.get(sdk.call_id_of(request) or "")
    if call is not None and not call.is_stream:
        _pending.pop(call.call_id, None)
        call.answered({"custom_llm_provider": call.told["extras"]["litellm"].get("provider")}, response, None)


def _remembered(call_id: str, kwargs: dict[str, Any], response: Any) -> None:
    """Record an answer that nobody was asked for."""
    asked = sdk.asked(kwargs, with_content=not _is_redacted())
    call = _calling.get()
    if call is None or call.call_id != call_id or call.is_asked:
        call = _Call(call_id, None)
    if asked is not None:
        _calling.set(None)
        call.asked(kwargs, asked)
        call.answered(kwargs, response, None)


def _failed(kwargs: Any, error: Any, end: Any = None) -> None:
    call = _pending.pop(sdk.call_id_of(kwargs) or "", None)
    if call is not None and isinstance(error, BaseException):
        call.failed(error, end)


def _told(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return what the user said to LiteLLM of a call; what was said to us goes before."""
    found = sdk.said(kwargs)
    now = sessions.context_of(sessions.current())
    for name in ("user_id", "session_id"):
        if found[name] is None or getattr(now, name) is not None:
            del found[name]
    if sdk.is_cached(kwargs):
        found["extras"]["cache_hit"] = True
    return found


def _is_own_count(kwargs: dict[str, Any], body: Any) -> bool:
    """Return whether the usage of a stream is what LiteLLM counts where nobody has reported any.

    It does not say so. Counted again it is the same. Some models have vocabularies that LiteLLM would fetch for that.
    """
    model = str(kwargs.get("model")).lower()
    told = sdk.bare_usage(body)
    if told is None or any(mark in model for mark in _FETCHED):
        return False
    count = sys.modules["litellm"].token_counter
    read = attempt_briefly(count, model=kwargs.get("model"), messages=kwargs.get("messages")).value
    made = attempt_briefly(count, model=kwargs.get("model"), text=told.text, count_response_tokens=True).value
    return (read, made) == (told.read, told.made)


_FETCHED = ("claude", "llama", "command", "cohere")


def _is_redacted() -> bool:
    return getattr(sys.modules.get("litellm"), "turn_off_message_logging", False) is True


def _bound(kept: dict[str, Any]) -> None:
    while len(kept) > _MOST:
        kept.pop(next(iter(kept)), None)
