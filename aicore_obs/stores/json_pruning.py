"""This module is where operations, or their content, go from a JSON file: it is written anew under its lock, at once.

Who reads the file meanwhile goes on reading the old one; who waits to write writes into the new one. Lines that are
damaged, or a newer program's, are copied as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import anyio.to_thread
import msgspec

from aicore_obs.errors import SinkUnavailable, StoreError, StoreNotFoundError
from aicore_obs.model import codec
from aicore_obs.model.deletion import Deletion, Pruned, without_content
from aicore_obs.model.events import CostRevision, Flag, Score
from aicore_obs.model.filter import Filter
from aicore_obs.model.operation import Operation
from aicore_obs.model.record import Record
from aicore_obs.protocols import Address
from aicore_obs.stores.json_deletions import keep_beside, replace
from aicore_obs.stores.json_elements import Snapshot
from aicore_obs.stores.json_file import TORN_SUFFIX, JsonFile
from aicore_obs.stores.json_found import Found
from aicore_obs.stores.matching import header_matcher

Tell = Callable[[int], object]


class JsonPruner:
    """Deletes from one JSON array or JSON lines file."""

    def __init__(self, address: Address) -> None:
        if address.path is None:
            raise ValueError(f"{address.name}: a JSON store has a path")
        self._address = address
        self._path: Path = address.path

    async def count(self, query: Filter, *, content_only: bool) -> Pruned:
        """Return what would go; nothing is changed."""
        return await anyio.to_thread.run_sync(self._count, query, content_only)

    async def delete(self, deletion: Deletion, tell: Tell) -> Pruned:
        """Say what goes, and let it go."""
        found = await anyio.to_thread.run_sync(self._delete, deletion)
        tell(found.operations)
        return found

    async def oldest(self, query: Filter, rows: int, *, content_only: bool) -> Any | None:  # noqa: ARG002
        """Return nothing: a file has no cap, since it is written anew as a whole."""
        return None

    async def used_bytes(self) -> int | None:
        """Return nothing: a file has no cap."""
        return None

    async def total_bytes(self) -> int | None:
        """Return the size of the file."""
        return self._path.stat().st_size if self._path.exists() else None

    async def give_back(self, *, all_of_it: bool) -> tuple[str, ...]:  # noqa: ARG002 - a duty of pruners
        """Return what is left beside the file; its space is given back already."""
        torn = self._path.with_name(self._path.name + TORN_SUFFIX)
        return (f"{torn} has torn pieces of records, which nobody can tell apart",) if torn.exists() else ()

    def _count(self, query: Filter, content_only: bool) -> Pruned:
        with opened(self._address) as snapshot:
            # No deletion is younger: everything that matches counts.
            nothing = Deletion(id="~", timestamp=_found(snapshot, query).as_of, filter={}, content_only=content_only)
            changes = _Changes(nothing, query, _ids(snapshot, query))
            for _ in changes.lines(snapshot):
                pass
            # Records of other kinds are counted as they go, as in the databases.
            return msgspec.structs.replace(changes.counts, records=0)

    def _delete(self, deletion: Deletion) -> Pruned:
        query = msgspec.structs.replace(deletion.query, id_below=deletion.id)
        options = self._address.options
        with opened(self._address) as snapshot:
            changes = _Changes(deletion, query, _ids(snapshot, query))
            if deletion.by_id:
                deletion = msgspec.structs.replace(deletion, operation_ids=tuple(sorted(changes.ids)))
            keep_beside(self._path, deletion, file_mode=options.file_mode)
            written(self._address, changes.lines(snapshot))
        return changes.counts


@contextmanager
def opened(address: Address) -> Iterator[Snapshot]:
    """Keep everybody else out of a file that is there, for a block.

    Raises:
        StoreNotFoundError: there is no file.
        StoreError: it is no file of ours, or somebody holds its lock for too long.
    """
    if address.path is None or not address.path.exists():
        raise StoreNotFoundError(f"there is no file {address.path}; nothing is deleted")
    try:
        with JsonFile(address).whole() as fd, os.fdopen(os.dup(fd), "rb") as file:
            yield _snapshot(file)
    except SinkUnavailable as error:
        raise StoreError(str(error)) from error


def written(address: Address, lines: Iterable[bytes]) -> None:
    """Write these elements in the place of a file that is :func:`opened`."""
    if address.path is not None:
        text = _array(lines) if address.kind == "json" else (line + b"\n" for line in lines)
        replace(address.path, text, file_mode=address.options.file_mode)


def _snapshot(file: BinaryIO) -> Snapshot:
    return Snapshot(file, b"", length=file.seek(0, os.SEEK_END))


def _found(snapshot: Snapshot, query: Filter) -> Found:
    found = Found(query)
    for place, record in snapshot.elements():
        if isinstance(record, Record):
            found.add(place, record)
    found.settle()
    return found


def _ids(snapshot: Snapshot, query: Filter) -> frozenset[str]:
    return frozenset(note.key[1] for note in _found(snapshot, query).notes)


class _Changes:
    """What becomes of each element of a file."""

    def __init__(self, deletion: Deletion, query: Filter, ids: frozenset[str]) -> None:
        self._content_only = deletion.content_only
        self._before = deletion.id
        self._headers = header_matcher(query) if deletion.by_header and not deletion.content_only else None
        self.ids = ids
        # One that has several versions is one operation.
        self._counted_ids: set[str] = set()
        self.counts = Pruned(content_only=deletion.content_only)

    def lines(self, snapshot: Snapshot) -> Iterator[bytes]:
        """Yield the elements that stay, and count what goes."""
        for place, record in snapshot.elements():
            changed = self._changed(record) if isinstance(record, Record) else record
            if isinstance(record, Record) and changed is None:
                continue
            if isinstance(changed, Record) and changed is not record:
                yield codec.encode(changed)
            else:
                yield snapshot.read(*place)

    def _changed(self, record: Record) -> Record | None:
        if isinstance(record, Operation):
            return self._operation(record) if record.id in self.ids else record
        if self._content_only:
            return record
        if isinstance(record, CostRevision):
            return self._counted(record.operation_id in self.ids, record, cost_revisions=1, records=1)
        if isinstance(record, Score):
            return self._counted(record.operation_id in self.ids, record, scores=1, records=1)
        if isinstance(record, Flag):
            return self._flag(record)
        is_gone = self._headers is not None and record.id < self._before and self._headers(record)
        return self._counted(is_gone, record, records=1)

    def _operation(self, operation: Operation) -> Operation | None:
        bodies = [one for one in (operation.completion_args, operation.response) if one is not msgspec.UNSET]
        bare = without_content(operation)
        if self._content_only and bare == operation:
            return operation
        is_first = operation.id not in self._counted_ids
        self._counted_ids.add(operation.id)
        size = sum(len(bytes(one)) for one in bodies)
        self._count(operations=int(is_first), payloads=len(bodies), payload_bytes=size)
        return bare if self._content_only else None

    def _flag(self, flag: Flag) -> Flag | None:
        kept = tuple(one for one in flag.operation_ids if one not in self.ids)
        gone = len(flag.operation_ids) - len(kept)
        self._count(flags=gone, records=0 if kept or not gone else 1)
        return flag if not gone else msgspec.structs.replace(flag, operation_ids=kept) if kept else None

    def _counted(self, is_gone: bool, record: Record, **counts: int) -> Record | None:
        if is_gone:
            self._count(**counts)
        return None if is_gone else record

    def _count(self, **counts: int) -> None:
        values: dict[str, Any] = {name: getattr(self.counts, name) + count for name, count in counts.items()}
        self.counts = msgspec.structs.replace(self.counts, **values)


def _array(lines: Iterable[bytes]) -> Iterator[bytes]:
    yield b"["
    for number, line in enumerate(lines):
        yield (b",\n" if number else b"\n") + line
    yield b"\n]\n"
