"""This module is where it is defined what a store knows of its archives, what it gives to one, and what came of it."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """An archive as its store knows it: ``location`` is its directory, its operations are of before ``before``."""

    id: str
    timestamp: datetime
    location: str
    before: datetime


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a store gives away at once: operations by id, and what is archived with them.

    ``said`` are the records (flags, costs, scores) that speak of them; of these ``records`` may be deleted, since no
    operation that is still in a store needs them.
    """

    operation_ids: tuple[str, ...]
    said: tuple[str, ...]
    records: tuple[str, ...]


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """The receipt of an archiving.

    ``path`` is the archive's directory. ``operations`` were written and verified, into ``files`` of ``size_bytes``;
    ``deleted`` have left the store: more, when an earlier run was stopped before its operations had left.
    ``bytes_before`` and ``bytes_after`` are the store's; None where it does not tell.
    """

    store: str
    path: str
    before: datetime
    operations: int = 0
    files: int = 0
    size_bytes: int = 0
    deleted: int = 0
    bytes_before: int | None = None
    bytes_after: int | None = None
    notes: tuple[str, ...] = ()
