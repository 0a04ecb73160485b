"""This module is where operations leave a JSON file for an archive: the file is written anew under its lock, at once.

Which archives there are is kept beside it, in ``<file>.archives``, one JSON line each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import anyio.to_thread
import msgspec

from aicore_obs.errors import StoreDamagedError, StoreNotFoundError
from aicore_obs.model.archive import Archive, Given
from aicore_obs.model.operation import Operation
from aicore_obs.model.record import Record
from aicore_obs.protocols import Address
from aicore_obs.stores.json_deletions import ARCHIVES_SUFFIX, replace
from aicore_obs.stores.json_elements import Snapshot
from aicore_obs.stores.json_pruning import opened, written

_line = msgspec.json.Decoder(Archive)


class JsonOrigin:
    """Gives operations of one JSON array or JSON lines file away."""

    def __init__(self, address: Address) -> None:
        if address.path is None:
            raise ValueError(f"{address.name}: a JSON store has a path")
        self._address = address
        self._beside: Path = address.path.with_name(address.path.name + ARCHIVES_SUFFIX)

    async def archives(self) -> tuple[Archive, ...]:
        """Return the archives that are named beside the file."""
        return await anyio.to_thread.run_sync(self._archives)

    async def keep(self, archive: Archive) -> None:
        """Keep beside the file that there is this archive."""
        await anyio.to_thread.run_sync(self._keep, archive)

    async def give(self, parts: Iterable[Given], tell: Callable[[int], object]) -> int:
        """Let what the parts name go, all of them at once."""
        named = list(parts)
        gone = await anyio.to_thread.run_sync(self._give, named) if named else 0
        tell(sum(len(part.operation_ids) for part in named))
        return gone

    def _archives(self) -> tuple[Archive, ...]:
        if self._address.path is None or not self._address.path.exists():
            raise StoreNotFoundError(f"there is no file {self._address.path}; nothing is archived")
        try:
            lines = self._beside.read_bytes().splitlines()
            return tuple(sorted((_line.decode(line) for line in lines), key=lambda one: one.id))
        except FileNotFoundError:
            return ()
        except msgspec.DecodeError as error:
            raise StoreDamagedError(f"{self._beside} cannot be read ({error}); restore it or remove it") from error

    def _keep(self, archive: Archive) -> None:
        # Under the file's lock, so that two who archive at once do not forget each other.
        with opened(self._address):
            kept = [one for one in self._archives() if one.id != archive.id]
            lines = [msgspec.json.encode(one) + b"\n" for one in (*kept, archive)]
            replace(self._beside, lines, file_mode=self._address.options.file_mode)

    def _give(self, parts: list[Given]) -> int:
        operations = frozenset(one for part in parts for one in part.operation_ids)
        records = frozenset(one for part in parts for one in part.records)
        gone: set[str] = set()

        def kept(snapshot: Snapshot) -> Iterator[bytes]:
            for place, record in snapshot.elements():
                if isinstance(record, Operation) and record.id in operations:
                    gone.add(record.id)
                elif not (isinstance(record, Record) and record.id in records):
                    yield snapshot.read(*place)

        with opened(self._address) as snapshot:
            written(self._address, kept(snapshot))
        return len(gone)
