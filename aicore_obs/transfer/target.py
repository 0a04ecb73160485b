"""This module is where records are written into a store by its own write path, batch by batch, each stored once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aicore_obs import plugins
from aicore_obs.context import suppress
from aicore_obs.errors import ConfigurationError, SinkRejected, SinkUnavailable, StoreError, StoreNotFoundError
from aicore_obs.guard import attempt_async
from aicore_obs.model.record import Record
from aicore_obs.pipeline.portal import run_apart
from aicore_obs.protocols import Address, Batch, Records, Sink
from aicore_obs.transfer.content import Ids

T = TypeVar("T")
Pair = tuple[Record, bytes]
BATCH_RECORDS = 500
BATCH_BYTES = 8_000_000
# Years: work on a whole store has no deadline, whoever waits may stop it.
NO_DEADLINE_S = 1e8
FILES = frozenset({"json", "jsonl"})
# How many reasons for a refusal are kept as text.
_FEW = 5


class Target:
    """A store that is written to. ``rejected`` counts what it refused for good, ``problems`` are the first reasons."""

    def __init__(self, address: Address, sink: Sink, known: Ids | None) -> None:
        self._address = address
        self._sink = sink
        # A file has no unique key: what it had is passed over here.
        self._known = known
        self.written = 0
        self.rejected = 0
        self.problems: list[str] = []

    async def write(self, pairs: list[Pair]) -> None:
        """Write a batch; rows that the store refuses for good are counted, and cost no neighbour.

        Raises:
            StoreError: the store takes nothing now.
        """
        new = pairs if self._known is None else [pair for pair in pairs if pair[0].id not in self._known]
        todo = [new] if new else []
        while todo:
            part = todo.pop()
            middle = len(part) // 2
            try:
                await self._sink.write(_batch(part))
            except SinkRejected as error:
                if middle:
                    todo += [part[middle:], part[:middle]]
                else:
                    self._refused(part[0], error)
            except SinkUnavailable as error:
                raise StoreError(f"{error}; what was written stays: run it again to go on") from error
            else:
                self.written += len(part)

    def _refused(self, pair: Pair, error: SinkRejected) -> None:
        self.rejected += 1
        if len(self.problems) < _FEW:
            self.problems.append(f"{pair[0].id}: {error}")


@asynccontextmanager
async def opened(address: Address) -> AsyncIterator[Target]:
    """Open a store for writing, and make it where there is none.

    Raises:
        StoreError: it cannot be opened.
    """
    known = _ids_in(address) if address.kind in FILES else None
    sink = plugins.sink(address)
    try:
        with suppress():
            try:
                await sink.open()
            except SinkUnavailable as error:
                raise StoreError(str(error)) from error
            yield Target(address, sink, known)
    finally:
        await attempt_async(sink.aclose)


def source_of(address: Address) -> Records:
    """Return the reader of all records of a store.

    Raises:
        ConfigurationError: what is there cannot be read back as records.
    """
    reader = plugins.reader(address)
    if not isinstance(reader, Records):
        raise ConfigurationError(f"{address.name} can be read as frames only, not as records")
    return reader


def on_a_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``work`` on a loop and a thread of its own, whatever loop the caller is in, and wait for it."""
    return run_apart(work, NO_DEADLINE_S)


def in_batches(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    """Yield records in batches that are neither too many nor too large."""
    batch: list[Pair] = []
    size = 0
    for pair in pairs:
        batch.append(pair)
        size += len(pair[1])
        if len(batch) >= BATCH_RECORDS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _ids_in(address: Address) -> Ids:
    ids = Ids()
    try:
        for record, _ in source_of(address).records(left=lambda _: None):
            ids.add(record.id)
    except StoreNotFoundError:
        pass
    return ids.settle()


def _batch(pairs: list[Pair]) -> Batch:
    records, lines = zip(*pairs, strict=True)
    return Batch(records=records, lines=lines, note=lambda _: None)
