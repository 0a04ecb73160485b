"""This module is where the writer's thread and its event loop are kept: one named thread, one loop, one way in.

The thread is a daemon: an interpreter that ends without having stopped it does not hang, and whatever was not
delivered waits in the journal.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast

import anyio
import anyio.to_thread

from aicore_obs.errors import NotOpenError
from aicore_obs.guard import attempt_async

P = ParamSpec("P")
T = TypeVar("T")
START_TIMEOUT_S = 30.0


class PortalEnded(Exception):  # noqa: N818 - an event, not a mistake
    """The loop ended before the work on it did."""


def import_backend() -> None:
    """Import what a loop needs, on this thread: an import in the background can break one in the foreground."""
    importlib.import_module("anyio._backends._asyncio")


class Portal:
    """Runs ``main`` on a loop in a thread of its own, until it returns."""

    def __init__(self, name: str, main: Callable[[], Awaitable[None]]) -> None:
        self._main = main
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; returns at once."""
        self._thread.start()

    def _run(self) -> None:
        anyio.run(self._body, backend="asyncio")

    async def _body(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._started.set()
        await self._main()

    @property
    def is_here(self) -> bool:
        """Return whether the caller is on the portal's own thread."""
        return threading.current_thread() is self._thread

    @property
    def is_alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread.is_alive()

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Run ``callback`` on the loop soon; nothing happens when the loop has ended. Never waits for the loop."""
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            # The loop closed between the two lines; who closes it drains it first.
            return

    def call(self, work: Callable[[], Coroutine[Any, Any, T]], timeout_s: float) -> T:
        """Run ``work`` on the loop and return its result.

        Raises:
            TimeoutError: it took longer than ``timeout_s``; it goes on by itself.
            PortalEnded: the loop has ended, before or meanwhile.
            NotOpenError: called from the portal's own thread, where waiting would never end.
        """
        if self.is_here:
            raise NotOpenError("this call waits for the writer and was made on the writer's own thread")
        if not self._started.wait(min(timeout_s, START_TIMEOUT_S)) or self._loop is None:
            raise TimeoutError("the writer's thread did not start in time")
        started = work()
        try:
            future = asyncio.run_coroutine_threadsafe(started, self._loop)
        except RuntimeError as error:
            started.close()
            raise PortalEnded("the writer has ended") from error
        try:
            return future.result(timeout_s)
        except concurrent.futures.CancelledError:
            raise PortalEnded("the writer ended meanwhile") from None
        except concurrent.futures.TimeoutError:
            raise TimeoutError(f"the writer gave no answer within {timeout_s} s") from None

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; return whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()


def run_apart(work: Callable[[], Coroutine[Any, Any, T]], timeout_s: float) -> T:
    """Run ``work`` on a loop of its own in a thread of its own, whatever loop the caller is in.

    Raises:
        TimeoutError: it took longer; it is left behind.
    """
    future: concurrent.futures.Future[T] = concurrent.futures.Future()

    async def main() -> None:
        outcome = await attempt_async(work)
        if outcome.error is not None:
            future.set_exception(outcome.error)
        else:
            future.set_result(cast("T", outcome.value))

    import_backend()
    Portal("aicore-obs-apart", main).start()
    return future.result(timeout_s)


async def in_thread(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``work`` in a worker thread, under asyncio and trio alike."""
    return await anyio.to_thread.run_sync(lambda: work(*args, **kwargs), abandon_on_cancel=True)
