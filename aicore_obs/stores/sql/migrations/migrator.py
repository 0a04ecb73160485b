"""This module is where steps of the schema are taken, up and down, inside a transaction of the caller.

Everything here is synchronous and works on one open connection (``AsyncConnection.run_sync``). A run of steps, their
log entries and the version commit together or not at all, so that a run that died can simply be run again.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationInfo, RevisionStep
from alembic.script import Script, ScriptDirectory

from aicore_obs.errors import SchemaError
from aicore_obs.stores.sql.migrations.place import Place
from aicore_obs.stores.sql.migrations.rights import INSUFFICIENT_PRIVILEGE, Rights

LOCK_TIMEOUT_S = 30
_VERSION_TABLE = "alembic_version"
_HERE = Path(__file__).parent
# The clock of the database, in the form that the column keeps.
_NOW = {"postgresql": "now()", "sqlite": "CAST(strftime('%s', 'now') AS INTEGER) * 1000000"}

_Steps = Callable[[Any, MigrationContext], Iterable[RevisionStep]]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The schema in a database: its version (0: none) and the lowest program version that may write."""

    version: int
    oldest_writer: int


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What a step's file declares."""

    version: int
    major: bool
    oldest_writer: int


class Migrator:
    """Takes steps of one schema.

    ``extra_versions`` are further folders with steps, and ``program_version`` is the newest version that this
    program is taken to know (tests play older and newer programs with both); by default the newest step's.
    """

    def __init__(
        self, place: Place, *, extra_versions: Sequence[Path] = (), program_version: int | None = None
    ) -> None:
        self._place = place
        self._folders = (_HERE / "versions", *extra_versions)
        self._program_version = program_version

    @property
    def program_version(self) -> int:
        """The version that this program makes and expects."""
        return max(self.steps) if self._program_version is None else self._program_version

    @cached_property
    def steps(self) -> dict[int, Step]:
        """Every step by its version."""
        return {step.version: step for step in map(_declared, self._scripts.walk_revisions())}

    def version(self, connection: sa.Connection) -> int:
        """Return the version of the schema in the database, 0 when there is none."""
        return self.state(connection).version

    def oldest_writer(self, connection: sa.Connection) -> int:
        """Return the lowest program version that may write, 0 when there is no schema."""
        return self.state(connection).oldest_writer

    def state(self, connection: sa.Connection) -> State:
        """Return version and oldest writer.

        Raises:
            SchemaError: the role may not look.
        """
        if not self._has_versions(connection):
            return State(version=0, oldest_writer=0)
        place = self._place
        versions = sa.table(place.name(_VERSION_TABLE), sa.column("version_num"), schema=place.schema)
        version = int(connection.execute(sa.select(versions.c.version_num)).scalar() or 0)
        writer = sa.select(self._log.c.oldest_writer).where(self._log.c.version == version)
        return State(version=version, oldest_writer=connection.execute(writer).scalar() or 0 if version else 0)

    def upgrade(self, connection: sa.Connection, *, allow_major: bool = False, target: int | None = None) -> int:
        """Take every step up to ``target`` (default: this program's version) and return the version that is there.

        Waits for another process that is at it. A schema that is newer already is left as it is.

        Raises:
            SchemaError: a major step is needed and not allowed, this program is too old, or a right is missing.
        """
        self._lock(connection)
        state = self.state(connection)
        goal = self.program_version if target is None else target
        self.refuse_too_new(state)
        if state.version >= goal:
            return state.version
        if self.needs_major(state.version, goal) and not allow_major:
            raise major_needed(state.version, goal)
        with self._rights(connection):
            self._run(connection, lambda revision, _: self._scripts._upgrade_revs(_name(goal), revision))  # noqa: SLF001
        return goal

    def downgrade(self, connection: sa.Connection, target: int) -> int:
        """Take steps back until ``target`` and return the version that is there.

        Raises:
            SchemaError: this program does not know the schema's version, or there is no such way back.
        """
        self._lock(connection)
        version = self.version(connection)
        if version > self.program_version:
            raise SchemaError(
                f"the schema is at version {version} and this program knows up to {self.program_version}; "
                "only a program that knows a step can take it back"
            )
        if not 0 <= target <= version:
            raise SchemaError(f"cannot go back to version {target} from version {version}")
        goal = _name(target) if target else "base"
        with self._rights(connection):
            self._run(connection, lambda revision, _: self._scripts._downgrade_revs(goal, revision))  # noqa: SLF001
        return target

    def sql(self, *, start: int = 0, target: int | None = None) -> str:
        """Return the statements that lead from version ``start`` to ``target``, in one transaction, for a DBA."""
        goal = self.program_version if target is None else target
        output = io.StringIO()
        options = {"as_sql": True, "output_buffer": output, "starting_rev": _name(start) if start else None}
        context = MigrationContext.configure(
            dialect_name=self._place.dialect,
            opts=self._options(
                lambda revision, _: self._scripts._upgrade_revs(_name(goal), revision),  # noqa: SLF001
                **options,
            ),
        )
        with context.begin_transaction():
            if not start:
                self._create_schema(context)
            context.run_migrations(op=Operations(context), place=self._place)
        return output.getvalue()

    def needs_major(self, version: int, goal: int) -> bool:
        """Return whether a major step lies between; making a schema where there is none excludes nobody."""
        return version > 0 and any(step.major for step in self.steps.values() if version < step.version <= goal)

    def refuse_too_new(self, state: State) -> None:
        """Raise :class:`SchemaError` when the schema no longer takes what this program writes."""
        if state.oldest_writer > self.program_version:
            raise SchemaError(
                f"the store's schema is at version {state.version} and takes writers from version "
                f"{state.oldest_writer} on; this program writes version {self.program_version}. "
                "Run `pip install -U aicore-obs`; until then records stay in the journal"
            )

    @cached_property
    def _scripts(self) -> ScriptDirectory:
        return ScriptDirectory(_HERE, version_locations=[str(folder) for folder in self._folders])

    @cached_property
    def _log(self) -> sa.TableClause:
        columns = ("version", "step", "oldest_writer", "applied_at", "applied_by")
        return sa.table(self._place.name("schema_log"), *map(sa.column, columns), schema=self._place.schema)

    def _options(self, steps: _Steps, **more: Any) -> dict[str, Any]:
        return {
            "version_table": self._place.name(_VERSION_TABLE),
            "version_table_schema": self._place.schema,
            # SQLite's DDL is transactional once the driver begins nothing by itself; Alembic assumes the worst.
            "transactional_ddl": True,
            "on_version_apply": (self._write_log,),
            "fn": steps,
            **more,
        }

    def _run(self, connection: sa.Connection, steps: _Steps) -> None:
        context = MigrationContext.configure(connection, opts=self._options(steps))
        if self._place.schema is not None and not sa.inspect(connection).has_schema(self._place.schema):
            self._create_schema(context)
        context.run_migrations(op=Operations(context), place=self._place)

    def _create_schema(self, context: MigrationContext) -> None:
        if self._place.schema is not None:
            context.execute(sa.schema.CreateSchema(self._place.schema, if_not_exists=True))

    def _write_log(self, *, step: MigrationInfo, run_args: dict[str, Any], **_: Any) -> None:
        op: Operations = run_args["op"]
        step_taken = self.steps[int(str(step.up_revision_id))]
        # Written as literals: what a DBA gets has no parameters.
        version = op.inline_literal(step_taken.version)
        if not step.is_upgrade:
            op.execute(sa.delete(self._log).where(self._log.c.version == version))
            return
        op.execute(
            sa.insert(self._log).values(
                version=version,
                step=op.inline_literal("major" if step_taken.major else "minor"),
                oldest_writer=op.inline_literal(step_taken.oldest_writer),
                applied_at=sa.literal_column(_NOW[self._place.dialect]),
                applied_by=op.inline_literal("aicore-obs migrate --sql" if op.get_context().as_sql else _program()),
            )
        )

    def _lock(self, connection: sa.Connection) -> None:
        """Let one process at a time take steps, until its transaction ends. In SQLite BEGIN IMMEDIATE has done it."""
        if self._place.schema is None:
            return
        # Transaction-level, as PgBouncer needs it, and with a deadline: an error later is better than a hang.
        connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'"))
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock_key(self._place.schema))))

    def _has_versions(self, connection: sa.Connection) -> bool:
        if self._place.schema is None:
            return sa.inspect(connection).has_table(self._place.name(_VERSION_TABLE))
        rights = self._read_rights(connection, self._place.schema)
        rights.check_read()
        return rights.has_versions

    def _read_rights(self, connection: sa.Connection, schema: str) -> Rights:
        return Rights.read(connection, schema=schema, version_table=self._place.name(_VERSION_TABLE))

    @contextmanager
    def _rights(self, connection: sa.Connection) -> Iterator[None]:
        """Turn a missing right into the GRANT that is needed."""
        if self._place.schema is None:
            yield
            return
        rights = self._read_rights(connection, self._place.schema)
        rights.check_create()
        try:
            yield
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == INSUFFICIENT_PRIVILEGE:
                raise rights.refused(error) from error
            raise


def lock_key(schema: str) -> int:
    """Return the key of a schema's advisory lock: 64 bits, the same in every process and version."""
    digest = hashlib.sha256(f"aicore-obs:{schema}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def major_needed(version: int, goal: int) -> SchemaError:
    """Return what to raise when a major step was not allowed."""
    return SchemaError(
        f"the store's schema is at version {version}; the way to version {goal} has a major step, after which older "
        "programs cannot write. When they are updated, run `aicore-obs migrate --major`; records stay in the journal"
    )


def _declared(script: Script) -> Step:
    return Step(
        version=int(script.revision), major=script.module.step == "major", oldest_writer=script.module.oldest_writer
    )


def _name(version: int) -> str:
    return f"{version:04}"


def _program() -> str:
    try:
        return f"aicore-obs {distribution_version('aicore-obs')}"
    except PackageNotFoundError:  # running from a source tree that is not installed
        return "aicore-obs"
