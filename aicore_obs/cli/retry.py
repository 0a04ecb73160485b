"""This module is where dead letters are sent again, each to the one sink that it names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from aicore_obs import plugins
from aicore_obs.cli import places
from aicore_obs.context import suppress
from aicore_obs.costing import costed_by_settings
from aicore_obs.errors import SinkRejected
from aicore_obs.guard import attempt_async
from aicore_obs.model.record import Record
from aicore_obs.pipeline.dead_letters import DeadLetter, DeadLetters, for_record
from aicore_obs.pipeline.processors import normalise, prepare
from aicore_obs.protocols import Address, Batch, Sink

BATCH_RECORDS = 500
WRITE_TIMEOUT_S = 60.0
# The reason of letters that a processor failed on: they are as the door made them.
UNPROCESSED = "processor"


class Retried(msgspec.Struct, kw_only=True):
    """What became of letters: stored, rejected again (kept with the new reason), or left as they are, and why."""

    stored: int = 0
    rejected: int = 0
    left: int = 0
    problems: list[str] = []


class Row(msgspec.Struct, frozen=True):
    """A letter that can be sent again: its record, and the text of it as a file keeps it."""

    letter: DeadLetter
    record: Record
    line: bytes


def rows_of(letters: Sequence[DeadLetter], outcome: Retried, *, unprocessed: bool) -> list[Row]:
    """Return what can be sent again; the rest is counted as left, with the reason."""
    rows, normalised = [], normalise(costed_by_settings())
    for letter in letters:
        if letter.record is msgspec.UNSET or letter.id is None:
            _leave(outcome, "damaged pieces hold no record; look at them in the file and delete them there")
        elif letter.reason == UNPROCESSED and not unprocessed:
            _leave(outcome, "a processor of the application failed on it: --unprocessed stores it without processors")
        else:
            line = bytes(letter.record)
            prepared = prepare(line, normalised, ())
            if prepared.record is None:
                _leave(outcome, "no record of this version")
            else:
                rows.append(Row(letter, prepared.record, prepared.line))
    return rows


def send(sink: Address, rows: Sequence[Row], letters: DeadLetters, outcome: Retried) -> None:
    """Send letters to one sink, in batches; each leaves the file when the sink has committed it.

    Raises:
        AicoreObsError: the sink takes nothing now; what it has not taken stays.
    """
    places.ask(sink, _send, rows, letters, outcome, timeout_s=WRITE_TIMEOUT_S * (2 + len(rows)))


async def _send(address: Address, rows: Sequence[Row], letters: DeadLetters, outcome: Retried) -> None:
    sink = plugins.sink(address)
    try:
        with suppress():
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await sink.open()
            for start in range(0, len(rows), BATCH_RECORDS):
                await _write(sink, rows[start : start + BATCH_RECORDS], letters, outcome)
    finally:
        await attempt_async(sink.aclose)


async def _write(sink: Sink, rows: Sequence[Row], letters: DeadLetters, outcome: Retried) -> None:
    """Write one batch; split it while it is rejected, until the rows are found that the sink does not take."""
    todo = [rows]
    while todo:
        part = todo.pop()
        middle = len(part) // 2
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await sink.write(_batch(part))
        except SinkRejected as error:
            if middle:
                todo += [part[middle:], part[:middle]]
            else:
                _keep(part[0], str(error), letters)
                outcome.rejected += 1
        else:
            letters.take([(row.letter.sink, row.letter.id) for row in part])
            outcome.stored += len(part)


def _batch(rows: Sequence[Row]) -> Batch:
    # Noted from the start: a file has no unique key, and an earlier retry may have been killed after its commit.
    return Batch(records=[row.record for row in rows], lines=[row.line for row in rows], note=lambda _: None, noted=0)


def _keep(row: Row, error: str, letters: DeadLetters) -> None:
    old = row.letter
    again = for_record(old.sink, "rejected", error, bytes(old.record) if old.record is not msgspec.UNSET else row.line)
    letters.take([(old.sink, old.id)], instead=[again])


def _leave(outcome: Retried, why: str) -> None:
    outcome.left += 1
    if why not in outcome.problems:
        outcome.problems.append(why)
