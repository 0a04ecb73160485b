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
from aicore_obs.pipeline.age import since
from aicore_obs.pipeline.allowance import Allowance
from aicore_obs.pipeline.cursor import Cursor
from aicore_obs.pipeline.dead_letters import DeadLetter, DeadLetters
from aicore_obs.pipeline.delivery import Bell, Delivery, DeliveryOptions, Fork, Services, SinkSpec
from aicore_obs.pipeline.journal import FileJournal, MemoryJournal
from aicore_obs.pipeline.others import Others, Reach
from aicore_obs.pipeline.owners import FILE_MODE, Position, SinkPosition
from aicore_obs.pipeline.stats import SinkStats
from aicore_obs.protocols import Processor

ADOPT_INTERVAL_S = 5.0
FOLLOW_INTERVAL_S = 0.1
LOST = "lost with the journal"


class WriterOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What one writer works with."""

    directory: Path | None
    fingerprint: str
    sinks: Sequence[SinkSpec]
    processors: Sequence[Processor]
    delivery: DeliveryOptions
    file_mode: int = FILE_MODE
    follow: bool = True
    gives_way: bool = True
    look_interval_s: float = ADOPT_INTERVAL_S

    @property
    def reach(self) -> Reach:
        """Return whose records the writer takes on."""
        return Reach(
            directory=self.directory,
            fingerprint=self.fingerprint,
            file_mode=self.file_mode,
            follow=self.follow,
            gives_way=self.gives_way,
        )


class Writer:
    """Delivers one journal, and what dead processes left for the same sinks. Runs on the portal's loop."""

    def __init__(
        self, journal: FileJournal | MemoryJournal, allowance: Allowance, bell: Bell, options: WriterOptions
    ) -> None:
        self._journal = journal
        self._allowance = allowance
        self._options = options
        self._bell = bell
        self._positions = {spec.name: SinkPosition() for spec in options.sinks}
        self._dead_letters = DeadLetters(options.directory, file_mode=options.file_mode) if options.directory else None
        self._failures_told = 0
        self._stop = anyio.Event()
        self._finish_s = 0.0
        self.deliveries = [self._delivery(spec) for spec in options.sinks]
        self._others = Others(options.reach, self.deliveries, self.ring)

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
                if self._finish_s:
                    await self._rest()
                tasks.cancel_scope.cancel()
            for delivery in self.deliveries:
                await delivery.close_sink()
            self._others.release()

    async def _rest(self) -> None:
        """Let the batches arrive that are on their way."""
        with anyio.move_on_after(self._finish_s):
            async with anyio.create_task_group() as resting:
                for delivery in self.deliveries:
                    resting.start_soon(delivery.rest)

    def stop(self) -> None:
        """End the work; what is not delivered stays in the journal."""
        self._stop.set()

    def finish(self, timeout_s: float) -> None:
        """Do as :meth:`stop`, when the batches that are on their way have arrived, or after ``timeout_s``."""
        self._finish_s = timeout_s
        self._stop.set()

    async def part(self, fork: Fork) -> None:
        """Close what no forked child may inherit, until :meth:`rejoin`."""
        async with anyio.create_task_group() as parting:
            for delivery in self.deliveries:
                parting.start_soon(delivery.part, fork)

    def rejoin(self) -> None:
        """Go on after a fork."""
        for delivery in self.deliveries:
            delivery.rejoin()

    def ring(self) -> None:
        """Wake every delivery: something was appended."""
        self._bell.asleep = False
        for delivery in self.deliveries:
            delivery.wake()

    async def _look_around(self) -> None:
        """From time to time, see what the neighbours hold and what the dead have left; more often, whom we follow."""
        due = 0.0
        while True:
            if time.monotonic() >= due:
                self._heal()
                self._others.look()
                self._allowance.look(self._journal.bytes)
                due = time.monotonic() + self._options.look_interval_s
            else:
                self._others.follow()
            await anyio.sleep(FOLLOW_INTERVAL_S if self._others.is_following else self._options.look_interval_s)

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
        self._others.look(thoroughly=True)
        wanted = [(one, one.source.end()) for delivery in self.deliveries for one in delivery.cursors]
        with anyio.move_on_after(timeout_s):
            async with anyio.create_task_group() as tasks:
                for delivery in self.deliveries:
                    tasks.start_soon(self._drain, delivery, [one for one in wanted if one[0] in delivery.cursors])
        self._after_step()
        failed = sum(delivery.failed for delivery in self.deliveries)
        told, self._failures_told = self._failures_told, failed
        return _reached(wanted) and failed == told and not self._others.newer

    async def _drain(self, delivery: Delivery, wanted: Sequence[tuple[Cursor, Position]]) -> None:
        delivery.hurry += 1
        delivery.hasten()
        try:
            while not _reached([(cursor, end) for cursor, end in wanted if not cursor.held]):
                await delivery.progress()
        finally:
            delivery.hurry -= 1

    def oldest_pending_s(self) -> float | None:
        """Return the age of the oldest record that some sink does not have yet; None when there is none."""
        recorded = since((one.source, one.at) for delivery in self.deliveries for one in delivery.cursors)
        return max(0.0, time.time() - recorded) if recorded is not None else None

    def counts(self) -> tuple[int, dict[str, SinkStats]]:
        """Return how many records were accepted, and the numbers of every sink; may be called from any thread."""
        newer = self._others.newer
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
        self._others.let_go_of_delivered()
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


def _reached(wanted: Sequence[tuple[Cursor, Position]]) -> bool:
    return all(cursor.at >= end for cursor, end in wanted)
