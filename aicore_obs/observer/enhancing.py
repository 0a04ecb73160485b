"""This module is where traces of prompts are collected, and the user's enhancer gets them in the background."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any

from aicore_obs.context import suppress
from aicore_obs.guard import attempt, log_window
from aicore_obs.pipeline.forks import ForkLock

Enhancer = Callable[[list[dict[str, Any]]], Any]
THREAD_NAME = "aicore-obs-enhancer"


class Enhancing:
    """Counts the traces of each function, and hands them over when there are as many as were asked for."""

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._enhancer: Enhancer | None = None
        self._traces: dict[str, list[dict[str, Any]]] = {}
        self._threads: list[threading.Thread] = []

    def register(self, enhancer: Enhancer) -> Enhancer:
        """Take the function that is called with lists of traces; a later one replaces it."""
        if not callable(enhancer):
            raise TypeError(f"register_enhancer({enhancer!r}): a function is needed, sync or async")
        self._enhancer = enhancer
        return enhancer

    def add(self, function: str, threshold: int, trace: dict[str, Any]) -> None:
        """Keep one trace; with the last one that was waited for, call the enhancer in a thread of its own."""
        with self._lock.here:
            traces = self._traces.setdefault(function, [])
            traces.append(trace)
            enhancer = self._enhancer
            if enhancer is None:
                # Nobody is there to take them: the newest ones wait.
                del traces[:-threshold]
                return
            if len(traces) < threshold:
                return
            self._traces[function] = []
            self._threads = [one for one in self._threads if one.is_alive()]
            # Not on the writer's loop: what a user's function does there would keep records from their stores.
            thread = threading.Thread(target=_run, args=(enhancer, traces), name=THREAD_NAME, daemon=True)
            self._threads.append(thread)
        if attempt(thread.start).error is not None:
            log_window.warn("enhancer", "the prompt enhancer was not called: no thread can be started any more")

    def join(self, timeout_s: float) -> bool:
        """Wait for the enhancers that run; return whether all have ended."""
        threads = list(self._threads)
        for thread in threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(timeout_s)
        return not any(thread.is_alive() for thread in threads)

    def reset(self) -> None:
        """Forget the enhancer and the traces."""
        with self._lock.here:
            self._enhancer = None
            self._traces = {}


def _run(enhancer: Enhancer, traces: list[dict[str, Any]]) -> None:
    # What an enhancer asks of models is none of the application's calls.
    with suppress():
        outcome = attempt(_call, enhancer, traces)
    if outcome.error is not None:
        log_window.warn("enhancer", f"the prompt enhancer failed: {outcome.error!r}")


def _call(enhancer: Enhancer, traces: list[dict[str, Any]]) -> None:
    answer = enhancer(traces)
    if inspect.isawaitable(answer):
        asyncio.run(_awaited(answer))


async def _awaited(answer: Any) -> None:
    await answer
