"""This module is where a lock is kept that a forked child never finds held by a thread that does not exist there."""

from __future__ import annotations

import os
import threading


class ForkLock:
    """A lock for ``with``; in a forked child it starts afresh."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if self._pid != os.getpid():
            self._lock = threading.Lock()
            self._pid = os.getpid()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
