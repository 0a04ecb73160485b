"""This module is where records are kept out of a store that were deleted before they came.

A journal of a process that died, a batch that is written again, a dead letter: each may hold what was deleted
meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import msgspec

from aicore_obs.errors import SinkUnavailable
from aicore_obs.model import codec
from aicore_obs.model.deletion import Deletion, without_content
from aicore_obs.model.events import CostRevision, Flag, Score
from aicore_obs.model.filter import Filter
from aicore_obs.model.operation import Operation
from aicore_obs.model.record import Record
from aicore_obs.protocols import Batch
from aicore_obs.stores.matching import header_matcher, matcher
from aicore_obs.stores.said import spoken_of

Ids = Mapping[str, Set[str]]
_Change = Callable[[Record], Record | None]


def concerned(batch: Batch, deletions: Sequence[Deletion]) -> list[Deletion]:
    """Return the deletions that came after at least one record of a batch was made."""
    oldest = min((record.id for record in batch.records), default=None)
    return [] if oldest is None else [one for one in deletions if one.id > oldest]


def without_deleted(name: str, batch: Batch, deletions: Sequence[Deletion], ids: Ids) -> Batch:
    """Return a batch without what was deleted; ``ids`` has the operations of deletions that are by id.

    Raises:
        SinkUnavailable: a newer program deleted something in a way that this one does not know.
    """
    changes = [_change(name, one, ids.get(one.id, frozenset())) for one in deletions]
    pairs = []
    for record, line in zip(batch.records, batch.lines, strict=True):
        changed = _changed(record, changes)
        if changed is not None:
            pairs.append((changed, line if changed is record else codec.encode(changed)))
    return Batch(
        records=[record for record, _ in pairs],
        lines=[line for _, line in pairs],
        note=batch.note,
        noted=batch.noted,
    )


def operations_of(records: Sequence[Record]) -> list[str]:
    """Return the ids of the operations that records are, or speak of."""
    found: dict[str, None] = {}
    for record in records:
        found.update(dict.fromkeys(spoken_of(record) or (record.id,)))
    return list(found)


def _changed(record: Record, changes: Sequence[_Change]) -> Record | None:
    found: Record | None = record
    for change in changes:
        found = None if found is None else change(found)
    return found


def _change(name: str, deletion: Deletion, ids: Set[str]) -> _Change:
    """Return what a deletion makes of a record."""
    try:
        query = deletion.query
    except (ValueError, msgspec.ValidationError) as error:
        raise SinkUnavailable(f"{name}: {error}; run `pip install -U aicore-obs`; until then records wait") from error
    operations = _by_id(ids) if deletion.by_id else _by_filter(query)
    headers = header_matcher(query) if deletion.by_header and not deletion.content_only else None

    def change(record: Record) -> Record | None:
        if record.id >= deletion.id:
            return record
        if isinstance(record, Operation):
            gone = operations(record)
            return record if not gone else without_content(record) if deletion.content_only else None
        if deletion.content_only:
            return record
        return _of_others(record, ids, headers)

    return change


def _of_others(record: Record, ids: Set[str], headers: Callable[[Record], bool] | None) -> Record | None:
    if isinstance(record, CostRevision | Score):
        return None if record.operation_id in ids else record
    if isinstance(record, Flag):
        kept = tuple(one for one in record.operation_ids if one not in ids)
        if len(kept) == len(record.operation_ids):
            return record
        return msgspec.structs.replace(record, operation_ids=kept) if kept else None
    return None if headers is not None and headers(record) else record


def _by_id(ids: Set[str]) -> Callable[[Operation], bool]:
    return lambda operation: operation.id in ids


def _by_filter(query: Filter) -> Callable[[Any], bool]:
    return matcher(query)
