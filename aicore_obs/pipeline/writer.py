"""This module is where the road's work is done off the callers' threads: one loop that delivers, adopts and flushes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from aicore_obs.context import suppress
from aicore_obs.errors import SinkUnavailable
from aicore_obs.guard import attempt, log_window
from aicore_obs.model.record import CODEC_VERSION
from aicore_obs.pipeline.allowance import Allowance
from aicore_obs.pipeline.cursor import Cursor
from aicore_obs.pipeline.dead_letters import DeadLetter, DeadLetters
from aicore_obs.pipeline.delivery import Bell, Delivery, DeliveryOptions, Services, SinkSpec
from aicore_obs.pipeline.journal import FileJournal, LeftJournal, MemoryJournal
from aicore_obs.pipeline.owners import START, Owner, Position, SinkPosition, owner_folders, segment_numbers
from aicore_obs.pipeline.segment import SEGMENT_FORMAT, SegmentHeader, read_header
from aicore_obs.pipeline.stats import SinkStats
from aicore_obs.protocols import Processor

ADOPT_INTERVAL_S = 5.0
LOST = "lost with the journal"


class WriterOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What one writer works with."""

    directory: Path | None
    fingerprint: str
    sinks: Sequence[SinkSpec]
    processors: Sequence[Processor]
    delivery: DeliveryOptions
    file_mode: int = 0o600


class Adopted:
    """The journal of a dead process, while we deliver it."""

    def __init__(self, owner: Owner, journal: LeftJournal, positions: dict[str, SinkPosition]) -> None:
        self.owner = owner
        self.journal = journal
        self.positions = positions

    def save(self) -> None:
        """Keep the positions, for the case that we die too."""
        self.owner.save_positions(self.positions)


class Writer:
    """Delivers one journal, and what dead processes left for the same sinks. Runs on the portal's loop."""

    def __init__(
        self, journal: FileJournal | MemoryJournal, allowance: Allowance, bell: Bell, options: WriterOptions
    ) -> None:
        self._journal = journal
        self._allowance = allowance
        self._options = options
        self._bell = bell
        self._adopted: list[Adopted] = []
        self._foreign_pending = 0
        self._positions = {spec.name: SinkPosition() for spec in options.sinks}
        self._dead_letters = DeadLetters(options.directory, file_mode=options.file_mode) if options.directory else None
        self._failures_told = 0
        self._stop = anyio.Event()
        self.deliveries = [self._delivery(spec) for spec in options.sinks]

    def _delivery(self, spec: SinkSpec) -> Delivery:
        services = Services(self._bell, self._keep_aside, self._after_step)
        delivery = Delivery(spec, self._options.processors, self._options.delivery, services)
        position = self._positions[spec.name]
        cursor = Cursor(self._journal, position, ours=True, save=self._save_ours, passed=self._trim_ours)
        delivery.cursors.append(cursor)
        return delivery

    # -- life ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until :meth:`stop`."""
        with suppress():
            async with anyio.create_task_group() as tasks:
                for delivery in self.deliveries:
                    tasks.start_soon(delivery.run)
                tasks.start_soon(self._look_around)
                await self._stop.wait()
                tasks.cancel_scope.cancel()
            for delivery in self.deliveries:
                await delivery.close_sink()
            for adopted in self._adopted:
                adopted.owner.release()

    def stop(self) -> None:
        """End the work; what is not delivered stays in the journal."""
        self._stop.set()

    def ring(self) -> None:
        """Wake every delivery: something was appended."""
        self._bell.asleep = False
        for delivery in self.deliveries:
            delivery.wake()

    async def _look_around(self) -> None:
        """From time to time, see what the neighbours hold and what the dead have left."""
        while True:
            self._heal()
            self.adopt()
            self._allowance.look(self._journal.bytes)
            await anyio.sleep(ADOPT_INTERVAL_S)

    # -- journals of the dead --------------------------------------------------------------------------------------

    def adopt(self) -> None:
        """Take every folder of the directory whose owner is dead and whose records belong to our sinks."""
        if self._options.directory is None:
            return
        foreign_pending = 0
        for path in owner_folders(self._options.directory):
            # What another disk, another user or another program has done to a folder must not stop our own road.
            found = attempt(self._look_at, path)
            foreign_pending += found.value or 0
            if found.error is not None:
                log_window.warn(f"adopt {path}", f"{path} cannot be looked at: {found.error}")
        self._foreign_pending = foreign_pending
        self._let_go_of_delivered()
        self.ring()

    def _look_at(self, path: Path) -> int:
        """Take one folder over, if it is ours to take; return how many records in it only a newer program reads."""
        header = journal_header(path)
        if header is not None and header.fingerprint != self._options.fingerprint:
            return 0
        owner = Owner.take(path)
        if owner is None:
            return 0
        try:
            return self._take_over(owner)
        except OSError:
            owner.release()
            raise

    def _take_over(self, owner: Owner) -> int:
        # Once more: its owner may have written and died since.
        header = journal_header(owner.path)
        if owner.is_empty():
            owner.remove()
        elif header is None:
            # Not a segment of ours, or damaged from its first byte on: `doctor` shows it, nobody guesses.
            log_window.warn(f"foreign {owner.path}", f"no readable journal segment in {owner.path}; left alone")
            owner.release()
        elif header.fingerprint != self._options.fingerprint:
            owner.release()
        elif header.codec > CODEC_VERSION or header.format > SEGMENT_FORMAT:
            newer = _count_after(LeftJournal(owner), {"": SinkPosition()})[""]
            log_window.warn(f"newer {owner.path}", f"{owner.path} was written by a newer version; left alone")
            owner.release()
            return newer
        else:
            self._deliver_for(owner)
        return 0

    def _deliver_for(self, owner: Owner) -> None:
        positions = owner.load_positions([delivery.name for delivery in self.deliveries])
        adopted = Adopted(owner, LeftJournal(owner), positions)
        counts = _count_after(adopted.journal, positions)
        self._adopted.append(adopted)
        for delivery in self.deliveries:
            delivery.adopted += counts[delivery.name]
            cursor = Cursor(adopted.journal, positions[delivery.name], ours=False, save=adopted.save)
            delivery.cursors.append(cursor)

    def _let_go_of_delivered(self) -> None:
        for adopted in list(self._adopted):
            end = adopted.journal.end()
            if all(position.at >= end for position in adopted.positions.values()):
                self._adopted.remove(adopted)
                for delivery in self.deliveries:
                    delivery.cursors = [one for one in delivery.cursors if one.source is not adopted.journal]
                adopted.owner.remove()

    # -- positions, dead letters -------------------------------------------------------------------------------------

    def _save_ours(self) -> None:
        if isinstance(self._journal, FileJournal):
            self._journal.owner.save_positions(self._positions)

    def _trim_ours(self) -> None:
        self._journal.trim(min(position.at for position in self._positions.values()))

    async def _keep_aside(self, letters: Sequence[DeadLetter]) -> bool:
        if self._dead_letters is None:
            return False
        try:
            await anyio.to_thread.run_sync(self._dead_letters.add, letters)
        except (OSError, TimeoutError) as error:
            # Not kept aside means not settled: the batch stays where it is and is tried again.
            raise SinkUnavailable(f"dead letters cannot be written: {error}") from error
        return True

    # -- flush -------------------------------------------------------------------------------------------------------

    async def flush(self, timeout_s: float) -> bool:
        """Deliver everything there is now; return whether that worked in time and without a new dead letter."""
        self.adopt()
        wanted = [(one, one.source.end()) for delivery in self.deliveries for one in delivery.cursors]
        with anyio.move_on_after(timeout_s):
            async with anyio.create_task_group() as tasks:
                for delivery in self.deliveries:
                    tasks.start_soon(self._drain, delivery, [one for one in wanted if one[0] in delivery.cursors])
        self._after_step()
        failed = sum(delivery.failed for delivery in self.deliveries)
        told, self._failures_told = self._failures_told, failed
        return _reached(wanted) and failed == told and not self._foreign_pending

    async def _drain(self, delivery: Delivery, wanted: Sequence[tuple[Cursor, Position]]) -> None:
        delivery.hurry += 1
        delivery.hasten()
        try:
            while not _reached([(cursor, end) for cursor, end in wanted if not cursor.held]):
                await delivery.progress()
        finally:
            delivery.hurry -= 1

    def oldest_pending_s(self) -> float | None:
        """Return the age of the oldest batch that some sink does not have yet; None when there is none."""
        since = [one.waiting_since for delivery in self.deliveries for one in delivery.cursors if one.waiting_since]
        return time.time() - min(since) if since else None

    def counts(self) -> tuple[int, dict[str, SinkStats]]:
        """Return how many records were accepted, and the numbers of every sink; may be called from any thread."""
        newer = self._foreign_pending
        # In this order: whatever is settled had been accepted before.
        known = [delivery.stats() for delivery in self.deliveries]
        _, accepted = self._journal.mark()
        return accepted, {
            delivery.name: msgspec.structs.replace(
                stats, adopted=stats.adopted + newer, pending=accepted + stats.adopted - stats.settled + newer
            )
            for delivery, stats in zip(self.deliveries, known, strict=True)
        }

    def _after_step(self) -> None:
        self._let_go_of_delivered()
        self._count_losses()

    def _count_losses(self) -> None:
        """Count what was accepted and cannot be found, where everything there is has been passed. On the loop only."""
        end, accepted = self._journal.mark()
        for delivery in self.deliveries:
            missing = accepted + delivery.adopted - delivery.stats().settled
            if missing > 0 and delivery.has_passed(self._journal, end):
                # A damaged piece may have been several records, and a journal may be deleted under us.
                delivery.lose(LOST, missing)
                self._heal()

    def _heal(self) -> None:
        healed = attempt(self._journal.heal)
        if healed.error is not None:
            log_window.warn("heal", f"the journal was deleted and cannot be made again: {healed.error}")


def journal_header(path: Path) -> SegmentHeader | None:
    """Return the header of the first readable segment in an owner's folder."""
    for number in segment_numbers(path):
        try:
            header = read_header(path / f"{number:010d}.seg")
        except OSError:
            continue
        if header is not None:
            return header
    return None


def _count_after(journal: LeftJournal, positions: dict[str, SinkPosition]) -> dict[str, int]:
    """Return how many records (or damaged pieces) each sink has not had yet."""
    counts = dict.fromkeys(positions, 0)
    at: Position = min((position.at for position in positions.values()), default=START)
    while at < journal.end():
        chunk = journal.read(at, 1024 * 1024)
        for name, position in positions.items():
            counts[name] += chunk.count_after(position.at)
        at = chunk.next
        time.sleep(0)
    return counts


def _reached(wanted: Sequence[tuple[Cursor, Position]]) -> bool:
    return all(cursor.at >= end for cursor, end in wanted)
