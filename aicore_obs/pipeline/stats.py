"""This module is where the numbers of the road are kept; law 2 is a sentence about them.

At every moment ``offered = accepted + refused``, and for every sink
``accepted + adopted = stored + pending + dead_lettered + dropped``.
"""

from __future__ import annotations

import msgspec


class SinkStats(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the records on their way to one sink, since this process started.

    ``adopted`` are records that dead processes had left. ``last_error`` is None once a batch has gone through again.
    """

    stored: int = 0
    pending: int = 0
    dead_lettered: int = 0
    dropped: dict[str, int] = {}
    adopted: int = 0
    last_error: str | None = None

    @property
    def settled(self) -> int:
        """Return how many records need nothing more."""
        return self.stored + self.dead_lettered + sum(self.dropped.values())


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What one road has done since this process started.

    ``durability`` is the one in effect, which may be less than the default when no disk could be written.
    ``oldest_pending_s`` is the age of the oldest record that some sink does not have yet.
    ``writer``: ``"external"`` where this process only appends; ``drain_alive`` then says whether somebody delivers
    (None: cannot be told), and the numbers of the sinks are those that the deliverer has kept.
    """

    offered: int
    accepted: int
    refused: dict[str, int]
    odd: int
    durability: str
    journal: str | None
    journal_bytes: int
    journal_max_bytes: int
    oldest_pending_s: float | None
    sinks: dict[str, SinkStats]
    writer: str = "internal"
    drain_alive: bool | None = None


# Of a collector that is switched off.
NO_STATS = Stats(
    offered=0,
    accepted=0,
    refused={},
    odd=0,
    durability="memory",
    journal=None,
    journal_bytes=0,
    journal_max_bytes=0,
    oldest_pending_s=None,
    sinks={},
)


class FlushResult(msgspec.Struct, frozen=True, kw_only=True):
    """The truth after a flush; its own truth value is ``ok``.

    ``ok``: nothing is pending on any sink, what dead processes left included, and nothing was dead-lettered since the
    flush before.
    """

    ok: bool
    sinks: dict[str, SinkStats]

    def __bool__(self) -> bool:
        return self.ok

    @property
    def stored(self) -> int:
        """Return the sum over all sinks."""
        return sum(sink.stored for sink in self.sinks.values())

    @property
    def pending(self) -> int:
        """Return the sum over all sinks."""
        return sum(sink.pending for sink in self.sinks.values())

    @property
    def dead_lettered(self) -> int:
        """Return the sum over all sinks."""
        return sum(sink.dead_lettered for sink in self.sinks.values())

    @property
    def dropped(self) -> int:
        """Return the sum over all sinks."""
        return sum(sum(sink.dropped.values()) for sink in self.sinks.values())
