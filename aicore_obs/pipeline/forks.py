"""This module is where locks are kept that a forked child never finds held by a thread that does not exist there."""

from __future__ import annotations

# Its own hooks take its lock before a fork, and what is being imported may ask for a logger. Such hooks run in the
# reverse order of their registration, so ours must come later.
import logging  # noqa: F401
import os
import threading
import weakref
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
# How long a fork waits for an import of ours: several times what the slowest one takes on a busy machine.
FORK_WAIT_S = 5.0


class ForkLock:
    """A lock of each process: ``with lock.here: …``; in a forked child it starts afresh, before any thread runs there.

    ``here`` is the plain lock, and not a context manager of ours: an interrupt between acquiring in Python code and the
    block would leave it held for good.
    """

    def __init__(self) -> None:
        self.here = threading.Lock()
        _locks.add(self)


class ImportLock:
    """A lock for imports in the background: a fork waits until the import is done.

    A child that is forked in the middle of another thread's import finds modules half made, for good.
    """

    def __init__(self) -> None:
        # Of one thread several times: an import may fork, and may import.
        self.here = threading.RLock()
        _import_locks.add(self)


_locks: weakref.WeakSet[ForkLock] = weakref.WeakSet()
_import_locks: weakref.WeakSet[ImportLock] = weakref.WeakSet()
# Of the forking thread, between the two sides of its fork.
_held: list[ImportLock] = []


def _hold_all() -> None:
    _held[:] = [lock for lock in list(_import_locks) if lock.here.acquire(timeout=FORK_WAIT_S)]


def _release_all() -> None:
    while _held:
        _held.pop().here.release()


def _renew_all() -> None:
    _held.clear()
    for lock in list(_locks):
        lock.here = threading.Lock()
    for import_lock in list(_import_locks):
        import_lock.here = threading.RLock()


# Of everything that is imported late: two threads inside one large package can each find the other's half unfinished.
_importing = ImportLock()


def importing(work: Callable[[], T]) -> T:
    """Do what imports packages, on whatever thread: one at a time, and a fork waits for its end."""
    with _importing.here:
        return work()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_all, after_in_parent=_release_all, after_in_child=_renew_all)
