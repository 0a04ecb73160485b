"""This module is where a watcher of the benchmarks ends its process when it is asked to deliver."""

from __future__ import annotations

import sys

from benchmarks.peers.watchers import Plain


class Dies(Plain):
    """It starts, and sees the calls of one block."""

    def flush(self) -> None:
        sys.exit("nothing is delivered to nobody")
