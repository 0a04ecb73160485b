"""This module is where a lock is kept that a forked child never finds held by a thread that does not exist there."""

from __future__ import annotations

import os
import threading
import weakref


class ForkLock:
    """A lock of each process: ``with lock.here: …``; in a forked child it starts afresh, before any thread runs there.

    ``here`` is the plain lock, and not a context manager of ours: an interrupt between acquiring in Python code and the
    block would leave it held for good.
    """

    def __init__(self) -> None:
        self.here = threading.Lock()
        _locks.add(self)


_locks: weakref.WeakSet[ForkLock] = weakref.WeakSet()


def _renew_all() -> None:
    for lock in list(_locks):
        lock.here = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
