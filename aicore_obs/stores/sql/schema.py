"""This module is where a SQL store's schema is made ready for this program, or found unfit for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncEngine

from aicore_obs.errors import SchemaError
from aicore_obs.stores.sql.engines import READ_ONLY
from aicore_obs.stores.sql.migrations.migrator import Migrator, State, major_needed
from aicore_obs.stores.sql.migrations.place import Place
from aicore_obs.stores.sql.tables import Tables

Mode = Literal["auto", "never"]


class Schema:
    """The schema of one store, reached through its engine; each method uses a connection of its own."""

    def __init__(
        self,
        engine: AsyncEngine,
        tables: Tables,
        *,
        extra_versions: Sequence[Path] = (),
        program_version: int | None = None,
    ) -> None:
        self._engine = engine
        self._migrator = Migrator(Place.of(tables), extra_versions=extra_versions, program_version=program_version)

    async def ensure(self, mode: Mode | str) -> int:
        """Make the schema fit for writing, and return its version; called by a writer at its first use.

        ``auto`` makes a missing schema and takes minor steps; ``never`` changes nothing. Harmless to repeat, and to
        call from several processes at once.

        Raises:
            SchemaError: the schema does not fit; the message says what to run.
        """
        state = await self._state()
        if not self._is_behind(state, mode):
            return state.version
        return await self.migrate()

    async def migrate(self, *, allow_major: bool = False) -> int:
        """Bring the schema to this program's version and return the version that is there.

        Raises:
            SchemaError: a major step is needed and not allowed, this program is too old, or a right is missing.
        """
        async with self._engine.begin() as connection:
            return await connection.run_sync(lambda sync: self._migrator.upgrade(sync, allow_major=allow_major))

    async def downgrade(self, target: int) -> int:
        """Take steps back until version ``target``; what only the newer version can hold is lost.

        Raises:
            SchemaError: there is no such way back.
        """
        async with self._engine.begin() as connection:
            return await connection.run_sync(lambda sync: self._migrator.downgrade(sync, target))

    async def version(self) -> int:
        """Return the version of the schema in the store, 0 when there is none."""
        return (await self._state()).version

    async def _state(self) -> State:
        async with self._engine.execution_options(**READ_ONLY).connect() as connection:
            return await connection.run_sync(self._migrator.state)

    def _is_behind(self, state: State, mode: str) -> bool:
        """Return whether steps are to be taken now; raise when they are needed and must not be taken."""
        goal = self._migrator.program_version
        self._migrator.refuse_too_new(state)
        if state.version >= goal:
            return False
        if self._migrator.needs_major(state.version, goal):
            raise major_needed(state.version, goal)
        if mode == "never":
            raise SchemaError(
                f"the store's schema is at version {state.version} (0: there is none), this program needs version "
                f'{goal}, and migrate="never" was asked for; run `aicore-obs migrate`; records stay in the journal'
            )
        return True
