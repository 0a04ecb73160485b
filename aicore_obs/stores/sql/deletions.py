"""This module is where writers of the SQL stores ask what was deleted, inside the transaction that writes a batch.

Most batches are younger than every deletion, and then the answer is empty.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec

from aicore_obs.model.deletion import Deletion
from aicore_obs.model.escape import unescape_json
from aicore_obs.model.ids import from_microseconds
from aicore_obs.protocols import Batch
from aicore_obs.stores.deleted import operations_of, without_deleted
from aicore_obs.stores.sql.statements import Statements

Fetch = Callable[[str, str], Awaitable[Iterable[Any]]]


async def still_wanted(name: str, batch: Batch, statements: Statements, fetch: Fetch) -> Batch:
    """Return a batch without what was deleted; ``fetch`` runs a statement with one value and returns its rows."""
    oldest = min((record.id for record in batch.records), default=None)
    if oldest is None:
        return batch
    deletions = [deletion_of(row) for row in await fetch(statements.deletions, oldest)]
    if not deletions:
        return batch
    ids: dict[str, set[str]] = {}
    if any(one.by_id for one in deletions):
        spoken_of = msgspec.json.encode(operations_of(batch.records)).decode()
        for deletion_id, operation_id in await fetch(statements.deleted, spoken_of):
            ids.setdefault(str(deletion_id), set()).add(str(operation_id))
    return without_deleted(name, batch, deletions, ids)


def deletion_of(row: Sequence[Any]) -> Deletion:
    """Return the deletion of a row: id, time, filter, content only, author."""
    record_id, when, values, content_only, author = row
    if isinstance(when, int):
        return Deletion(
            id=record_id,
            timestamp=from_microseconds(when),
            filter=msgspec.json.decode(values),
            content_only=bool(content_only),
            author=author,
        )
    # PostgreSQL: JSON comes as text, or through SQLAlchemy as what it says.
    text = values if isinstance(values, str) else msgspec.json.encode(values).decode()
    plain = msgspec.json.decode(unescape_json(text))
    return Deletion(id=str(record_id), timestamp=when, filter=plain, content_only=content_only, author=author)
