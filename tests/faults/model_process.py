"""This module is where a process is played on the real journal, writer and deliveries, one step at a time.

Its stores are lists that outlive it. A sink can be told to stop for ever at a point of its next write: then the process
is crashed there, as a kill would, with nothing of it running on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from aicore_obs.model.record import Record
from aicore_obs.pipeline.allowance import Allowance
from aicore_obs.pipeline.delivery import Bell, DeliveryOptions, SinkSpec
from aicore_obs.pipeline.journal import FileJournal, Refused, header_of
from aicore_obs.pipeline.owners import Owner
from aicore_obs.pipeline.writer import Writer, WriterOptions
from aicore_obs.protocols import Batch

FINGERPRINT = "0123456789abcdef"
KEYED, NOTED = "keyed", "noted"
SINKS = (KEYED, NOTED)
CAP = 60_000
SEGMENT_BYTES = 1_500
Stop = Literal["before", "half", "committed"]
STOPS: tuple[Stop, ...] = ("before", "half", "committed")


class Sink:
    """Writes into a list that outlives it; ``given`` is what it was asked to write."""

    def __init__(self, name: str, stored: list[str]) -> None:
        self.name = name
        self.given: list[str] = []
        self.stop: Stop | None = None
        self.stopped = asyncio.Event()
        self._stored = stored

    async def open(self) -> None:
        """Nothing to open."""

    async def aclose(self) -> None:
        """Nothing to close."""

    async def write(self, batch: Batch) -> None:
        """Store the ids that are not there; a database knows its keys, a file looks from its note on."""
        ids = [record.id for record in batch.records]
        self.given += ids
        await self._maybe_stop("before")
        if self.name == KEYED:
            known = set(self._stored)
        elif batch.noted is None:
            batch.note(len(self._stored))
            known = set()
        else:
            known = set(self._stored[batch.noted if batch.noted <= len(self._stored) else 0 :])
        new = [one for one in ids if one not in known]
        if self.stop == "half" and self.name == NOTED:
            # Only a file can be left with a half of a batch.
            self._stored += new[: len(new) // 2]
        await self._maybe_stop("half")
        self._stored += new
        await self._maybe_stop("committed")

    async def _maybe_stop(self, at: Stop) -> None:
        if self.stop == at:
            self.stopped.set()
            await asyncio.Event().wait()


def _same(record: Record) -> Record:
    return record


class Process:
    """One process on a journal's directory. Made and used within a running loop."""

    def __init__(self, directory: Path, stores: dict[str, list[str]], *, batch_records: int) -> None:
        owner = Owner.create(directory)
        allowance = Allowance(directory, CAP, ours=owner.path)
        self.sinks = {name: Sink(name, stores[name]) for name in SINKS}
        self.journal = FileJournal(owner, header=header_of(FINGERPRINT, SINKS), allowance=allowance)
        self.journal._segment_bytes = SEGMENT_BYTES
        specs = [SinkSpec(name, lambda sink=sink: sink) for name, sink in self.sinks.items()]  # type: ignore[misc]
        options = WriterOptions(
            directory=directory,
            fingerprint=FINGERPRINT,
            sinks=specs,
            processors=[_same],
            delivery=DeliveryOptions(batch_records=batch_records, batch_bytes=2_000),
        )
        self.writer = Writer(self.journal, allowance, Bell(), options)

    @property
    def folder(self) -> Path:
        """Return the folder of its own journal."""
        return self.journal.owner.path

    def adopted(self) -> list[Path]:
        """Return the folders of the dead that it delivers for."""
        return [one.owner.path for one in self.writer._others._adopted.values()]

    def append(self, line: bytes) -> Refused | None:
        """Offer one record."""
        return self.journal.append(line)

    def pending(self, name: str) -> int:
        """Return how many records it says a sink does not have."""
        return self.writer.counts()[1][name].pending

    async def deliver(self, name: str, stop: Stop | None = None) -> tuple[Path | None, list[str], bool]:
        """Let one delivery take one step.

        Return whose records it was (None: there were none), the ids that the sink was given, and whether it was
        stopped in the middle: then the process must be crashed.
        """
        (delivery,) = (one for one in self.writer.deliveries if one.name == name)
        cursor = delivery._next_cursor()
        if cursor is None:
            return None, [], False
        whose = next(
            (one.owner.path for one in self.writer._others._adopted.values() if one.journal is cursor.source),
            self.folder,
        )
        sink = self.sinks[name]
        sink.given, sink.stop = [], stop
        sink.stopped = asyncio.Event()
        step = asyncio.ensure_future(delivery._step(cursor))
        stopped = asyncio.ensure_future(sink.stopped.wait())
        await asyncio.wait({step, stopped}, return_when=asyncio.FIRST_COMPLETED)
        crashed = not step.done()
        for task in (step, stopped):
            task.cancel()
        outcomes: Sequence[object] = await asyncio.gather(step, stopped, return_exceptions=True)
        if not crashed:
            assert not isinstance(outcomes[0], BaseException), outcomes[0]
            self.writer._after_step()
        return whose, sink.given, crashed

    def die(self) -> None:
        """Let go of every lock and file, as the operating system does for a killed process."""
        for adopted in self.writer._others._adopted.values():
            adopted.owner.release()
        self.journal.close(remove=False)

    def close(self) -> None:
        """End as a program does whose records have all arrived."""
        self.journal.seal()
        for adopted in self.writer._others._adopted.values():
            adopted.owner.release()
        self.journal.close(remove=all(self.pending(name) == 0 for name in SINKS))
