"""This module is where users move old operations into an archive of Parquet files, and read both as one."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from aicore_obs import plugins
from aicore_obs.addresses import address_of
from aicore_obs.model.archive import Archived
from aicore_obs.model.filter import time_of
from aicore_obs.model.ids import utc_now
from aicore_obs.pipeline.portal import run_apart
from aicore_obs.protocols import Address, StoreOptions
from aicore_obs.reading import NOBODY, ask, flush_writers_to, place_to_read
from aicore_obs.settings import from_environment, parse_age

if TYPE_CHECKING:
    import polars as pl

# Called with what is being done ("archiving", "deleting") and the number of operations done.
Tell = Callable[[str, int], object]
_MOVED = "aicore_obs.stores.archive.moving:moved"
_MOVE = "aicore_obs.stores.archive.moving:Move"
_AGE = re.compile(r"\d+[a-z]")
# Years: whoever waits may stop it at any moment, and run it again.
_NO_DEADLINE_S = 1e8


def archive(
    store: Address | str | Path | None = None,
    *,
    before: date | datetime | str,
    to: str | Path,
    tell: Tell | None = None,
) -> Archived:
    """Move the operations of before a time into a directory of Parquet files, and return the receipt.

    An operation goes with its request and response, its flags and scores and every revision of its cost. It leaves the
    store when the file that has it was written, read back and found to be the same by count and checksum. May be
    stopped at any moment and run again: nothing is lost, and :func:`scan` shows nothing twice. Programs may go on
    writing and reading.

    Args:
        store: an address, URL or path; None: the database that is open in this process, else ``AICORE_OBS_DB_URL``,
            else ``./aicore_obs.db``. What collectors of this process have accepted for it is in it first.
        before: a date, a time, or text of one; or an age such as ``"90d"``.
        to: the directory; made where there is none. An archive belongs to one store, and grows with every run.
        tell: called with what is being done (``"archiving"``, ``"deleting"``) and the number of operations done.

    Raises:
        FilterError: ``before`` is no time.
        ConfigurationError: the directory is the archive of another store, or none can be there.
        StoreError: there is no store, it says no, or a file is not what was written; nothing is lost then.
    """
    place = _place(store)
    move = plugins.load(_MOVE)(
        store=place.name,
        before=before_of(before),
        to=Path(to).expanduser().absolute(),
        file_mode=from_environment().file_mode,
        tell=tell or (lambda _words, _done: None),
    )
    flush_writers_to(place)
    origin, pruner = plugins.origin(place), plugins.pruner(place)

    async def work() -> Archived:
        size = await pruner.total_bytes()
        found: Archived = await plugins.load(_MOVED)(lambda: plugins.reader(place), origin, move)
        notes = await pruner.give_back(all_of_it=False) if found.deleted else ()
        return msgspec.structs.replace(
            found, bytes_before=size, bytes_after=await pruner.total_bytes(), notes=(*found.notes, *notes)
        )

    return run_apart(work, _NO_DEADLINE_S)


def scan(
    store: Address | str | Path | None = None, *, archive: str | Path | None = None, **filters: Any
) -> pl.LazyFrame:
    """Return the operations of a store, and of an archive of it, as one lazy frame.

    What Polars asks for is pushed down: columns and predicates into the store's SQL and into the archive's files, of
    which those of other times are not opened. Rows come in the order of their times.

    Args:
        store: as for :func:`archive`.
        archive: the directory that :func:`archive` was given; None: the store alone.
        **filters: as in :meth:`LlmOperationCollector.polars_from_db`.

    Raises:
        FilterError: a filter name or value that does not exist.
        StoreError: there is no store or no archive, or they cannot be read.
    """
    where = None if archive is None else Path(archive).expanduser().absolute()
    return cast("pl.LazyFrame", ask("aicore_obs.query.scan:scan", _place(store), filters, archive=where))


def _place(store: Address | str | Path | None) -> Address:
    if isinstance(store, Address):
        return store
    return place_to_read(NOBODY) if store is None else address_of(str(store), StoreOptions())


def before_of(value: date | datetime | str) -> datetime:
    """Return the time that is meant by a date, a time or an age; raises as :func:`archive` does."""
    if isinstance(value, str) and _AGE.fullmatch(value):
        return utc_now() - parse_age("before", value)
    return time_of("before", value)
