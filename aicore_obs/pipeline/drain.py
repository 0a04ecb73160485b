"""This module is where one process delivers for many: a writer for every group of journals that is found, on one loop.

A group is one fingerprint in one directory: journals that lead to the same sinks by the same steps. Its seat says who
delivers it; whoever finds it taken waits, and takes over when it gets free.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

import anyio
import anyio.to_thread

from aicore_obs.errors import SinkUnavailable
from aicore_obs.guard import attempt, log_window
from aicore_obs.pipeline.allowance import Allowance
from aicore_obs.pipeline.delivery import Bell
from aicore_obs.pipeline.journal import MemoryJournal
from aicore_obs.pipeline.role import SEAT, Role
from aicore_obs.pipeline.stats import SinkStats
from aicore_obs.pipeline.writer import Writer, WriterOptions
from aicore_obs.protocols import Batch, Sink

# How often it is looked for new groups, for a seat that gets free, and whether it is time to end.
LOOK_S = 0.25
# How long the batches that are on their way may take when it is time to end.
FINISH_S = 8.0


class Shared:
    """One sink for several writers: one connection, one batch at a time."""

    def __init__(self, name: str, build: Callable[[], Sink]) -> None:
        self.name = name
        self._build = build
        self._sink: Sink | None = None
        self._is_open = False
        self._turn = anyio.Lock()

    async def open(self) -> None:
        """Open the sink unless somebody else has."""
        async with self._turn:
            if not self._is_open:
                self._sink = self._sink or self._build()
                await self._sink.open()
                self._is_open = True

    async def write(self, batch: Batch) -> None:
        """Hand the batch on."""
        async with self._turn:
            if self._sink is None or not self._is_open:
                raise SinkUnavailable(f"{self.name} was closed after a failure; it is opened again")
            await self._sink.write(batch)

    async def aclose(self) -> None:
        """Close the sink for all; whoever goes on opens it again."""
        async with self._turn:
            if self._sink is not None and self._is_open:
                self._is_open = False
                await self._sink.aclose()


class Drain:
    """Delivers every group that ``find`` returns, until ``stopped`` is true. ``tell`` gets lines for the log."""

    def __init__(
        self,
        find: Callable[[], Iterable[WriterOptions]],
        *,
        stopped: Callable[[], bool],
        tell: Callable[[str], None],
    ) -> None:
        self._find = find
        self._stopped = stopped
        self._tell = tell
        self._known: set[Hashable] = set()
        self._writers: list[Writer] = []

    def run(self) -> list[tuple[str, SinkStats]]:
        """Deliver until it is time to end; then let the batches arrive that are on their way, and return the counts."""
        anyio.run(self._run, backend="asyncio")
        return [one for writer in self._writers for one in writer.counts()[1].items()]

    async def _run(self) -> None:
        ending = anyio.Event()
        async with anyio.create_task_group() as tasks:
            while not self._stopped():
                for options in await anyio.to_thread.run_sync(self._found):
                    group = (options.directory, options.fingerprint)
                    if group not in self._known:
                        self._known.add(group)
                        tasks.start_soon(self._serve, options, ending)
                await anyio.sleep(LOOK_S)
            ending.set()

    def _found(self) -> list[WriterOptions]:
        found = attempt(lambda: list(self._find()))
        if found.error is not None:
            # A directory that cannot be read just now must not stop the delivery of the others.
            log_window.warn("drain", f"cannot look for journals: {found.error}")
        return found.value or []

    async def _serve(self, options: WriterOptions, ending: anyio.Event) -> None:
        seat = await self._seat(options, ending)
        if seat is None:
            return
        self._tell(f"delivering {options.directory} to {', '.join(spec.name for spec in options.sinks)}")
        # Nothing is recorded here.
        allowance = Allowance(None, 0)
        writer = Writer(MemoryJournal(allowance=allowance), allowance, Bell(), options)
        self._writers.append(writer)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            await ending.wait()
            writer.finish(FINISH_S)
        seat.release()

    async def _seat(self, options: WriterOptions, ending: anyio.Event) -> Role | None:
        """Wait for the seat of a group; None when it is time to end first."""
        told = False
        while not ending.is_set() and options.directory is not None:
            seat = Role.take(SEAT, options.directory, options.fingerprint, file_mode=options.file_mode)
            if seat is not None:
                return seat
            if not told:
                self._tell(f"another drain delivers {options.directory}; waiting to take over")
                told = True
            await anyio.sleep(LOOK_S)
        return None
