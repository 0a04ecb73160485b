"""This module is where foreign code is called safely: sinks, user hooks, provider readers, objects of strangers.

It is the only place with a broad ``except``. What goes wrong on our side of the fence must never reach the program
that is being watched; what goes wrong on the other side comes back as a value.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Generic, ParamSpec, TypeVar

import msgspec

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("aicore_obs")
LOG_WINDOW_S = 60.0


class Outcome(msgspec.Struct, Generic[T], frozen=True):
    """What foreign code came back with: a value, or the exception that it raised."""

    value: T | None = None
    error: Exception | None = None


def attempt(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Outcome[T]:
    """Call foreign code and return what it returned or raised. Exits and interrupts pass."""
    try:
        return Outcome(value=work(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - the one guard for foreign code
        return Outcome(error=error)


def attempt_briefly(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Outcome[T]:
    """Do as :func:`attempt`, and keep of an error no more than what it says.

    An error that is held by a frame that it leads to is garbage that goes late, and everything with it that the frames
    of its callers hold: on a caller's thread that is the application's own.
    """
    outcome = attempt(work, *args, **kwargs)
    if outcome.error is not None:
        outcome.error.__traceback__ = None
    return outcome


def attempt_all(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Outcome[T]:
    """Do as :func:`attempt`, and let nothing pass: an exit that is raised on a thread of ours would only end that."""
    try:
        return Outcome(value=work(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - the one guard for foreign code
        return Outcome(error=error)
    except BaseException as error:  # noqa: BLE001 - as above
        return Outcome(error=RuntimeError(f"{type(error).__name__}: {error}"))


def rescued(work: Callable[..., T], rescue: Callable[..., T], /, *args: Any) -> T:
    """Return what ``work`` returns; when it raises, what ``rescue`` makes of the error and the same arguments."""
    try:
        return work(*args)
    except Exception as error:  # noqa: BLE001 - the one guard for foreign code
        return rescue(error, *args)


async def attempt_async(work: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> Outcome[T]:
    """Await foreign code and return what it returned or raised; our own cancellation passes.

    Exits, interrupts and cancellations that a sink raises by itself must not end the thread that serves the others.
    """
    try:
        return Outcome(value=await work(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - the one guard for foreign code
        return Outcome(error=error)
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and _is_cancelled():
            raise
        return Outcome(error=RuntimeError(f"{type(error).__name__}: {error}"))


def _is_cancelled() -> bool:
    """Return whether somebody asked this task to end."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def as_text(value: object) -> str:
    """Return any value as text: an enum's value, else its ``str``, else the name of its type; never raises."""
    if isinstance(value, Enum):
        value = value.value
    text = str.__str__(value) if isinstance(value, str) else attempt(str, value).value
    return text if isinstance(text, str) else f"<{type(value).__name__}>"


class LogWindow:
    """Says the same failure once per window, with the count of what it kept quiet."""

    def __init__(self, window_s: float = LOG_WINDOW_S) -> None:
        self._window_s = window_s
        self._next: dict[str, float] = {}
        self._quiet: dict[str, int] = {}

    def warn(self, key: str, message: str) -> None:
        """Log ``message`` as a warning unless ``key`` was logged within the window."""
        # Without a lock: a count that is off by one does less harm than a lock that a fork leaves held.
        now = time.monotonic()
        if now < self._next.get(key, 0.0):
            self._quiet[key] = self._quiet.get(key, 0) + 1
            return
        self._next[key] = now + self._window_s
        quiet = self._quiet.pop(key, 0)
        # The application's handlers and filters are foreign code too.
        attempt(logger.warning, "%s%s", message, f" ({quiet} more like this in between)" if quiet else "")


log_window = LogWindow()
