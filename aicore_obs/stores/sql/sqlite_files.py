"""This module is where it is known which SQLite files this process has open, and which it had when it was forked.

SQLite keeps the locks of a file in the memory of the process, and in the kernel for the process that asked for them. A
forked child inherits the first and not the second: connections that it opens to the same file count on locks that
nobody holds. Whoever closes the file last then deletes the log under the child, and what the child commits is gone
(measured with SQLite 3.40; https://www.sqlite.org/howtocorrupt.html 2.6). So a file that was open at the fork is not
written by the child at all.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FileKey = tuple[int, int]

_open: Counter[FileKey] = Counter()
_inherited: set[FileKey] = set()


def key_of(path: Path) -> FileKey | None:
    """Return what tells one file from all others, None when there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino)


def opened(path: Path) -> FileKey | None:
    """Count a connection that was opened; :func:`closed` wants what is returned."""
    key = key_of(path)
    if key is not None:
        _open[key] += 1
    return key


def closed(key: FileKey | None) -> None:
    """Count a connection that was closed."""
    if key is not None:
        _open[key] -= 1


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Count a connection that is open for a block."""
    key = opened(path)
    try:
        yield
    finally:
        closed(key)


def is_inherited(key: FileKey | None) -> bool:
    """Return whether a file was open when this process was forked."""
    return key in _inherited


def _inherit() -> None:
    _inherited.update(key for key, count in _open.items() if count > 0)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_inherit)
