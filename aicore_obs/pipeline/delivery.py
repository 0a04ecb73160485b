"""This module is where records are handed over to one sink: in order, in batches, again and again until it has them.

Every sink has a delivery of its own, with its own position in every journal, so that a sick sink stops no other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import anyio
import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential, wait_random

from aicore_obs.errors import SinkRejected, SinkUnavailable
from aicore_obs.guard import attempt_all, attempt_async, log_window
from aicore_obs.model.record import Record
from aicore_obs.pipeline.chunk import Source
from aicore_obs.pipeline.cursor import Cursor
from aicore_obs.pipeline.dead_letters import DeadLetter, for_record
from aicore_obs.pipeline.owners import Position
from aicore_obs.pipeline.processors import Prepared
from aicore_obs.pipeline.ready import DEAD, Ready, made_ready, said
from aicore_obs.pipeline.stats import SinkStats
from aicore_obs.protocols import Batch, Processor, Sink

# Some ninety records of 2.8 KB. What is done for a batch as a whole holds the interpreter lock, 1 MiB of it for two
# milliseconds; of smaller ones a database over a network would wait too often for its commits.
BATCH_BYTES = 256 * 1024
# How often a sink that is not one of ours may fail for an unknown reason before single rows are suspected.
FOREIGN_TRIES = 3
# The longest pause between tries while a flush waits.
HURRY_S = 0.25
NO_DISK = "no disk for dead letters"


class Bell:
    """What callers look at after an append: whether a delivery sleeps and must be woken."""

    asleep = False


class Fork:
    """A fork of this process that is about to happen, until it is ``over``."""

    over = False


class Services(msgspec.Struct, frozen=True):
    """What a delivery needs of its writer. ``keep_aside`` returns whether dead letters can be kept at all."""

    bell: Bell
    keep_aside: Callable[[Sequence[DeadLetter]], Awaitable[bool]]
    after_step: Callable[[], None]


class DeliveryOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one road hands over."""

    batch_bytes: int = BATCH_BYTES
    batch_records: int = 1000
    batch_interval_s: float = 0.2
    write_timeout_s: float = 60.0
    retry_first_s: float = 0.1
    retry_max_s: float = 15.0


class SinkSpec(msgspec.Struct, frozen=True):
    """A sink that is yet to be built, on the writer's thread; ``build`` imports nothing any more."""

    name: str
    build: Callable[[], Sink]


class Delivery:
    """Hands records to one sink. Everything here runs on the writer's loop."""

    def __init__(
        self,
        spec: SinkSpec,
        processors: Sequence[Processor],
        options: DeliveryOptions,
        services: Services,
    ) -> None:
        self.name = spec.name
        self.cursors: list[Cursor] = []
        self._services = services
        self.adopted = 0
        self.stored = 0
        self.dead_lettered = 0
        self.dropped: dict[str, int] = {}
        self.lost = 0
        self.last_error: str | None = None
        self.hurry = 0
        self._build = spec.build
        self._sink: Sink | None = None
        self._open = False
        self._processors = processors
        self._options = options
        self._turn = 0
        self._asleep = False
        self._resting = False
        self._rested = anyio.Event()
        self._wake = anyio.Event()
        self._progress = anyio.Event()
        self._foreign_failures = 0
        self._forks: list[Fork] = []
        self._forked = anyio.Event()
        self._using = anyio.Lock()

    # -- the loop ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver until :meth:`rest`, or until cancelled."""
        while not self._resting:
            cursor = self._next_cursor()
            if cursor is None:
                await self._sleep()
                continue
            if cursor.ours and not self.hurry:
                await self._gather(cursor)
            outcome = await attempt_async(self._step, cursor)
            if outcome.error is not None:
                # Not the sink's fault but ours or the disk's: keep everything where it is and come back.
                self.last_error = said(outcome.error)
                log_window.warn(f"step {self.name}", f"delivery to {self.name} stumbled: {self.last_error}")
                await self._pause(1.0)
            self._services.after_step()
            self._tell_progress()
        self._rested.set()

    async def rest(self) -> None:
        """Take no further batch; return when the one that is on its way has arrived."""
        self._resting = True
        self.hasten()
        await self._rested.wait()

    def _next_cursor(self) -> Cursor | None:
        """Return where records wait. Journals take turns: load without end in one must not starve another."""
        waiting = [one for one in self.cursors if one.has_more()]
        self._turn += 1
        return waiting[self._turn % len(waiting)] if waiting else None

    def wake(self) -> None:
        """Look for work, if asleep. A batch that is gathered and a sink that is given a rest are left in peace."""
        if self._asleep:
            self._wake.set()

    def hasten(self) -> None:
        """Look for work now, and do not wait out a pause."""
        self._wake.set()

    async def progress(self) -> None:
        """Return after the next step."""
        await self._progress.wait()

    def has_passed(self, ours: Source, end: Position) -> bool:
        """Return whether our own journal is delivered up to ``end``, and the others to theirs."""
        return all(one.at >= (end if one.source is ours else one.source.end()) for one in self.cursors)

    def _tell_progress(self) -> None:
        done, self._progress = self._progress, anyio.Event()
        done.set()

    async def _sleep(self) -> None:
        """Wait to be woken. The bell is set before the last look, so that no append falls in between."""
        self._wake = anyio.Event()
        self._asleep = self._services.bell.asleep = True
        if not any(one.has_more() for one in self.cursors):
            self._tell_progress()
            await self._wake.wait()
        self._asleep = False

    async def _gather(self, cursor: Cursor) -> None:
        """Let a batch grow: until it is full, or for the batch interval."""
        segment, offset = cursor.source.end()
        if segment == cursor.at[0] and offset - cursor.at[1] < self._options.batch_bytes:
            await self._pause(self._options.batch_interval_s)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless somebody calls :meth:`wake`; not for long while a flush waits for us."""
        self._wake = anyio.Event()
        with anyio.move_on_after(min(seconds, HURRY_S) if self.hurry else seconds):
            await self._wake.wait()

    # -- one batch -----------------------------------------------------------------------------------------------

    async def _step(self, cursor: Cursor) -> None:
        """Settle every one of the next records of a source, while the records after them are made ready.

        What is left of a step that stumbles stays in ``cursor.ready``, so that nothing is counted twice.
        """
        ready = cursor.ready = cursor.ready or self._made_ready(cursor.source, cursor.at)
        cursor.busy = True
        try:
            async with anyio.create_task_group() as tasks:
                if not ready.newer and ready.next < cursor.source.end():
                    tasks.start_soon(self._look_ahead, cursor, ready.next)
                await self._settle(cursor, ready)
        finally:
            cursor.busy = False
        cursor.held = ready.newer
        if cursor.at < ready.next:
            self._advance(cursor, ready, ready.next)
        cursor.ready = cursor.ahead if cursor.ahead is not None and cursor.ahead.start == cursor.at else None
        cursor.ahead = None

    async def _look_ahead(self, cursor: Cursor, at: Position) -> None:
        """Prepare the next batch; a store's driver leaves the interpreter lock free while it writes this one."""
        # What goes wrong here goes wrong again when it is that batch's turn, and must not cut off this one's write.
        cursor.ahead = attempt_all(self._made_ready, cursor.source, at).value

    def _made_ready(self, source: Source, at: Position) -> Ready:
        limits = self._options
        return made_ready(
            self.name, source, at, self._processors, max_bytes=limits.batch_bytes, max_records=limits.batch_records
        )

    async def _settle(self, cursor: Cursor, ready: Ready) -> None:
        """Write what is to be written, in order; a batch that is rejected is split until the one row is found."""
        if not await self._to_dead_letters(ready.letters):
            ready.aside = [(end, reason or NO_DISK) for end, reason in ready.aside]
        for reason in ready.dropped:
            self.drop(reason, 1)
        ready.letters, ready.dropped = [], []
        while ready.todo:
            part = ready.todo[-1]
            error = await self._write(cursor, part)
            if error is not None and len(part) > 1:
                middle = len(part) // 2
                ready.todo[-1:] = [part[middle:], part[:middle]]
                continue
            if error is None:
                self.stored += len(part)
                cursor.position.stored += len(part)
            else:
                letter = for_record(self.name, "rejected", said(error), part[0][0].line)
                kept = await self._to_dead_letters([letter])
                ready.aside.append((part[0][1], DEAD if kept else NO_DISK))
            ready.todo.pop()
            self._advance(cursor, ready, part[-1][1])

    def _advance(self, cursor: Cursor, ready: Ready, at: Position) -> None:
        ready.count_until(at, cursor.position)
        cursor.position.error = self.last_error
        cursor.advance(at)

    def drop(self, reason: str, count: int) -> None:
        """Count records that this sink will not get."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def lose(self, reason: str, count: int) -> None:
        """Count records that this sink should have got; the next flush is not true about them."""
        self.lost += count
        self.drop(reason, count)

    async def _to_dead_letters(self, letters: Sequence[DeadLetter]) -> bool:
        """Keep letters aside; return whether there is a place for them."""
        if not letters:
            return True
        kept = await self._services.keep_aside(letters)
        if kept:
            self.dead_lettered += len(letters)
        else:
            self.lose(NO_DISK, len(letters))
        self.last_error = f"{letters[-1].reason}: {letters[-1].error}"
        log_window.warn(f"dead {self.name}", f"{len(letters)} records kept aside for {self.name}: {letters[-1].error}")
        return kept

    async def _write(self, cursor: Cursor, rows: Sequence[tuple[Prepared, Position]]) -> Exception | None:
        """Write one batch, trying for ever while the sink is unavailable; return why it was rejected, if it was."""
        batch = Batch(
            records=[_record(one) for one, _ in rows],
            lines=[one.line for one, _ in rows],
            note=cursor.note,
            noted=cursor.position.noted,
        )
        self._foreign_failures = 0
        first_s = self._options.retry_first_s
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(SinkUnavailable),
            wait=wait_exponential(multiplier=first_s, max=self._options.retry_max_s) + wait_random(0, first_s),
            sleep=self._pause,
            before_sleep=self._failed,
        )
        try:
            async for one_try in retrying:
                with one_try:
                    noted = cursor.position.noted
                    await self._try(msgspec.structs.replace(batch, noted=noted), many=len(rows) > 1)
        except SinkRejected as error:
            return error
        self.last_error = None
        return None

    async def _try(self, batch: Batch, *, many: bool) -> None:
        """Make one attempt. Whatever a sink raises comes out as unavailable or rejected."""
        error = await self._used(batch)
        if error is None:
            return
        if isinstance(error, SinkUnavailable | SinkRejected):
            raise error
        if isinstance(error, TimeoutError):
            raise SinkUnavailable(f"no answer within {self._options.write_timeout_s} s") from error
        self._foreign_failures += 1
        if self._foreign_failures < (FOREIGN_TRIES if many else 2 * FOREIGN_TRIES):
            raise SinkUnavailable(said(error)) from error
        raise SinkRejected(said(error)) from error

    async def _used(self, batch: Batch) -> Exception | None:
        """Open and write, not while this process forks, and close what has failed; return why it has."""
        while self._forks:
            await self._forked.wait()
        async with self._using:
            outcome = await attempt_async(self._open_and_write, batch)
            if outcome.error is not None and not isinstance(outcome.error, SinkRejected):
                await self.close_sink()
        return outcome.error

    async def part(self, fork: Fork) -> None:
        """Give up a sink that no child may inherit, when its write is over, until :meth:`rejoin`."""
        if fork.over or not (self._sink is None or getattr(self._sink, "closes_for_forks", False)):
            return
        self._forks.append(fork)
        async with self._using:
            if not fork.over:
                await self.close_sink()

    def rejoin(self) -> None:
        """Go on after a fork."""
        self._forks = [one for one in self._forks if not one.over]
        done, self._forked = self._forked, anyio.Event()
        done.set()

    async def _open_and_write(self, batch: Batch) -> None:
        with anyio.fail_after(self._options.write_timeout_s):
            if not self._open:
                opened = await attempt_async(self._open_sink)
                if isinstance(opened.error, SinkUnavailable):
                    raise opened.error
                if opened.error is not None:
                    # Whatever keeps a sink from opening says nothing about the rows.
                    raise SinkUnavailable(said(opened.error)) from opened.error
                self._open = True
            await cast("Sink", self._sink).write(batch)

    async def _open_sink(self) -> None:
        if self._sink is None:
            self._sink = self._build()
        await self._sink.open()

    async def close_sink(self) -> None:
        """Let the sink give up what it holds; it is opened again at the next try."""
        self._open = False
        if self._sink is not None:
            with anyio.move_on_after(2, shield=True):
                await attempt_async(self._sink.aclose)

    def _failed(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self.last_error = said(error)
        for cursor in self.cursors:
            cursor.tell(self.last_error)
        log_window.warn(f"unavailable {self.name}", f"{self.name} takes nothing now, records wait: {said(error)}")
        self._tell_progress()

    @property
    def failed(self) -> int:
        """Return how many records did not arrive, and nobody had decided so."""
        return self.dead_lettered + self.lost

    def stats(self) -> SinkStats:
        """Return the numbers of this sink, but for what is pending; may be called from any thread."""
        # In this order: what is settled had been adopted before.
        return SinkStats(
            stored=self.stored,
            dead_lettered=self.dead_lettered,
            dropped=dict(self.dropped),
            last_error=self.last_error,
            adopted=self.adopted,
        )


def _record(one: Prepared) -> Record:
    if one.record is None:
        raise AssertionError("only rows with a record are handed over")
    return one.record
