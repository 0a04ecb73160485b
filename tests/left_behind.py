"""This module is where tests make what dead processes leave: owners' folders with records, and dead letters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from aicore_obs.model import codec
from aicore_obs.model.record import CODEC_VERSION
from aicore_obs.pipeline.allowance import Allowance
from aicore_obs.pipeline.dead_letters import DeadLetters, for_record
from aicore_obs.pipeline.journal import FileJournal, header_of
from aicore_obs.pipeline.owners import Owner, SinkPosition
from aicore_obs.pipeline.segment import SegmentHeader, frame, segment_start
from tests.stored import operation, record_id


def ids(numbers: Iterable[int]) -> list[str]:
    """Return the ids of the operations of these numbers."""
    return [record_id(number) for number in numbers]


def line(number: int, **fields: Any) -> bytes:
    """Return operation ``number`` as a door journals it: what the road reads out of it is not there yet."""
    given = {"provider": "openai", "completion_args": {"model": "gpt-4o"}, "latency_ms": 5.0} | fields
    return codec.encode(msgspec.structs.replace(operation(number, **given), derived=None))


def leave(
    directory: Path,
    sinks: Sequence[str],
    numbers: Iterable[int],
    *,
    fingerprint: str = "0123456789abcdef",
    delivered: dict[str, int] | None = None,
    alive: bool = False,
    processors: Sequence[str] = (),
    external: bool = False,
    **fields: Any,
) -> Owner:
    """Leave operations in a journal's directory as a process does that died; ``alive``: its lock is held on.

    ``delivered``: how many records, from the first, a sink has had; others have had none.
    """
    owner = Owner.create(directory)
    journal = FileJournal(
        owner,
        header=header_of(fingerprint, sinks, processors, external=external),
        allowance=Allowance(directory, 1024**3),
    )
    ends = [journal.end()]
    for number in numbers:
        assert journal.append(line(number, **fields)) is None
        ends.append(journal.end())
    if delivered:
        owner.save_positions({name: SinkPosition(at=ends[count]) for name, count in delivered.items()})
    if not alive:
        journal.close(remove=False)
    else:
        journal.forget()
    return owner


def leave_newer(
    directory: Path, sinks: Sequence[str], *, fingerprint: str = "0123456789abcdef", records: int = 0
) -> Owner:
    """Leave a segment that a newer program wrote."""
    owner = Owner.create(directory)
    header = SegmentHeader(
        format=1,
        codec=CODEC_VERSION + 1,
        fingerprint=fingerprint,
        sinks=tuple(sinks),
        pid=1,
        host="elsewhere",
        created="2099-01-01T00:00:00+00:00",
    )
    frames = b"".join(frame(line(number)) for number in range(records))
    owner.segment(1).write_bytes(segment_start(header) + frames)
    owner.segment(1).chmod(0o600)
    owner.release()
    return owner


def keep_aside(directory: Path, sink: str, numbers: Iterable[int], *, reason: str = "rejected", **fields: Any) -> None:
    """Put operations among the dead letters of a journal's directory."""
    directory.mkdir(parents=True, exist_ok=True)
    letters = [for_record(sink, reason, "it did not fit", line(number, **fields)) for number in numbers]
    DeadLetters(directory).add(letters)
