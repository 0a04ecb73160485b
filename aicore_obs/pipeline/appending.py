"""This module is where bytes go to the end of the journal's file: whole or not at all, without giving up the turn.

``os.write`` lets other threads run meanwhile. The page cache takes a record in some three microseconds; the caller who
gave up the interpreter lock for them gets it back when the writer, or another caller, lets go of it: hundreds of
microseconds later. So the system call is made with the lock held, as long as the disk is as quick as that
(``docs/decisions/0014-writing-with-the-lock-held.md``).
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import Any

# A page cache that takes a record at once is below this by a factor of a hundred; a slice of another process is not.
SLOW_SECONDS = 0.001
# For so many times as long as a slow write took, others may run during writes: held up 1 % of the time at most.
FREE_TIMES = 100

HeldWrite = Callable[[int, bytes, int], int]


class Appender:
    """Writes at the end of a file, of one thread at a time."""

    def __init__(self) -> None:
        self._held_write = held_write()
        self._free_until = 0.0

    def append(self, fd: int, data: bytes, size: int) -> None:
        """Write all of ``data`` at the end, which is at ``size``, or nothing: a full disk takes only part of it."""
        if self._write(fd, data) != len(data):
            os.ftruncate(fd, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _write(self, fd: int, data: bytes) -> int:
        held = self._held_write
        began = perf_counter()
        if held is None or began < self._free_until:
            return os.write(fd, data)
        written = held(fd, data, len(data))
        took = perf_counter() - began
        if took > SLOW_SECONDS:
            self._free_until = began + took + FREE_TIMES * took
        # What went wrong is said, or tried again after a signal, by the call that knows how.
        return written if written >= 0 else os.write(fd, data)


@cache
def held_write() -> HeldWrite | None:
    """Return ``write(2)`` as a function that keeps the interpreter lock, None where there is no such thing."""
    if sys.platform == "win32":
        return None
    try:
        # Not at the top: a Python that was built without libffi has no ctypes.
        ctypes = importlib.import_module("ctypes")
        write: Any = ctypes.PyDLL(None).write
    except (ImportError, AttributeError, OSError):
        return None
    write.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
    write.restype = ctypes.c_ssize_t
    held: HeldWrite = write
    return held
