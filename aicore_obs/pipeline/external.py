"""This module is where a road only keeps: ``writer="external"`` appends to a journal, and another process delivers it.

No thread, no loop, no sink. What became of the records is read from the positions that the deliverer keeps in our
folder; nothing but appending is done here, so that nothing but a full journal can go wrong.
"""

from __future__ import annotations

import math
import os
import threading
import time
from pathlib import Path

import msgspec

from aicore_obs.errors import DurabilityError
from aicore_obs.guard import attempt, log_window
from aicore_obs.pipeline import exits, late
from aicore_obs.pipeline.age import since
from aicore_obs.pipeline.allowance import Allowance
from aicore_obs.pipeline.delivery import NO_DISK
from aicore_obs.pipeline.journal import FULL, FileJournal, MemoryJournal, Refused, header_of
from aicore_obs.pipeline.owners import Owner, Position, SinkPosition, read_positions
from aicore_obs.pipeline.processors import own_names
from aicore_obs.pipeline.road import Road, RoadOptions
from aicore_obs.pipeline.role import DELIVERY, is_held
from aicore_obs.pipeline.stats import FlushResult, SinkStats, Stats
from aicore_obs.pipeline.writer import LOST

# How often an append looks whether all is well, and how often a flush looks whether it is done.
LOOK_S = 5.0
POLL_S = 0.02
# How long something waits for a deliverer that is not there, where nobody asked for a flush.
PATIENCE_S = 1.0
# A record that waits longer than this, with nobody there to deliver it, is worth a line in the log.
OLD_S = 10.0
# Smaller segments than a writer's own: many processes share the cap, and the last one of each is only given back when
# a record stands behind it.
SEGMENT_SHARE = 64
MAX_SEGMENT_BYTES = 4 * 1024 * 1024


def road_for(options: RoadOptions) -> Road:
    """Return the road that the options ask for."""
    return ExternalRoad(options) if options.external else Road(options)


class ExternalJournal(FileJournal):
    """A journal whose segments somebody else deletes."""

    def recount(self) -> None:
        """See how much is left of what was appended."""
        with self._lock:
            self.bytes = sum(
                attempt(os.path.getsize, self.owner.segment(number)).value or 0 for number in self.owner.segments()
            )

    def leave_segment(self, passed: Position) -> None:
        """Go on in a new segment when the current one is delivered and has grown: it goes with the next record."""
        with self._lock:
            if self._fd >= 0 and passed >= self.end() and self._size > self._segment_bytes // 4:
                os.close(self._fd)
                self._fd = -1


class ExternalRoad(Road):
    """A road that ends in the journal."""

    def _prepare(self) -> None:
        """There is no loop to prepare for."""

    def _begin(self) -> None:
        self._next_look = time.monotonic() + LOOK_S
        self._known: dict[str, SinkPosition] = {}
        # What was known of folders of ours that somebody has deleted.
        self._before: dict[str, SinkPosition] = {}
        self._at_close: tuple[int, dict[str, SinkStats]] | None = None
        self._failures_told = 0
        super()._begin()

    def _make_journal(self) -> tuple[Allowance, FileJournal | MemoryJournal]:
        writer, most = self._options.writer, self._options.journal_max_bytes
        try:
            owner = Owner.create(self._directory, file_mode=writer.file_mode)
        except OSError as error:
            raise DurabilityError(
                f"the journal cannot be written in {self._directory}: {error.strerror}; "
                'writer="external" needs a directory that can be written: set AICORE_OBS_STATE_DIR or journal_dir'
            ) from error
        allowance = Allowance(
            self._directory, most, ours=owner.path, shares=SEGMENT_SHARE, max_segment_bytes=MAX_SEGMENT_BYTES
        )
        header = header_of(
            writer.fingerprint, self.sink_names, own_names(writer.processors), external=True, max_bytes=most
        )
        self._kept = ExternalJournal(owner, header=header, allowance=allowance, file_mode=writer.file_mode)
        return allowance, self._kept

    @property
    def _directory(self) -> Path:
        directory = self._options.writer.directory
        if directory is None:
            raise DurabilityError('writer="external" needs a directory for the journal: set AICORE_OBS_STATE_DIR')
        return directory

    # -- appending -------------------------------------------------------------------------------------------------

    def _offer(self, line: bytes) -> Refused | None:
        # Written out for the one case that is nearly all: it must not cost more than with a writer.
        if self._pid == os.getpid():
            refused = self._kept.append(line)
            if refused is None and time.monotonic() < self._next_look:
                return None
        else:
            refused = super()._offer(line)
        if refused is not FULL:
            self._wake()
            return refused
        # The deliverer may have made room, and does not tell.
        self._kept.recount()
        return super()._offer(line)

    def _wake(self) -> None:
        """After an append there is nobody to wake; from time to time, see whether all is well."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_S
            attempt(self._look)

    def _serve_neighbours(self) -> None:
        """Whoever delivers for us does it for them."""

    def _look(self) -> None:
        path = self._kept.owner.path
        self._kept.heal()
        if self._kept.owner.path != path:
            self._before = {name: _sum(self._before.get(name), one) for name, one in self._known.items()}
            self._known = {}
        self._kept.recount()
        self._allowance.look(self._kept.bytes)
        self._kept.leave_segment(min(position.at for position in self._positions().values()))
        age = self._oldest_pending_s()
        if age is not None and age > OLD_S and self._is_served() is False:
            log_window.warn(
                f"drain {self._directory}",
                f"nobody delivers what waits in {self._directory}, for {age:.0f} s now: is `aicore-obs drain --watch` "
                "running, for the same user and the same stores? Records are kept up to the journal's cap",
            )

    # -- what the deliverer says -----------------------------------------------------------------------------------

    def _is_served(self) -> bool | None:
        return is_held(DELIVERY, self._directory, self._options.writer.fingerprint)

    def _positions(self) -> dict[str, SinkPosition]:
        """Return the positions of all sinks; while the deliverer writes them, those before."""
        self._known = attempt(read_positions, self._kept.owner.path).value or self._known
        return {name: self._known.get(name) or SinkPosition() for name in self.sink_names}

    def _counts(self) -> tuple[int, dict[str, SinkStats]]:
        if self._at_close is not None:
            return self._at_close
        end, appended = self._kept.mark()
        # In this order: whatever is settled had been accepted before.
        positions = self._positions()
        _, accepted = self._kept.mark()
        return accepted, {
            name: _stats(_sum(self._before.get(name), one), lost=appended if one.at >= end else 0, accepted=accepted)
            for name, one in positions.items()
        }

    def _oldest_pending_s(self) -> float | None:
        recorded = since((self._kept, position.at) for position in self._positions().values())
        return max(0.0, time.time() - recorded) if recorded is not None else None

    def stats(self) -> Stats:
        """Return the numbers of this road, as far as its deliverer has kept them."""
        return msgspec.structs.replace(super().stats(), writer="external", drain_alive=self._is_served())

    # -- flush and close -------------------------------------------------------------------------------------------

    def flush(self, timeout_s: float, *, patience_s: float = math.inf) -> FlushResult:
        """Wait until everything that was accepted before is delivered; no longer than ``patience_s`` for nobody."""
        late.settle()
        if self._pid != os.getpid():
            self._begin_again()
        reached = self._wait(self._kept.mark(), time.monotonic() + timeout_s, patience_s)
        _, sinks = self._counts()
        failed = sum(
            one.dead_lettered + one.dropped.get(LOST, 0) + one.dropped.get(NO_DISK, 0) for one in sinks.values()
        )
        told, self._failures_told = self._failures_told, failed
        return FlushResult(ok=reached and failed == told, sinks=sinks)

    def _wait(self, wanted: tuple[Position, int], deadline: float, patience_s: float) -> bool:
        never, alone_since = threading.Event(), time.monotonic()
        while not self._has_passed(*wanted):
            now = time.monotonic()
            if self._is_served() is not False:
                alone_since = now
            if now >= deadline or now - alone_since >= patience_s or self._closed:
                return False
            never.wait(min(POLL_S, deadline - now))
        return True

    def _has_passed(self, end: Position, count: int) -> bool:
        """Return whether all sinks have everything up to a mark of the journal.

        By the count too: a segment that was begun and holds nothing is passed by nobody.
        """
        return all(
            one.at >= end or _sum(self._before.get(name), one).settled >= count
            for name, one in self._positions().items()
        )

    def leave(self, timeout_s: float) -> object:
        """At the end of the program nothing is waited for: what is accepted is in the journal."""

    def end(self, timeout_s: float) -> None:  # noqa: ARG002
        """Do as a road with a writer does, and wait for nobody."""
        super().end(0.0)

    def close(self, timeout_s: float) -> FlushResult:
        """Flush, and accept nothing any more. What is not delivered waits in the journal, for whoever delivers it."""
        result = self.flush(timeout_s, patience_s=PATIENCE_S)
        with self._lock.here:
            if self._closed:
                return result
            self._closed = True
        self._kept.seal()
        self._at_close = self._counts()
        # What holds records is deleted by whoever delivers them.
        self._kept.close(remove=self._at_close[0] == 0)
        if self._is_served() is False:
            self._tell_what_is_left()
        exits.discard(self)
        return result


def _sum(one: SinkPosition | None, other: SinkPosition) -> SinkPosition:
    """Return the counts of both, with the rest of the other."""
    if one is None:
        return other
    total = msgspec.structs.replace(
        other, stored=one.stored + other.stored, dead_lettered=one.dead_lettered + other.dead_lettered
    )
    for reason, count in one.dropped.items():
        total.drop(reason, count)
    return total


def _stats(counts: SinkPosition, *, lost: int, accepted: int) -> SinkStats:
    """Return the numbers of a sink; ``lost``: how many records it should have settled, as far as that is known."""
    dropped, missing = counts.dropped, max(0, lost - counts.settled)
    if missing:
        dropped = {**dropped, LOST: dropped.get(LOST, 0) + missing}
    return SinkStats(
        stored=counts.stored,
        pending=accepted - counts.settled - missing,
        dead_lettered=counts.dead_lettered,
        dropped=dropped,
        last_error=counts.error,
    )
