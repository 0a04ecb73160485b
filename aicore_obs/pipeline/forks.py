"""This module is where a lock is kept that a forked child never finds held by a thread that does not exist there."""

from __future__ import annotations

import os
import threading


class ForkLock:
    """A lock of each process: ``with lock.here: …``; in a forked child it starts afresh.

    ``here`` is the plain lock, and not a context manager of ours: an interrupt between acquiring in Python code and the
    block would leave it held for good.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()

    @property
    def here(self) -> threading.Lock:
        """Return the lock of this process."""
        if self._pid != os.getpid():
            self._lock = threading.Lock()
            self._pid = os.getpid()
        return self._lock
