"""This module is where it is settled who delivers for processes that live and do not deliver themselves.

Two locks for each fingerprint of a journal's directory. Whoever holds ``….delivery.lock`` delivers for all processes
with ``writer="external"``, living and dead, and nobody else touches their folders. ``….drain.lock`` is the seat of an
``aicore-obs drain --watch``: while it is taken, ordinary collectors leave the delivery to whoever sits there.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from aicore_obs.pipeline.owners import FILE_MODE

DELIVERY = "delivery"
SEAT = "drain"
SUFFIX = ".lock"


class Role:
    """One of the two locks, held by us."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        self._path = path
        self._lock = lock

    @classmethod
    def take(cls, kind: str, directory: Path, fingerprint: str, *, file_mode: int = FILE_MODE) -> Role | None:
        """Return the role if it is free, else None. Never waits."""
        path = role_path(kind, directory, fingerprint)
        lock = FileLock(path, timeout=0, thread_local=False, mode=file_mode)
        try:
            lock.acquire()
        except (Timeout, OSError):
            return None
        return cls(path, lock)

    def release(self) -> None:
        """Give the role up, and leave no file behind."""
        with suppress(OSError):
            # While we hold it: whoever waits for this lock finds that it has no name any more, and takes none.
            self._path.unlink(missing_ok=True)
        self._lock.release()
        if os.name == "nt":
            # There an open file is not deleted, ours neither.
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        with suppress(OSError):
            # Only when nothing else is there.
            self._path.parent.rmdir()


def role_path(kind: str, directory: Path, fingerprint: str) -> Path:
    """Return the file of a lock; a fingerprint may come out of a stranger's file, and is no part of a path."""
    return directory / f"{hashlib.sha256(fingerprint.encode()).hexdigest()[:16]}.{kind}{SUFFIX}"


def is_held(kind: str, directory: Path, fingerprint: str) -> bool | None:
    """Return whether somebody holds a role, None where we may not ask."""
    path = role_path(kind, directory, fingerprint)
    if not path.exists():
        return False
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        # Held for a moment: who wants the role just now gets it at the next try.
        lock.acquire()
    except Timeout:
        return True
    except OSError:
        return None
    lock.release()
    return False
