"""This module is where a road begins and ends: append on callers' threads, start, flush, fork, exit.

A road is one journal with one writer behind it. It is shared by every collector and door of the process that names the
same sinks and the same options.
"""

from __future__ import annotations

import math
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

import anyio.to_thread
import msgspec

from aicore_obs.errors import DurabilityError, JournalFull, NotOpenError
from aicore_obs.guard import log_window
from aicore_obs.pipeline import exits, late
from aicore_obs.pipeline.allowance import Allowance
from aicore_obs.pipeline.delivery import Bell, Fork
from aicore_obs.pipeline.forks import ForkLock
from aicore_obs.pipeline.journal import FULL, FileJournal, MemoryJournal, Refused, header_of
from aicore_obs.pipeline.owners import Owner, bytes_in, owner_folders
from aicore_obs.pipeline.portal import Portal, PortalEnded, import_backend
from aicore_obs.pipeline.processors import own_names
from aicore_obs.pipeline.stats import FlushResult, SinkStats, Stats
from aicore_obs.pipeline.writer import Writer, WriterOptions

Durability = Literal["process", "disk", "memory"]
Overflow = Literal["drop_newest", "block", "raise"]
# A flush is given this much longer than its own deadline before it is taken for stuck.
GRACE_S = 1.0
# A fork waits no longer for a batch that is on its way into a store that must be closed first.
FORK_WAIT_S = 1.0
THREAD_NAME = "aicore-obs-writer"
_FORGOTTEN = -1


class RoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one road keeps its records. ``durability`` None: the default, which may fall back where no disk is."""

    writer: WriterOptions
    durability: Durability | None = None
    overflow: Overflow = "drop_newest"
    block_timeout_s: float = 1.0
    journal_max_bytes: int = 1024 * 1024 * 1024
    memory_max_bytes: int = 256 * 1024 * 1024
    external: bool = False


class Road:
    """One journal and its writer. ``append`` may be called from any thread, task or loop, and after a fork."""

    def __init__(self, options: RoadOptions) -> None:
        self._options = options
        self._lock = ForkLock()
        self._closed = False
        self._writes = True
        self._forks: list[Fork] = []
        self._prepare()
        self._begin()
        self._serve_neighbours()
        exits.add(self)

    def _prepare(self) -> None:
        import_backend()

    def _begin(self) -> None:
        """Make the journal; the writer's thread starts when there is something to do."""
        self._refused: dict[str, int] = {}
        self._odd = 0
        self._bell = Bell()
        self._portal: Portal | None = None
        self._writer: Writer | None = None
        self._allowance, self._journal = self._make_journal()
        # Last: other threads of a forked child look at it to see whether there is a journal of their own.
        self._pid = os.getpid()

    def _make_journal(self) -> tuple[Allowance, FileJournal | MemoryJournal]:
        return _journal_for(self._options)

    @property
    def sink_names(self) -> list[str]:
        """Return the names of the sinks that this road leads to."""
        return [spec.name for spec in self._options.writer.sinks]

    # -- callers' threads ------------------------------------------------------------------------------------------

    def append(self, line: bytes) -> bool:
        """Take one record; return whether it was accepted. Waits only under ``block`` and ``durability="disk"``.

        Raises:
            JournalFull: at the cap, under ``overflow="raise"``.
        """
        refused = self._offer(line)
        if refused is FULL and self._options.overflow == "block":
            refused = self._offer_until(line, time.monotonic() + self._options.block_timeout_s)
        if refused is None and self._options.durability == "disk":
            self._sync()
        return refused is None or self._refuse(refused)

    def offer(self, line: bytes) -> bool:
        """Take one record if that needs no waiting; never raises."""
        refused = self._offer(line)
        if refused is not None:
            self._count_refused(refused)
        return refused is None

    async def aappend(self, line: bytes) -> bool:
        """Do as :meth:`append`, and let other tasks run where that one waits."""
        refused = self._offer(line)
        if refused is FULL and self._options.overflow == "block":
            deadline = time.monotonic() + self._options.block_timeout_s
            refused = await anyio.to_thread.run_sync(self._offer_until, line, deadline)
        if refused is None and self._options.durability == "disk":
            await anyio.to_thread.run_sync(self._sync)
        return refused is None or self._refuse(refused)

    def settle_soon(self) -> None:
        """Let the writer append what came late; takes no lock."""
        if self._portal is not None and self.is_of_this_process:
            self._portal.call_soon(late.settle)

    def count_odd(self) -> None:
        """Count a record that holds a value which was not what it should be."""
        self._odd += 1

    def _offer(self, line: bytes) -> Refused | None:
        if self._pid != os.getpid():
            try:
                self._begin_again()
            except DurabilityError as error:
                return Refused("no_journal", str(error))
        refused = self._journal.append(line)
        if refused is None and (self._portal is None or self._bell.asleep):
            self._wake()
        return refused

    def _offer_until(self, line: bytes, deadline: float) -> Refused | None:
        refused: Refused | None = FULL
        while refused is FULL and (left := deadline - time.monotonic()) > 0:
            self._wake()
            self._allowance.wait(min(left, 0.05))
            refused = self._offer(line)
        return refused

    def _count_refused(self, refused: Refused) -> None:
        with self._lock.here:
            self._refused[refused.reason] = self._refused.get(refused.reason, 0) + 1
        log_window.warn(f"refused {refused.reason}", f"a record was refused: {refused.reason} {refused.detail}".strip())

    def _refuse(self, refused: Refused) -> bool:
        self._count_refused(refused)
        if refused is FULL and self._options.overflow == "raise":
            raise JournalFull(
                f"the journal holds its {self._allowance.cap} bytes; is the store down (collector.stats()), "
                "or is journal_max_bytes too small?"
            )
        return False

    def _sync(self) -> None:
        failed = self._journal.sync()
        if failed is not None:
            log_window.warn("fsync", f"the journal cannot be brought to the disk itself: {failed.detail}")

    def _wake(self) -> None:
        self._bell.asleep = False
        if self._portal is None:
            self._start()
        elif self._writer is not None:
            self._portal.call_soon(self._writer.ring)

    def _start(self) -> None:
        with self._lock.here:
            if self._portal is None and not self._closed and self._writes:
                portal = Portal(THREAD_NAME, self._work)
                try:
                    portal.start()
                except RuntimeError:
                    # The interpreter is ending and starts no thread any more; the journal keeps what comes.
                    self._writes = False
                    return
                self._portal = portal

    async def _work(self) -> None:
        """The writer's whole life, on its own loop."""
        if self._closed:
            return
        self._writer = Writer(self._journal, self._allowance, self._bell, self._options.writer)
        await self._writer.run()

    # -- flush, stats, close ---------------------------------------------------------------------------------------

    def flush(self, timeout_s: float, *, patience_s: float = math.inf) -> FlushResult:  # noqa: ARG002
        """Deliver everything that was accepted before; return the truth about it within ``timeout_s``.

        ``patience_s`` is for roads that others deliver for: how long to wait when nobody is there who does.
        """
        late.settle()
        if self._pid != os.getpid():
            self._begin_again()
        idle = self._portal is None and self._journal.mark()[1] == 0 and not self._neighbours()
        if self._closed or idle or not self._writes:
            return self._result(ok=self._nothing_pending())
        self._start()
        portal = self._portal
        ok = False
        if portal is not None:
            deadline = time.monotonic() + timeout_s
            try:
                ok = portal.call(lambda: self._flush(deadline), timeout_s + GRACE_S)
            except (TimeoutError, PortalEnded):
                # Too slow, or closed meanwhile by somebody else.
                ok = False
        return self._result(ok=ok)

    async def _flush(self, deadline: float) -> bool:
        if self._writer is None:
            return False
        return await self._writer.flush(max(0.0, deadline - time.monotonic()))

    def _neighbours(self) -> bool:
        directory = self._options.writer.directory
        ours = 0 if isinstance(self._journal, MemoryJournal) else 1
        return directory is not None and sum(1 for _ in owner_folders(directory)) > ours

    def _nothing_pending(self) -> bool:
        return all(sink.pending == 0 for sink in self._sinks().values())

    def _result(self, *, ok: bool) -> FlushResult:
        return FlushResult(ok=ok, sinks=self._sinks())

    def _sinks(self) -> dict[str, SinkStats]:
        return self._counts()[1]

    def _counts(self) -> tuple[int, dict[str, SinkStats]]:
        """Return how many records were accepted, and the numbers of every sink, both of one moment."""
        if self._writer is not None:
            return self._writer.counts()
        accepted = self._journal.mark()[1]
        return accepted, {name: SinkStats(pending=accepted) for name in self.sink_names}

    def stats(self) -> Stats:
        """Return the numbers of this road."""
        if self._pid != os.getpid():
            self._begin_again()
        accepted, sinks = self._counts()
        refused = dict(self._refused)
        directory = self._options.writer.directory
        on_disk = isinstance(self._journal, FileJournal)
        return Stats(
            offered=accepted + sum(refused.values()),
            accepted=accepted,
            refused=refused,
            odd=self._odd,
            durability=(self._options.durability or "process") if on_disk else "memory",
            journal=str(directory) if on_disk else None,
            journal_bytes=bytes_in(directory) if directory is not None and on_disk else self._journal.bytes,
            journal_max_bytes=self._allowance.cap,
            oldest_pending_s=self._oldest_pending_s(),
            sinks=sinks,
        )

    def _oldest_pending_s(self) -> float | None:
        return self._writer.oldest_pending_s() if self._writer is not None else None

    def close(self, timeout_s: float) -> FlushResult:
        """Flush, then end the writer. What could not be delivered waits in the journal for the next start."""
        deadline = time.monotonic() + timeout_s
        result = self.flush(timeout_s)
        with self._lock.here:
            if self._closed:
                return result
            self._closed = True
        # From here on nothing is accepted, so that nothing can be accepted and then removed.
        self._journal.seal()
        if self._ended(max(GRACE_S, deadline - time.monotonic())):
            self._journal.close(remove=self._nothing_pending())
        self._tell_what_is_left()
        exits.discard(self)
        return result

    def _ended(self, timeout_s: float) -> bool:
        """Stop the writer; return whether it has ended. One that hangs keeps the journal, and delivers or dies."""
        if self._portal is None:
            return True
        if self._writer is not None:
            self._portal.call_soon(self._writer.stop)
        return self._portal.join(timeout_s)

    def _tell_what_is_left(self) -> None:
        left = max((sink.pending for sink in self._sinks().values()), default=0)
        if left:
            fate = "they wait in the journal" if isinstance(self._journal, FileJournal) else "they are lost"
            log_window.warn("close", f"closed with {left} records pending; {fate}")

    async def aflush(self, timeout_s: float) -> FlushResult:
        """Do as :meth:`flush`, and let other tasks run meanwhile."""
        return await anyio.to_thread.run_sync(self.flush, timeout_s, abandon_on_cancel=True)

    def leave(self, timeout_s: float) -> object:
        """Before the interpreter's exit: deliver; more may come."""
        return self.flush(timeout_s)

    def end(self, timeout_s: float) -> None:
        """At the interpreter's exit: close; what is recorded later still, by others' exit handlers, is journaled."""
        late.give_up_all()
        self.close(timeout_s)
        self._writes = False
        self._closed = False
        self._pid = _FORGOTTEN

    @property
    def is_of_this_process(self) -> bool:
        """Return whether the road has been used in this process; false in a forked child that has not."""
        return self._pid == os.getpid()

    # -- fork and exit ---------------------------------------------------------------------------------------------

    def part(self) -> None:
        """Before a fork: close what no child may inherit. Waits for the batch that is on its way, and not for long."""
        portal, writer = self._portal, self._writer
        if portal is None or writer is None or not self.is_of_this_process:
            return
        fork = Fork()
        self._forks.append(fork)
        # On the writer's own thread nobody can wait for it; the store itself keeps the child from doing harm.
        with suppress(TimeoutError, PortalEnded, NotOpenError):
            portal.call(lambda: writer.part(fork), FORK_WAIT_S)

    def rejoin(self) -> None:
        """After a fork, in the parent: go on."""
        forks, self._forks = self._forks, []
        for fork in forks:
            fork.over = True
        if forks and self._portal is not None and self._writer is not None:
            self._portal.call_soon(self._writer.rejoin)

    def forget(self) -> None:
        """In a forked child: drop the parent's journal, loop, connections and locks without closing them."""
        _graveyard.append((self._portal, self._writer))
        self._forks = []
        self._journal.forget()
        self._pid = _FORGOTTEN

    def _begin_again(self) -> None:
        with self._lock.here:
            if self._pid != os.getpid():
                if self._pid != _FORGOTTEN:
                    self.forget()
                self._begin()
        self._serve_neighbours()

    def _serve_neighbours(self) -> None:
        """Start the writer at once where others have left, or hold, records for the same directory."""
        if self._neighbours() and self._writes:
            self._wake()


# What a forked child inherited and must never close: closing would speak to the parent's servers and files.
_graveyard: list[object] = []


def _journal_for(options: RoadOptions) -> tuple[Allowance, FileJournal | MemoryJournal]:
    """Make the journal that the options ask for, or the best that can be had when nothing was asked for."""
    writer = options.writer
    if writer.directory is not None and options.durability != "memory":
        try:
            owner = Owner.create(writer.directory, file_mode=writer.file_mode)
        except OSError as error:
            _fall_back(options, writer.directory, error)
        else:
            allowance = Allowance(writer.directory, options.journal_max_bytes, ours=owner.path)
            names, most = [spec.name for spec in writer.sinks], options.journal_max_bytes
            header = header_of(writer.fingerprint, names, own_names(writer.processors), max_bytes=most)
            journal = FileJournal(owner, header=header, allowance=allowance, file_mode=writer.file_mode)
            return allowance, journal
    allowance = Allowance(None, min(options.journal_max_bytes, options.memory_max_bytes))
    return allowance, MemoryJournal(allowance=allowance)


def _fall_back(options: RoadOptions, directory: Path, error: OSError) -> None:
    said = f"the journal cannot be written in {directory}: {error.strerror}"
    if options.durability is not None:
        raise DurabilityError(
            f'{said}; durability="{options.durability}" needs a directory that can be written: '
            "set AICORE_OBS_STATE_DIR or journal_dir"
        ) from error
    log_window.warn("memory journal", f"{said}; records wait in memory and are lost if the process dies")
