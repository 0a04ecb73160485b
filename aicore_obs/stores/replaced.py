"""This module is where a newer version of an operation takes the place of an older one inside of a batch."""

from __future__ import annotations

from collections.abc import Sequence

from aicore_obs.model.operation import Operation
from aicore_obs.model.record import Record
from aicore_obs.protocols import Batch


def is_newer(record: Record) -> bool:
    """Return whether a record is a newer version of an operation."""
    return isinstance(record, Operation) and record.replaces


def replaced_ids(records: Sequence[Record]) -> list[str]:
    """Return the ids of the operations of which a batch has a newer version."""
    return [one.id for one in records if is_newer(one)]


def newest(batch: Batch) -> Batch:
    """Return a batch in which each operation stands once, in its newest version: the same where that is so already."""
    last = {one.id: index for index, one in enumerate(batch.records) if is_newer(one)}
    if not last:
        return batch
    kept = [index for index, one in enumerate(batch.records) if last.get(one.id, index) == index]
    return Batch(
        records=[batch.records[index] for index in kept],
        lines=[batch.lines[index] for index in kept],
        note=batch.note,
        noted=batch.noted,
    )
