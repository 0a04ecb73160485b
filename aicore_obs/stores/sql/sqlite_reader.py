"""This module is where operations are read back from a SQLite file.

The driver is the standard library's: it is the one copy of SQLite that the writer uses too. A second copy in the same
process (ADBC and connectorx bring their own) would drop the writer's file locks when it closes the file; see
docs/decisions/0003-reading.md. For the same reason nothing here opens the file but SQLite.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from sqlalchemy import Select
from sqlalchemy.dialects import sqlite

from aicore_obs.errors import StoreDamagedError, StoreError, StoreNotFoundError
from aicore_obs.model.cost import CostSum, from_quanta, no_costs
from aicore_obs.model.events import Span
from aicore_obs.model.filter import Filter
from aicore_obs.model.frame_columns import LEDGER_COLUMNS
from aicore_obs.model.ids import from_microseconds, utc_now
from aicore_obs.model.record import Record
from aicore_obs.protocols import Address
from aicore_obs.stores.catalogue import EMPTY, Catalogue, catalogue_of
from aicore_obs.stores.frame import Raws, ReadText, Shape, ledger_frame, no_text, of_columns, raw_columns
from aicore_obs.stores.said import SAID, said_records
from aicore_obs.stores.sql import sqlite_files
from aicore_obs.stores.sql.opinions import select_said
from aicore_obs.stores.sql.query import (
    cost_sum_of,
    select_cost_sum,
    select_keys,
    select_ledger,
    select_operations,
    select_spans,
)
from aicore_obs.stores.sql.restored import Restored, restore, spans_of
from aicore_obs.stores.sql.tables import There, sqlite_tables
from aicore_obs.stores.sql.words import CONTAINS_ALL, SqliteWords

BUSY_TIMEOUT_S = 30.0
# Rows whose values stay in the processor's cache between fetching and turning: larger fetches measured slower.
FETCH_ROWS = 2_000
_DIALECT = sqlite.dialect(paramstyle="named")
_WORDS = SqliteWords()
_NOT_OURS = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_FOLDER = "; readers of a SQLite file that is written to need the right to write into its folder, or a copy of the file"
_WAYS_OUT = {
    sqlite3.SQLITE_READONLY: _FOLDER,
    sqlite3.SQLITE_CANTOPEN: _FOLDER,
    sqlite3.SQLITE_BUSY: f"; a program has kept it locked for {BUSY_TIMEOUT_S:.0f} s",
}


class SqliteReader:
    """Reads one SQLite file, read-only."""

    def __init__(self, address: Address, *, read_text: ReadText = no_text) -> None:
        if address.path is None:
            raise ValueError(f"{address.name}: a SQLite store has a path")
        self._path = address.path
        self.read_text = read_text
        self._tables = sqlite_tables()
        self._shape: Shape | None = None

    def schema(self) -> dict[str, pl.DataType]:
        return self.shape().schema

    def shape(self) -> Shape:
        """Return the shape of all frames of this reader."""
        # Kept, so that they have one schema.
        if self._shape is None:
            with self._connection() as connection:
                self._shape = Shape(self._catalogue(connection), read_text=self.read_text)
        return self._shape

    def batches(self, query: Filter, columns: Sequence[str], *, batch_rows: int) -> Iterator[pl.DataFrame]:
        shape = self.shape()

        def statement(there: There) -> Select[Any]:
            return select_operations(self._tables, _WORDS, query, columns, there=there)

        raws = self._raws(statement, raw_columns(columns), batch_rows=batch_rows)
        return shape.frames(raws, columns, batch_rows=batch_rows)

    def costs(self, query: Filter, *, batch_rows: int) -> Iterator[pl.DataFrame]:
        def statement(there: There) -> Select[Any]:
            return select_ledger(self._tables, _WORDS, query, there=there)

        with closing(self._raws(statement, LEDGER_COLUMNS, batch_rows=batch_rows)) as raws:
            yield from map(ledger_frame, raws)

    def cost_sum(self, query: Filter) -> CostSum:
        as_of = utc_now()
        with self._connection() as connection:
            if not has(connection, self._tables.operations.name):
                return no_costs(as_of)
            there = self._there(connection)
            statement = select_cost_sum(self._tables, _WORDS, query, there=there)
            with closing(execute(connection, statement)) as cursor:
                return cost_sum_of(_WORDS, cursor.fetchone(), as_of)

    def records(self, *, left: Callable[[str], object]) -> Iterator[tuple[Record, bytes]]:
        with self._connection() as connection:
            if not has(connection, self._tables.operations.name):
                return
            # Two statements, one snapshot.
            connection.execute("BEGIN")
            there = {row[1] for row in connection.execute(f'PRAGMA table_info("{self._tables.operations.name}")')}
            restored = Restored(self._tables, there, time=from_microseconds, amount=from_quanta, narrow=False)
            with closing(execute(connection, restored.select_operations(), after="")) as rows:
                yield from restore(rows, restored.operation, left)
            with closing(execute(connection, restored.select_others(), after="")) as rows:
                yield from restore(rows, restored.other, left)

    def spans(self, scope: str, value: str, *, limit: int) -> Iterator[Span]:
        with self._connection() as connection:
            if not has(connection, self._tables.records.name):
                return
            statement = select_spans(self._tables, _WORDS, scope, value, limit=limit)
            with closing(execute(connection, statement)) as rows:
                yield from spans_of(rows)

    def catalogue(self) -> Catalogue:
        return self.shape().catalogue

    def said(self, until: datetime) -> Iterator[Record]:
        def statement(there: There) -> Select[Any]:
            return select_said(self._tables, _WORDS, until, there=there)

        with closing(self._raws(statement, SAID, batch_rows=FETCH_ROWS)) as raws:
            for raw in raws:
                yield from said_records(raw.iter_rows())

    def _catalogue(self, connection: sqlite3.Connection) -> Catalogue:
        if not has(connection, self._tables.keys.name):
            return EMPTY
        return catalogue_of(execute(connection, select_keys(self._tables)))

    def _raws(self, statement: Callable[[There], Select[Any]], names: Sequence[str], *, batch_rows: int) -> Raws:
        """Yield the raw frames of a statement, which is made for what the schema has: an older one has less."""
        with self._connection() as connection:
            if not has(connection, self._tables.operations.name):
                return
            # Asked at each reading: a writer may take the step at any time.
            there = self._there(connection)
            # One statement is one snapshot.
            with closing(execute(connection, statement(there))) as cursor:
                yield from raw_frames(cursor, names, batch_rows=batch_rows)

    def _there(self, connection: sqlite3.Connection) -> There:
        tables = self._tables
        return There(costs=has(connection, tables.cost_revisions.name), scores=has(connection, tables.scores.name))

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        if not self._path.exists():
            raise StoreNotFoundError(
                f"there is no database {self._path}; reading never creates one: check the path or record something"
            )
        with self._translated(), sqlite_files.held(self._path), closing(_connect(self._path)) as connection:
            connection.create_function(CONTAINS_ALL, 2, contains_all, deterministic=True)
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _NOT_OURS:
                raise StoreDamagedError(
                    f"{self._path} is no SQLite database, or it is damaged ({error}); name another file or restore it"
                ) from error
            raise StoreError(f"cannot read {self._path}: {error}{_WAYS_OUT.get(code, '')}") from error


def contains_all(text: str | None, wanted: str) -> bool:
    """Return whether a JSON array has all elements, or a JSON object all members, of ``wanted``."""
    if text is None:
        return False
    held, asked = _decode(text), _decode(wanted)
    if isinstance(held, dict) and isinstance(asked, dict):
        return all(key in held and held[key] == value for key, value in asked.items())
    return isinstance(held, list) and isinstance(asked, list) and all(one in held for one in asked)


def _decode(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None


def _connect(path: Path) -> sqlite3.Connection:
    # Polars may pull batches from another thread than the one that asked for the frame.
    uri = f"{path.as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def execute(connection: sqlite3.Connection, statement: Select[Any], **bound: Any) -> sqlite3.Cursor:
    """Execute a statement with its values."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return connection.execute(str(compiled), {**compiled.params, **bound})


def has(connection: sqlite3.Connection, table: str) -> bool:
    """Return whether there is such a table."""
    return bool(
        connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
    )


def raw_frames(cursor: sqlite3.Cursor, names: Sequence[str], *, batch_rows: int) -> Raws:
    """Yield the raw frames of a statement whose columns have these names."""
    parts: list[pl.DataFrame] = []
    height = 0
    while rows := cursor.fetchmany(min(FETCH_ROWS, batch_rows)):
        parts.append(of_columns(dict(zip(names, zip(*rows, strict=True), strict=True)), in_quanta=True))
        height += len(rows)
        if height + FETCH_ROWS > batch_rows:
            yield pl.concat(parts)
            parts, height = [], 0
    if parts:
        yield pl.concat(parts)
