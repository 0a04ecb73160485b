"""This module is where operations move from a store into an archive: written, read back, named, and only then deleted.

Every step may be the last. Until the manifest names a file, its operations are in the store and the file counts for
nothing; from then on they are in both, which readers count once; what is left in the store then, the next run deletes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl

from aicore_obs.errors import ConfigurationError
from aicore_obs.model.archive import Archive, Archived, Given
from aicore_obs.model.filter import Filter
from aicore_obs.model.ids import new_id, utc_now
from aicore_obs.model.record import Record
from aicore_obs.protocols import Archivable, Origin, Reader
from aicore_obs.stores.archive import files as written
from aicore_obs.stores.archive import manifest as manifests
from aicore_obs.stores.archive.columns import ASKED, records_in, to_file
from aicore_obs.stores.archive.manifest import File, Manifest
from aicore_obs.stores.archive.rows import batches, holders_of, ids_in, scanned
from aicore_obs.stores.said import spoken_of

# Called with what is being done (WRITING, DELETING) and the number of operations done.
Tell = Callable[[str, int], object]
WRITING, DELETING = "archiving", "deleting"
READ_ROWS = 2_000
# What one transaction deletes: tens of milliseconds.
GIVEN_ROWS = 500
# Earlier than any revision of a cost: operations are read with the costs that were recorded with them.
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """What is to move: the operations of before a time, out of a store that is called so, into a directory."""

    store: str
    before: datetime
    to: Path
    file_mode: int
    tell: Tell


async def moved(read: Callable[[], Reader], origin: Origin, move: Move) -> Archived:
    """Move operations into an archive and return the receipt; ``read`` returns a new reader of the store.

    See :func:`aicore_obs.archive`.

    Raises:
        ConfigurationError: the directory is the archive of another store, or none can be there.
        StoreError: somebody archives into it now, a file is not what was written, or the store says no.
    """
    # Asked before the directory is made: where there is no store, there is none to be.
    await origin.archives()
    with manifests.locked(move.to, file_mode=move.file_mode):
        manifest = await _known(origin, move)
        written.remove_strays(move.to, frozenset(file.path for file in manifest.files))
        run = _Run(move, manifest)
        run.write(read())
        # All keys of the store, so that frames of both have the columns that frames of the store had; and now, when
        # the store has everything still that was written.
        run.keep_keys(read())
        deleted = await origin.give(run.given(), lambda done: move.tell(DELETING, done))
    return Archived(
        store=move.store,
        path=str(move.to),
        before=move.before,
        operations=sum(file.rows for file in run.new),
        files=len(run.new),
        size_bytes=sum(file.size_bytes for file in run.new),
        deleted=deleted,
    )


async def _known(origin: Origin, move: Move) -> Manifest:
    """Return the manifest, made where there is none, after the store was told of its archive."""
    location = str(move.to).encode("utf-8", "backslashreplace").decode()
    archives = await origin.archives()
    found = manifests.look(move.to)
    if found is not None and found.id not in {one.id for one in archives}:
        raise ConfigurationError(
            f"{move.to} is the archive of {found.store}, and {move.store} does not know it; name another directory"
        )
    here = next((one for one in archives if one.location == location), None)
    archive_id = found.id if found is not None else here.id if here is not None else new_id()
    known = next((one for one in archives if one.id == archive_id), None)
    await origin.keep(
        Archive(
            id=archive_id,
            timestamp=utc_now() if known is None else known.timestamp,
            location=location,
            before=move.before if known is None else max(move.before, known.before),
        )
    )
    manifest = found or Manifest(id=archive_id, store=move.store)
    if found is None:
        manifests.write(move.to, manifest, file_mode=move.file_mode)
    return manifest


class _Run:
    """One archiving at work."""

    def __init__(self, move: Move, manifest: Manifest) -> None:
        self._move = move
        self._manifest = manifest
        self._done = 0
        self.new: list[File] = []
        # File of an earlier run → ids of operations that are still, or again, in the store.
        self._found: dict[str, list[pl.Series]] = {}

    def write(self, reader: Reader) -> None:
        """Write what the archive does not have, and note what it has."""
        query = Filter(end=self._move.before, end_exclusive=True, cost_as_of=_BEFORE_ALL)
        frames = self._not_archived(reader.batches(query, ASKED, batch_rows=READ_ROWS))
        for month, rows in written.parts_of(frames):
            file = written.write(self._move.to, month, rows, self._move.before, file_mode=self._move.file_mode)
            self._keep(self._manifest.with_file(file))
            self.new.append(file)

    def keep_keys(self, reader: Reader) -> None:
        """Keep the keys of labels and extras that the store has."""
        if not isinstance(reader, Archivable):
            raise ConfigurationError(f"{self._move.store}: this store cannot be archived")
        self._keep(self._manifest.with_keys(reader.catalogue()))

    def _keep(self, manifest: Manifest) -> None:
        self._manifest = manifest
        manifests.write(self._move.to, manifest, file_mode=self._move.file_mode)

    def _not_archived(self, frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        earlier = self._manifest
        for frame in frames:
            rest = frame
            if earlier.files:
                for file, ids in holders_of(self._move.to, earlier, frame.select("operation_id", "timestamp")):
                    self._found.setdefault(file.path, []).append(ids)
                    rest = rest.filter(~pl.col("operation_id").is_in(ids.implode()))
            self._done += frame.height
            if rest.height:
                yield to_file(rest)
            self._move.tell(WRITING, self._done)

    def given(self) -> Iterator[Given]:
        """Yield what the store may let go: what files that were read back hold."""
        for file in self._manifest.files:
            is_new = file in self.new
            if not is_new and file.path not in self._found:
                continue
            lazy = scanned(self._move.to, file).select("operation_id", "records")
            here = frozenset(ids_in(self._move.to, file))
            if not is_new:
                manifests.check(self._move.to, file)
                lazy = lazy.filter(pl.col("operation_id").is_in(pl.concat(self._found[file.path]).implode()))
            for frame in batches(self._move.to, file, lazy, batch_rows=GIVEN_ROWS):
                yield self._part(frame, here)

    def _part(self, frame: pl.DataFrame, here: frozenset[str]) -> Given:
        said = {record.id: record for text in frame["records"] for record in records_in(text)}
        shared = {one: record for one, record in said.items() if not here.issuperset(spoken_of(record))}
        kept = self._still_needed(shared)
        return Given(
            operation_ids=tuple(frame["operation_id"]),
            said=tuple(said),
            records=tuple(one for one in said if one not in kept),
        )

    def _still_needed(self, shared: dict[str, Record]) -> set[str]:
        """Return the records that speak of an operation that is not archived: flags speak of several."""
        if not shared:
            return set()
        ids = sorted({one for record in shared.values() for one in spoken_of(record)})
        others = pl.LazyFrame({"operation_id": ids})
        archived: set[str] = set()
        for file in self._manifest.files:
            archived.update(ids_in(self._move.to, file, others))
        return {one for one, record in shared.items() if not archived.issuperset(spoken_of(record))}
