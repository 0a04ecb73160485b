"""This module is where operations are read back from PostgreSQL.

The server writes the rows as CSV (COPY), Polars parses them, and no row is ever a Python object. The connection lives
on an event loop in a thread of its own, as long as one read lasts, so that reading works inside a running loop; behind
PgBouncer too, since everything happens in one transaction without named statements.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import anyio
import asyncpg
import polars as pl
from anyio.from_thread import BlockingPortal, start_blocking_portal
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.postgresql.base import PGDialect

from aicore_obs.errors import StoreError
from aicore_obs.model.cost import CostSum, no_costs
from aicore_obs.model.escape import MARK, unescape, unescape_json
from aicore_obs.model.events import Span
from aicore_obs.model.filter import Filter
from aicore_obs.model.frame_columns import LEDGER_COLUMNS
from aicore_obs.model.ids import utc_now
from aicore_obs.model.record import Record
from aicore_obs.protocols import Address
from aicore_obs.stores.catalogue import EMPTY, Catalogue, catalogue_of
from aicore_obs.stores.frame import Raws, ReadText, Shape, ledger_frame, no_text, raw_columns, raw_type, utf8
from aicore_obs.stores.said import SAID, said_records
from aicore_obs.stores.sql.engines import connect_arguments
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
from aicore_obs.stores.sql.tables import There, postgres_tables
from aicore_obs.stores.sql.words import PostgresWords

CHUNK_BYTES = 4_000_000
# Chunks that wait while Polars parses; the server waits in turn.
CHUNKS_AHEAD = 2
# Control characters, which JSON text never holds, so that hardly a field needs quotes.
_SEPARATOR, _QUOTE = "\x1f", "\x1e"
_CSV = {"format": "csv", "delimiter": _SEPARATOR, "quote": _QUOTE, "encoding": "UTF8"}
_JSON_COLUMNS = frozenset({"tags", "labels", "extras", "cost_lines", "billing", "flags", "scores"})
# Say by themselves whether they are escaped.
_BODIES = frozenset({"request_body", "response_body", "said", *SAID})
_DIALECT = PGDialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]
_WORDS = PostgresWords()
_QUOTE_ALL = (
    "SELECT array_agg(quote_literal(value) ORDER BY place) FROM unnest($1::text[]) WITH ORDINALITY AS _(value, place)"
)
# Records are read so many at a time; each may carry texts of megabytes.
PAGE_ROWS = 100
_LOWEST = "00000000-0000-0000-0000-000000000000"
_BINDING = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
_COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2"
_Read = Callable[[Sequence[Any]], tuple[Record, bytes]]
T = TypeVar("T")


class PostgresReader:
    """Reads one schema of a PostgreSQL database."""

    def __init__(self, address: Address, *, read_text: ReadText = no_text) -> None:
        if address.url is None:
            raise ValueError(f"{address.name}: a PostgreSQL store has a URL")
        self._name = address.name
        self._url = address.url
        self.read_text = read_text
        self._tables = postgres_tables(address.options.db_schema)
        self._shape: Shape | None = None

    def schema(self) -> dict[str, pl.DataType]:
        return self.shape().schema

    def shape(self) -> Shape:
        """Return the shape of all frames of this reader."""
        # Kept, so that they have one schema.
        if self._shape is None:
            with self._translated(), reading_portal() as portal:
                self._shape = Shape(portal.call(self._catalogue), read_text=self.read_text)
        return self._shape

    def batches(self, query: Filter, columns: Sequence[str], *, batch_rows: int) -> Iterator[pl.DataFrame]:
        shape = self.shape()

        def statement(there: There) -> Select[Any]:
            return select_operations(self._tables, _WORDS, query, columns, there=there)

        raws = self._raws(statement, raw_columns(columns))
        return shape.frames(raws, columns, batch_rows=batch_rows)

    def costs(self, query: Filter, *, batch_rows: int) -> Iterator[pl.DataFrame]:
        def statement(there: There) -> Select[Any]:
            return select_ledger(self._tables, _WORDS, query, there=there)

        with closing(self._raws(statement, LEDGER_COLUMNS)) as raws:
            for raw in raws:
                yield from map(ledger_frame, raw.iter_slices(batch_rows))

    def cost_sum(self, query: Filter) -> CostSum:
        with self._translated(), reading_portal() as portal:
            return cast("CostSum", portal.call(self._cost_sum, query))

    async def _cost_sum(self, query: Filter) -> CostSum:
        as_of = utc_now()
        async with self._snapshot() as connection:
            if not await has(connection, self._tables.operations):
                return no_costs(as_of)
            there = await self._there(connection)
            statement = select_cost_sum(self._tables, _WORDS, query, there=there)
            return cost_sum_of(_WORDS, await connection.fetchrow(await _with_literals(connection, statement)), as_of)

    def records(self, *, left: Callable[[str], object]) -> Iterator[tuple[Record, bytes]]:
        send, receive = anyio.create_memory_object_stream[tuple[_Read, list[Any]]](CHUNKS_AHEAD)
        with self._translated(), reading_portal() as portal:
            reading = portal.start_task_soon(self._pages, send)
            with closing(_chunks(portal, receive, reading)) as pages:
                for read, rows in pages:
                    yield from restore(rows, read, left)

    async def _pages(self, send: MemoryObjectSendStream[tuple[_Read, list[Any]]]) -> None:
        """Send all rows, page by page: a page needs no cursor, and so no named statement."""
        async with send, self._snapshot() as connection:
            if not await has(connection, self._tables.operations):
                return
            there = await connection.fetch(_COLUMNS, self._tables.operations.schema, self._tables.operations.name)
            names = {row[0] for row in there}
            restored = Restored(self._tables, names, time=_utc, amount=lambda amount: amount, narrow=True)
            for statement, read in (
                (restored.select_operations(), restored.operation),
                (restored.select_others(), restored.other),
            ):
                sql, after = f"{statement.compile(dialect=_BINDING)} LIMIT {PAGE_ROWS}", _LOWEST
                while rows := await connection.fetch(sql, after):
                    await send.send((read, rows))
                    after = rows[-1][0]

    def spans(self, scope: str, value: str, *, limit: int) -> Iterator[Span]:
        with self._translated(), reading_portal() as portal:
            yield from spans_of(
                portal.call(self._span_rows, select_spans(self._tables, _WORDS, scope, value, limit=limit))
            )

    async def _span_rows(self, statement: Select[Any]) -> list[Any]:
        async with self._snapshot() as connection:
            if not await has(connection, self._tables.records):
                return []
            return cast("list[Any]", await connection.fetch(await _with_literals(connection, statement)))

    def catalogue(self) -> Catalogue:
        return self.shape().catalogue

    def said(self, until: datetime) -> Iterator[Record]:
        def statement(there: There) -> Select[Any]:
            return select_said(self._tables, _WORDS, until, there=there)

        with closing(self._raws(statement, SAID)) as raws:
            for raw in raws:
                yield from said_records(raw.iter_rows())

    async def _catalogue(self) -> Catalogue:
        async with self._snapshot() as connection:
            if not await has(connection, self._tables.keys):
                return EMPTY
            rows = await connection.fetch(str(select_keys(self._tables).compile(dialect=_DIALECT)))
            return catalogue_of((unescape(row[0]), utf8(unescape(row[1])), row[2]) for row in rows)

    def _raws(self, statement: Callable[[There], Select[Any]], names: Sequence[str]) -> Raws:
        """Yield the raw frames of a statement, which is made for what the schema has: an older one has less."""
        send, receive = anyio.create_memory_object_stream[bytes](CHUNKS_AHEAD)
        with self._translated(), reading_portal() as portal:
            copying = portal.start_task_soon(self._copy, statement, send)
            for chunk in _chunks(portal, receive, copying):
                yield _plain(_parsed(chunk, names))

    async def _copy(self, statement: Callable[[There], Select[Any]], send: MemoryObjectSendStream[bytes]) -> None:
        async with send, self._snapshot() as connection:
            if not await has(connection, self._tables.operations):
                return
            # Asked at each reading: a writer may take the step at any time.
            there = await self._there(connection)
            await _copy_out(connection, statement(there), send)

    async def _there(self, connection: Any) -> There:
        tables = self._tables
        return There(costs=await has(connection, tables.cost_revisions), scores=await has(connection, tables.scores))

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(**connect_arguments(self._url))
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
        except BaseException:
            # Also when the reader stopped half-way: nothing that waits may run in a cancelled task.
            connection.terminate()
            raise
        await connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise StoreError(
                f"cannot read {self._name} ({reason}); check that the server runs and takes this user and this database"
            ) from error


def _utc(when: datetime) -> datetime:
    return when.astimezone(UTC)


def reading_portal() -> Any:
    """Return an event loop in a thread of its own, for a block."""
    return start_blocking_portal("asyncio", name="aicore-obs-read")


def _chunks(
    portal: BlockingPortal, receive: MemoryObjectReceiveStream[T], copying: Future[None]
) -> Generator[T, None, None]:
    """Yield what the copying task sends; then raise what it raised. Stop it when nobody listens any more."""
    try:
        while True:
            yield portal.call(receive.receive)
    except anyio.EndOfStream:
        copying.result()
    finally:
        copying.cancel()
        portal.call(receive.aclose)


async def has(connection: Any, table: Any) -> bool:
    """Return whether there is such a table."""
    found = await connection.fetchval(
        "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = $2", table.schema, table.name
    )
    return found is not None


async def _with_literals(connection: Any, statement: Select[Any]) -> str:
    """Return the statement's SQL with its values as literals that the server quoted: COPY takes no parameters."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    values = [str(value) for value in compiled.params.values()]
    quoted = await connection.fetchval(_QUOTE_ALL, values) or []
    return str(compiled) % dict(zip(compiled.params, quoted, strict=True))


def copied(portal: BlockingPortal, connection: Any, statement: Select[Any], names: Sequence[str]) -> Raws:
    """Yield the raw frames of a statement whose columns have these names, over a connection of the portal's loop."""
    send, receive = anyio.create_memory_object_stream[bytes](CHUNKS_AHEAD)

    async def copy() -> None:
        async with send:
            await _copy_out(connection, statement, send)

    for chunk in _chunks(portal, receive, portal.start_task_soon(copy)):
        yield _plain(_parsed(chunk, names))


async def _copy_out(connection: Any, statement: Select[Any], send: MemoryObjectSendStream[bytes]) -> None:
    """Send the rows of a statement as CSV, in pieces of whole rows."""
    waiting = bytearray()

    async def take(data: bytes) -> None:
        waiting.extend(data)
        if len(waiting) >= CHUNK_BYTES and _whole(waiting):
            await send.send(bytes(waiting))
            waiting.clear()

    await connection.copy_from_query(await _with_literals(connection, statement), output=take, **_CSV)
    if waiting:
        await send.send(bytes(waiting))


def _whole(data: bytearray) -> bool:
    """Return whether the data ends with the end of a row: outside of quotes their number is even."""
    return data.endswith(b"\n") and data.count(_QUOTE.encode()) % 2 == 0


def _parsed(chunk: bytes, names: Sequence[str]) -> pl.DataFrame:
    return pl.read_csv(
        io.BytesIO(chunk),
        has_header=False,
        schema={name: raw_type(name) for name in names},
        separator=_SEPARATOR,
        quote_char=_QUOTE,
    )


def _plain(raw: pl.DataFrame) -> pl.DataFrame:
    """Take back what the writer escaped because PostgreSQL cannot hold it; a payload says by itself whether it is."""
    texts = [name for name, dtype in raw.schema.items() if dtype == pl.String and name not in _BODIES]
    escaped = [name for name in texts if raw[name].str.contains(MARK, literal=True).any()]
    return raw.with_columns(_unescaped(raw[name], as_json=name in _JSON_COLUMNS) for name in escaped)


def _unescaped(texts: pl.Series, *, as_json: bool) -> pl.Series:
    undo = unescape_json if as_json else lambda text: utf8(unescape(text))
    return pl.Series(texts.name, [text and undo(text) for text in texts], dtype=pl.String)
