"""This module is where a store and its archive are read as one.

What is in both counts once: the operation of the archive, with what the archive and the store have to say of it. So it
does not matter how far an archiving came, or whether an operation was brought into the store once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import msgspec
import polars as pl

from aicore_obs.errors import ConfigurationError
from aicore_obs.model.filter import Filter
from aicore_obs.protocols import Archivable, Frames
from aicore_obs.stores.archive import manifest as manifests
from aicore_obs.stores.archive.columns import columns_for, raw_of
from aicore_obs.stores.archive.folding import Folding, Said, by_operation
from aicore_obs.stores.archive.manifest import File, Manifest
from aicore_obs.stores.archive.merging import KEY, Strand, merged
from aicore_obs.stores.archive.rows import batches, bounds_of, holders_of, pushed, scanned
from aicore_obs.stores.catalogue import FIELDS
from aicore_obs.stores.frame import JSON_TEXTS, ReadText, Shape, no_text, raw_columns
from aicore_obs.stores.structs import to_struct

_TEXTS = {field: name for name, field in JSON_TEXTS.items()}


class ReaderWithArchive:
    """Reads one store and one archive of it.

    Raises:
        ConfigurationError: a store that has no archive.
    """

    def __init__(self, store: Frames, archive: Path, *, read_text: ReadText = no_text) -> None:
        if not isinstance(store, Archivable):
            raise ConfigurationError(f"{archive}: this store cannot be read beside an archive")
        self._store = store
        self._said = store.said
        self._keys_of_store = store.catalogue
        self._archive = archive
        self.read_text = read_text
        self._shape: Shape | None = None

    def schema(self) -> dict[str, pl.DataType]:
        return self._shape_of_both().schema

    def batches(self, query: Filter, columns: Sequence[str], *, batch_rows: int) -> Iterator[pl.DataFrame]:
        """Yield what matches in both; see :meth:`aicore_obs.protocols.Frames.batches`."""
        wanted = tuple(dict.fromkeys((*columns, *KEY)))
        # How many of the store's are in the archive too is known only when they are here.
        whole = msgspec.structs.replace(query, limit=None, offset=0)
        question = _Question(whole, wanted, batch_rows, self._shape_of_both())
        for frame in _limited(self._rows(question), query):
            yield frame.select(columns)

    def _rows(self, question: _Question) -> Iterator[pl.DataFrame]:
        # The store is looked at first, and the manifest after: what leaves the store in between is in both.
        frames = question.of_store(self._store)
        first = next(frames, None)
        manifest = manifests.read(self._archive)
        falling = question.query.order == "desc"
        strands = list(self._strands(question, manifest))
        if first is not None and first.height:
            stored = self._only_stored(manifest, chain([first], frames))
            strands.append(Strand(first[KEY[0]][0], lambda: stored))
        yield from merged(strands, falling=falling)

    def _strands(self, question: _Question, manifest: Manifest) -> Iterator[Strand]:
        files = manifest.within(*bounds_of(question.query))
        said = self._said_since(question, manifest) if files else {}
        for group in _one_after_the_other(files, falling=question.query.order == "desc"):
            start = group[0].last if question.query.order == "desc" else group[0].first
            yield Strand(start, partial(question.of_files, self._archive, group, said))

    def _said_since(self, question: _Question, manifest: Manifest) -> Said:
        if manifest.last is None or not question.folding.asks_store:
            return {}
        return by_operation(self._said(manifest.last))

    def _only_stored(self, manifest: Manifest, frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        for frame in frames:
            near = frame if manifest.last is None else frame.filter(pl.col(KEY[0]) <= manifest.last)
            if manifest.last is not None and near.height:
                for _, ids in holders_of(self._archive, manifest, near.select(KEY)):
                    frame = frame.filter(~pl.col(KEY[1]).is_in(ids.implode()))
            yield frame

    def _shape_of_both(self) -> Shape:
        # Kept, so that all frames of one reader have one schema.
        if self._shape is None:
            keys = manifests.united(manifests.read(self._archive).catalogue, self._keys_of_store())
            self._shape = Shape(keys, read_text=self.read_text)
        return self._shape


class _Question:
    """One filter and the columns that are wanted, asked of the store and of files alike."""

    def __init__(self, query: Filter, columns: Sequence[str], batch_rows: int, shape: Shape) -> None:
        self.query = query
        self._columns = columns
        self._batch_rows = batch_rows
        self._shape = shape
        self._raw = raw_columns(columns)
        self.folding = Folding(query, self._raw)

    def of_store(self, store: Frames) -> Iterator[pl.DataFrame]:
        """Yield the store's rows, ``labels`` and ``extras`` with the keys of both."""
        asked = tuple(_TEXTS.get(name, name) for name in self._columns)
        for frame in store.batches(self.query, tuple(dict.fromkeys(asked)), batch_rows=self._batch_rows):
            yield pl.DataFrame([self._with_all_keys(frame, name) for name in self._columns])

    def _with_all_keys(self, frame: pl.DataFrame, name: str) -> pl.Series:
        if name not in FIELDS:
            return frame[name]
        return to_struct(frame[_TEXTS[name]].alias(name), self._shape.catalogue[name])

    def of_files(self, archive: Path, files: Sequence[File], said: Said) -> Iterator[pl.DataFrame]:
        """Yield the rows of files, one file after the other."""
        needed = self.folding.columns(with_said=bool(said))
        columns = tuple(dict.fromkeys((*columns_for(self._raw), *needed)))
        conditions = list(pushed(self.query, with_costs=not said and self.query.cost_as_of is None))
        for file in files:
            lazy = scanned(archive, file)
            chosen = (lazy.filter(*conditions) if conditions else lazy).select(
                one for one in columns if one not in ("flags", "scores")
            )
            ordered = chosen.reverse() if self.query.order == "desc" else chosen
            for frame in batches(archive, file, ordered, batch_rows=self._batch_rows):
                yield self._shape.frame(raw_of(self.folding.folded(frame, said)), self._columns)


def _one_after_the_other(files: Sequence[File], *, falling: bool) -> list[list[File]]:
    """Return files in as few groups as it takes that in none of them two reach into each other's time."""
    groups: list[list[File]] = []
    for file in sorted(files, key=lambda one: one.last if falling else one.first, reverse=falling):
        fitting = next((group for group in groups if _is_after(file, group[-1], falling=falling)), None)
        if fitting is None:
            groups.append([file])
        else:
            fitting.append(file)
    return groups


def _is_after(file: File, other: File, *, falling: bool) -> bool:
    """Return whether all rows of a file come after those of another; files that meet in one moment do not."""
    return file.last < other.first if falling else file.first > other.last


def _limited(frames: Iterator[pl.DataFrame], query: Filter) -> Iterator[pl.DataFrame]:
    skip, room = query.offset, query.limit
    for frame in frames:
        kept, skip = frame[skip:], max(0, skip - frame.height)
        if room is not None:
            kept = kept[:room]
            room -= kept.height
        if kept.height:
            yield kept
        if room == 0:
            return
