"""This module is where records wait that came while the garbage was collected, when no lock may be taken.

A stream that nobody reads to its end is noticed by the collector of garbage, which may run in the middle of an append,
on the same thread. Its record is put here without a lock and appended a moment later.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable
from typing import Protocol

from aicore_obs.guard import attempt


class Unfinished(Protocol):
    """What is still going on, and is given up when the process ends."""

    def give_up(self) -> None:
        """Put what is known of it here."""


_waiting: deque[Callable[[], object]] = deque()
_unfinished: weakref.WeakSet[Unfinished] = weakref.WeakSet()


def put(append: Callable[[], object]) -> None:
    """Keep what appends a record, until :func:`settle`."""
    _waiting.append(append)


def settle() -> None:
    """Append what waits; called before every flush, by whoever appends next, and by the writer."""
    while _waiting:
        try:
            append = _waiting.popleft()
        except IndexError:
            return
        attempt(append)


def expect(one: Unfinished) -> None:
    """Remember what is going on, as long as somebody holds it."""
    _unfinished.add(one)


def give_up_all() -> None:
    """At the end of the process: nothing goes on any more."""
    for one in list(_unfinished):
        attempt(one.give_up)


if hasattr(os, "register_at_fork"):
    # The parent appends them.
    os.register_at_fork(after_in_child=_waiting.clear)
    os.register_at_fork(after_in_child=_unfinished.clear)
