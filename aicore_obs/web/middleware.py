"""This module is where a web application's requests get their context, and their model calls are recorded.

Pure ASGI: works under Starlette, FastAPI and whatever else speaks ASGI, and imports none of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from aicore_obs.collector import LlmOperationCollector
from aicore_obs.context import bind, current
from aicore_obs.default import get_collector
from aicore_obs.errors import AicoreObsError
from aicore_obs.guard import attempt, log_window
from aicore_obs.web.route import Scope, http_route, request_extras

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

logger = logging.getLogger("aicore_obs")
# A larger JSON response is passed on like any other and not kept.
MAX_BODY_BYTES = 1_000_000


class LlmOperationMiddleware:
    """Gives every operation recorded inside a request its request id, route and user, and records what is asked for.

    An endpoint that sets ``request.state.llm_operation`` (the operation's type) gets one operation recorded when its
    response is finished: ``request.state.llm_args``, ``.llm_provider``, ``.llm_response``, timed over the request.
    Without ``llm_response`` the body of a JSON response is taken. When the application raises or answers 5xx, the
    operation's status is error; the exception goes on untouched.

    Messages pass through at once: nothing is buffered, delayed or changed. When the server shuts down, the collector
    is closed after the application's own shutdown, and what stays in the journal is logged.

    Args:
        app: the ASGI application.
        collector: where to record; without it, the default collector at the time of the request.
        user_id: called with the scope of each request, returns the user's id or None. It runs before the
            application; a user that is known only later is given with ``aicore_obs.bind(user_id=…)``.
        close_collector: whether to close the collector at ``lifespan.shutdown``.
        close_timeout_s: how long closing may take.

    .. versionadded:: 0.1.0
    """

    def __init__(
        self,
        app: App,
        collector: LlmOperationCollector | None = None,
        *,
        user_id: Callable[[Scope], str | None] | None = None,
        close_collector: bool = True,
        close_timeout_s: float = 10.0,
    ) -> None:
        self.app = app
        self._collector = collector
        self._user_id = user_id
        self._close_collector = close_collector
        self._close_timeout_s = close_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, one websocket or the application's lifespan."""
        if scope["type"] in ("http", "websocket"):
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan" and self._close_collector:
            await self.app(scope, receive, self._closing(send))
        else:
            await self.app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Starlette's request.state is a view on this very mapping.
        exchange = _Exchange(scope.setdefault("state", {}), self._record)
        with bind(user_id=self._user(scope), extras=request_extras(scope)):
            extras = current().extras

            def route() -> None:
                # The framework routes after we bound. The key exists, so other threads may read meanwhile.
                extras["http_route"] = http_route(scope)

            async def receive_on() -> Any:
                route()
                return await receive()

            async def send_on(message: Message) -> None:
                route()
                exchange.watch(message)
                await send(message)
                exchange.sent(message)

            try:
                await self.app(scope, receive_on, send_on)
            except BaseException as error:
                exchange.finish(error)
                raise
            exchange.finish()

    def _user(self, scope: Scope) -> str | None:
        if self._user_id is None:
            return None
        outcome = attempt(self._user_id, scope)
        if outcome.error is not None:
            log_window.warn("user_id", f"the user_id hook of the middleware failed: {outcome.error!r}")
        return outcome.value

    def _record(self, **operation: Any) -> None:
        outcome = attempt(self._offer, operation)
        if outcome.error is not None:
            log_window.warn("middleware", f"an operation of a request was not recorded: {outcome.error!r}")

    def _offer(self, operation: dict[str, Any]) -> None:
        # The default collector is made at first need, when the environment may still say that it cannot be.
        (self._collector or get_collector()).offer_completion(**operation)

    def _closing(self, send: Send) -> Send:
        async def send_after_close(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await self._aclose()
            await send(message)

        return send_after_close

    async def _aclose(self) -> None:
        try:
            result = await (self._collector or get_collector()).aclose(timeout_s=self._close_timeout_s)
        except (AicoreObsError, OSError, RuntimeError) as error:
            logger.warning("the collector could not be closed: %r", error)
        else:
            if not result:
                logger.warning("shut down with %d records pending; they wait in the journal", result.pending)


class _Exchange:
    """One request on its way: notices its response, and says once what is to be recorded."""

    def __init__(self, state: Mapping[str, Any], record: Callable[..., None]) -> None:
        self._state = state
        self._record = record
        self._start = time.perf_counter()
        self._latency_ms: float | None = None
        self._status = 200
        self._body: list[bytes] | None = None
        self._body_bytes = 0
        self._finished = False

    def watch(self, message: Message) -> None:
        """Note what a message says, before it is passed on."""
        if message["type"] == "http.response.start":
            self._status = message.get("status", 200)
            self._body = [] if self._wants_body(message) else None
        elif message["type"] == "http.response.body" and self._body is not None:
            self._keep(message.get("body", b""))

    def sent(self, message: Message) -> None:
        """Finish with the last byte of the response: background tasks are none of the call's latency."""
        if message["type"] != "http.response.body" or message.get("more_body", False):
            return
        self._latency_ms = self._elapsed_ms()
        # After a server error the exception may still be on its way (Starlette answers first, then raises).
        if self._status < 500:
            self.finish()

    def finish(self, error: BaseException | None = None) -> None:
        """Record, if the application asked for it and it was not done yet."""
        if self._finished or self._state.get("llm_operation") is None:
            return
        self._finished = True
        self._record(
            completion_args=self._state.get("llm_args"),
            operation_type=self._state["llm_operation"],
            provider=self._state.get("llm_provider"),
            response=self._response(),
            latency_ms=self._elapsed_ms() if self._latency_ms is None else self._latency_ms,
            error=self._server_error() if error is None else error,
        )

    def _elapsed_ms(self) -> float:
        return (time.perf_counter() - self._start) * 1000

    def _wants_body(self, start: Message) -> bool:
        if "llm_operation" not in self._state or "llm_response" in self._state:
            return False
        headers = {name.lower(): value for name, value in start.get("headers", ())}
        media_type = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        return media_type == b"application/json" and b"content-encoding" not in headers

    def _keep(self, chunk: bytes) -> None:
        self._body_bytes += len(chunk)
        if self._body is not None and self._body_bytes <= MAX_BODY_BYTES:
            self._body.append(bytes(chunk))
        else:
            self._body = None

    def _response(self) -> Any:
        if "llm_response" in self._state:
            return self._state["llm_response"]
        # Half a body, because the client left or the application failed, is no response.
        if self._body is None or self._latency_ms is None:
            return None
        body = b"".join(self._body)
        decoded = attempt(msgspec.json.decode, body)
        return decoded.value if decoded.error is None else body.decode("utf-8", "replace")

    def _server_error(self) -> dict[str, str] | None:
        return {"type": "HTTPStatus", "message": str(self._status)} if self._status >= 500 else None
