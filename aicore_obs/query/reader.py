"""This module is where a frame is read: filters checked, waiting records flushed, batches put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import polars as pl

from aicore_obs import plugins
from aicore_obs.derivation import read_text
from aicore_obs.errors import ConfigurationError, StoreNotFoundError
from aicore_obs.model.cost import CostSum, no_costs
from aicore_obs.model.filter import Filter
from aicore_obs.model.frame_columns import FRAME_COLUMNS
from aicore_obs.model.ids import utc_now
from aicore_obs.model.record import Record
from aicore_obs.protocols import Address, Archivable, Frames, Reader

BATCH_ROWS = 50_000


@runtime_checkable
class ReadsText(Protocol):
    """A reader that makes the column ``response_text`` with this function (provider, response → text)."""

    read_text: Callable[[str | None, bytes], str | None]


def read_frame(
    address: Address,
    filters: Mapping[str, Any],
    *,
    before: Callable[[], object] | None = None,
    is_ours: bool = False,
) -> pl.DataFrame:
    """Read the operations of one store that match.

    Args:
        address: where the store is.
        filters: see :class:`~aicore_obs.model.filter.Filter`.
        before: called before anything is read; flushes the collectors of this process.
        is_ours: a collector of this process writes there; where it has not written yet, the frame is empty.

    Raises:
        FilterError: a filter name or value that does not exist.
        StoreNotFoundError: there is no store.
    """
    query = Filter.of(**filters)
    reader = open_reader(address, is_ours=is_ours)
    if before is not None:
        before()
    columns = columns_of(query)
    batches = list(reader.batches(query, columns, batch_rows=BATCH_ROWS))
    if not batches:
        schema = reader.schema()
        return pl.DataFrame(schema={name: schema[name] for name in columns})
    return pl.concat(batches)


def open_reader(address: Address, *, is_ours: bool = False, mirrored: bool = False) -> Reader:
    """Return the reader of a store; it opens nothing yet.

    ``is_ours``: what is not there yet reads as empty. ``mirrored``: a database that can have a mirror.
    """
    reader = plugins.reader(address, mirrored=mirrored)
    if isinstance(reader, ReadsText):
        reader.read_text = read_text
    return NotYetWritten(reader) if is_ours else reader


def open_frames(address: Address, *, is_ours: bool = False, archive: Path | None = None) -> Frames:
    """Return the reader of frames of a store, or of the store and an archive of it as one."""
    store = open_reader(address, is_ours=is_ours)
    if archive is None:
        return store
    both = plugins.load("aicore_obs.stores.archive.reader:ReaderWithArchive")
    return cast("Frames", both(store, archive, read_text=read_text))


class NotYetWritten:
    """A reader of a store that a collector of this process will write, and may not have written yet."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def schema(self) -> dict[str, pl.DataType]:
        try:
            return self._reader.schema()
        except StoreNotFoundError:
            return cast("dict[str, pl.DataType]", plugins.load("aicore_obs.stores.frame:empty_schema")())

    def batches(self, query: Filter, columns: Sequence[str], *, batch_rows: int) -> Iterator[pl.DataFrame]:
        with suppress(StoreNotFoundError):
            yield from self._reader.batches(query, columns, batch_rows=batch_rows)

    def costs(self, query: Filter, *, batch_rows: int) -> Iterator[pl.DataFrame]:
        with suppress(StoreNotFoundError):
            yield from self._reader.costs(query, batch_rows=batch_rows)

    def catalogue(self) -> Mapping[str, Mapping[str, frozenset[str]]]:
        with suppress(StoreNotFoundError):
            return self._archivable().catalogue()
        return cast("Mapping[str, Mapping[str, frozenset[str]]]", plugins.load("aicore_obs.stores.catalogue:EMPTY"))

    def said(self, until: datetime) -> Iterator[Record]:
        with suppress(StoreNotFoundError):
            yield from self._archivable().said(until)

    def _archivable(self) -> Archivable:
        if not isinstance(self._reader, Archivable):
            raise ConfigurationError("this store cannot be read beside an archive")
        return self._reader

    def cost_sum(self, query: Filter) -> CostSum:
        as_of = utc_now()
        try:
            return self._reader.cost_sum(query)
        except StoreNotFoundError:
            return no_costs(as_of)


def columns_of(query: Filter) -> tuple[str, ...]:
    """Return the columns that a filter asks for, each once."""
    return tuple(dict.fromkeys(FRAME_COLUMNS if query.columns is None else query.columns))
