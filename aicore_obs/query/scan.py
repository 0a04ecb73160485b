"""This module is where a store becomes a lazy frame: what Polars asks for goes into the store's own query.

Columns, limit and what a store understands of the predicate are pushed down; all of the predicate is tried on each
batch, before anything is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

import msgspec
import polars as pl
from polars.io.plugins import register_io_source

from aicore_obs import plugins
from aicore_obs.model.filter import Filter
from aicore_obs.protocols import Address, Frames
from aicore_obs.query.mirrored import Mirrored
from aicore_obs.query.predicates import read_predicate
from aicore_obs.query.reader import NotYetWritten, columns_of, open_frames, open_reader
from aicore_obs.settings import from_environment

# Few, since Polars stops asking when it has enough: the first five rows of 200,000 with all columns, after a predicate,
# came in 0.35 s, by batches of 50,000 in 9.9 s. Reading everything takes no longer for it.
BATCH_ROWS = 2_000


class From(TypedDict, total=False):
    """Where rows may come from beside the store itself."""

    mirror: bool | None
    archive: Path | None


def scan(
    address: Address,
    filters: Mapping[str, Any],
    *,
    before: Callable[[], object] | None = None,
    is_ours: bool = False,
    also: Sequence[str] = (),
    **beside: Unpack[From],
) -> pl.LazyFrame:
    """Return the operations of one store that match, as a lazy frame; see :func:`~aicore_obs.query.reader.read_frame`.

    The schema is fixed here; the rows are those that are there when the frame is collected. ``before`` is called at
    both moments. ``mirror``: whether a local mirror of the database answers what it can; None: ``AICORE_OBS_MIRROR``
    says it of databases. ``also`` names stored text that a frame does not have by itself, such as ``cost_lines``.
    ``archive`` is the directory of an archive of the store: both are read as one, and no mirror.

    Raises:
        ConfigurationError: ``mirror`` is True for a store that has none.
    """
    query = Filter.of(**filters)
    source = _source(address, query, before, is_ours=is_ours, **beside)
    full = source.schema()
    schema = {name: full[name] for name in columns_of(query)} | dict.fromkeys(also, pl.String())
    return register_io_source(source.batches, schema=schema, explain_name="aicore_obs", explain_detail=address.name)


def _source(
    address: Address,
    query: Filter,
    before: Callable[[], object] | None,
    *,
    is_ours: bool,
    mirror: bool | None = None,
    archive: Path | None = None,
) -> _Source:
    if archive is not None:
        return _Source(open_frames(address, is_ours=is_ours, archive=archive), query, before, None)
    is_mirrored = from_environment().mirror and plugins.has_mirror(address) if mirror is None else mirror
    reader = open_reader(address, mirrored=is_mirrored)
    mirrored = Mirrored(address, reader) if is_mirrored else None
    return _Source(NotYetWritten(reader) if is_ours else reader, query, before, mirrored)


class _Source:
    """One store and one filter, as Polars' IO-source plugin calls it."""

    def __init__(
        self, reader: Frames, query: Filter, before: Callable[[], object] | None, mirrored: Mirrored | None
    ) -> None:
        self._reader = reader
        self._mirrored = mirrored
        self._query = query
        self._before = before

    def schema(self) -> dict[str, pl.DataType]:
        self._flush()
        return self._reader.schema()

    def batches(
        self, columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        """Yield the batches of one collect. Polars means ``n_rows`` to be taken before the predicate is tried."""
        self._flush()
        wanted = columns_of(self._query) if columns is None else tuple(columns)
        tried = () if predicate is None else predicate.meta.root_names()
        needed = tuple(dict.fromkeys((*wanted, *tried)))
        query = _limited(self._query, n_rows)
        if self._mirrored is not None:
            frames = self._mirrored.frames(query, needed, predicate, self._reader.schema())
            if frames is not None:
                yield from (frame.select(wanted) for frame in frames)
                return
        rows = min(batch_size or BATCH_ROWS, BATCH_ROWS)
        if predicate is not None and query.limit is None:
            query = msgspec.structs.replace(query, where=read_predicate(predicate, self._reader.schema()))
        for batch in self._reader.batches(query, needed, batch_rows=rows):
            yield batch if predicate is None else batch.filter(predicate).select(wanted)

    def _flush(self) -> None:
        if self._before is not None:
            self._before()


def _limited(query: Filter, n_rows: int | None) -> Filter:
    limits = [limit for limit in (query.limit, n_rows) if limit is not None]
    return msgspec.structs.replace(query, limit=min(limits, default=None))
