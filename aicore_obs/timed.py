"""This module is where a block of a program becomes one operation: timed, with its error, and never changed."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self


class TimedOperation:
    """One call in progress; made by ``collector.operation(…)``, for ``with`` and ``async with``.

    Set ``response`` to what came back; ``extras`` may be filled; ``error`` is set by itself when the block raises
    (cancellation included) and may be set by hand. After the block ``id`` is the operation's id.
    """

    def __init__(
        self,
        record: Callable[..., str | None],
        arecord: Callable[..., Awaitable[str | None]],
        offer: Callable[..., str | None],
        arguments: dict[str, Any],
    ) -> None:
        self.response: Any = arguments.pop("response", None)
        self.error: BaseException | str | None = arguments.pop("error", None)
        self.extras: dict[str, Any] = dict(arguments.pop("extras", None) or {})
        self.id: str | None = None
        self._record, self._arecord, self._offer = record, arecord, offer
        self._arguments = arguments
        self._started = 0.0
        self._first_token: float | None = None

    def first_token(self) -> None:
        """Say that the first token has come; only the first call counts."""
        if self._first_token is None:
            self._first_token = time.perf_counter()

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        # While an exception is on its way nothing may wait, and nothing may take its place.
        self.id = (self._record if error is None else self._offer)(**self._finished(error))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.__exit__(kind, error, trace)
        else:
            self.id = await self._arecord(**self._finished(None))

    def _finished(self, error: BaseException | None) -> dict[str, Any]:
        now = time.perf_counter()
        arguments = {
            **self._arguments,
            "response": self.response,
            "error": error if error is not None else self.error,
            "extras": self.extras or None,
        }
        arguments.setdefault("latency_ms", (now - self._started) * 1000)
        if self._first_token is not None:
            arguments["time_to_first_token_ms"] = (self._first_token - self._started) * 1000
        return arguments
