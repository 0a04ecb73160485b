"""This module is where a block of a program becomes one operation: timed, with its error, and never changed."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self


class TimedOperation:
    """One call in progress; made by ``collector.operation(…)``, for ``with`` and ``async with``.

    Set ``response`` to what came back; ``extras`` may be filled; ``error`` may be set by hand, and is taken from the
    block when that raises (cancellation included). After the block ``id`` is the operation's id.
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
        extras = arguments.pop("extras", None)
        # Never raises: what is no mapping is kept all the same.
        given = {} if extras is None else {"value": extras}
        self.extras: dict[str, Any] = dict(extras) if isinstance(extras, Mapping) else given
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
        # The exception itself is not kept: it would hold the frames of the block until the garbage is collected.
        # While one is on its way nothing may wait, and nothing may take its place.
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

    def _finished(self, raised: BaseException | None) -> dict[str, Any]:
        now = time.perf_counter()
        arguments = {
            **self._arguments,
            "response": self.response,
            "error": self.error if raised is None else raised,
            "extras": self.extras or None,
        }
        arguments.setdefault("latency_ms", (now - self._started) * 1000)
        if self._first_token is not None:
            arguments["time_to_first_token_ms"] = (self._first_token - self._started) * 1000
        return arguments
