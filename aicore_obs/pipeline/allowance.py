"""This module is where it is decided how much a journal may hold.

The cap is shared by all processes that use one directory, dead letters included. What the neighbours hold is looked up
by the writer from time to time, and by a caller only when it is about to be refused.
"""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

from aicore_obs.pipeline.owners import bytes_in

# A journal must never be what fills its disk.
FREE_SPACE_SHARE = 10
MAX_SEGMENT_BYTES = 16 * 1024 * 1024
MIN_SEGMENT_BYTES = 64 * 1024
# A caller at the cap looks again at most this often.
LOOK_AGAIN_S = 0.1


class Allowance:
    """The cap of one journal directory as one road sees it; ``directory`` None means memory.

    ``ours`` is our own folder in it: what that holds is counted exactly, by the journal, and not looked up.
    """

    def __init__(
        self,
        directory: Path | None,
        max_bytes: int,
        *,
        ours: Path | None = None,
        shares: int = 8,
        max_segment_bytes: int = MAX_SEGMENT_BYTES,
    ) -> None:
        self._directory = directory
        self.ours = ours
        self._max_bytes = max_bytes
        self._shares = shares
        self._max_segment_bytes = max_segment_bytes
        self._freed = threading.Condition()
        self._others = 0
        self._looked = 0.0
        self.cap = max_bytes
        self.look(0)

    @property
    def segment_bytes(self) -> int:
        """Return how large a segment may get, so that a drained journal takes a fraction of the cap."""
        return max(MIN_SEGMENT_BYTES, min(self._max_segment_bytes, self.cap // self._shares))

    def admits(self, held: int, more: int) -> bool:
        """Return whether our journal, which holds ``held`` bytes, may take ``more``."""
        if self._others + held + more <= self.cap:
            return True
        if time.monotonic() - self._looked < LOOK_AGAIN_S:
            return False
        self.look(held)
        return self._others + held + more <= self.cap

    def look(self, own_bytes: int) -> None:
        """Look at what the directory holds beside our ``own_bytes``, and at the free space of its disk."""
        self._looked = time.monotonic()
        if self._directory is None:
            return
        self._others = bytes_in(self._directory, besides=self.ours)
        held = self._others + own_bytes
        try:
            free = shutil.disk_usage(self._directory).free
        except OSError:
            return
        self.cap = min(self._max_bytes, (free + held) // FREE_SPACE_SHARE)

    def freed(self) -> None:
        """Wake callers that wait for space."""
        with self._freed:
            self._freed.notify_all()

    def wait(self, timeout_s: float) -> None:
        """Wait until something was freed, or for ``timeout_s``."""
        with self._freed:
            self._freed.wait(timeout_s)
