"""This module is where a collector is put together: a capture in front, a road behind, a reader on the way back."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

from aicore_obs.addresses import check_place, file_address
from aicore_obs.assembly import (
    CollectorOptions,
    ask_store,
    capture,
    checked,
    places,
    road_key,
    road_options,
    store_options,
)
from aicore_obs.budgets import Spending
from aicore_obs.capture.fields import RecordOptions, check_parameters
from aicore_obs.capture.plain import snapshot
from aicore_obs.capture.record import Captured
from aicore_obs.context import is_suppressed
from aicore_obs.costing import Prices, book_of, costed, load_prices
from aicore_obs.errors import ConfigurationError
from aicore_obs.model import codec
from aicore_obs.model.budget import Budget, BudgetState
from aicore_obs.model.operation import Operation
from aicore_obs.model.record import Record
from aicore_obs.pipeline import roads
from aicore_obs.pipeline.external import road_for
from aicore_obs.pipeline.portal import in_thread
from aicore_obs.pipeline.road import Road
from aicore_obs.pipeline.stats import NO_STATS, FlushResult, Stats
from aicore_obs.plugins import load
from aicore_obs.protocols import Store, StoreOptions
from aicore_obs.pruning import prune_all
from aicore_obs.reading import DATABASES, OnClassOrInstance, open_collectors, place_to_read
from aicore_obs.reading import ask as ask_reader
from aicore_obs.seen import response_id_of
from aicore_obs.settings import chosen, from_environment, need_switch
from aicore_obs.timed import TimedOperation
from aicore_obs.watching import Watching

if TYPE_CHECKING:
    import polars as pl

    from aicore_obs.model.deletion import Pruned
    from aicore_obs.query.recost import Recosted

_READ = "aicore_obs.query.reader:read_frame"
_COSTS = "aicore_obs.query.costs:read_costs"
_SCAN = "aicore_obs.query.scan:scan"


class LlmOperationCollector:
    """Records operations of language models into the user's own file or database.

    Args:
        storage_path: a JSON file (``.json``, ``.jsonl``, ``.ndjson``).
        db_url: ``sqlite:///file`` or ``postgresql://user:password@host/database``. Both given: both are written.
            Neither: the environment's (``AICORE_OBS_DB_URL``, ``AICORE_OBS_STORAGE_PATH``), else the SQLite file
            ``aicore_obs.db`` in the working directory.
        sinks: further places: URLs, paths, or objects with the duties of :class:`aicore_obs.protocols.Sink`.
        project: kept with every record.
        durability: ``"process"`` (the default: an accepted record outlives the process; where no disk can be written it
            falls back to memory and says so), ``"disk"`` (it outlives a loss of power), ``"memory"``. Named
            explicitly, it is had or the constructor raises.
        writer: ``"internal"``: this process delivers its records. ``"external"``: it only appends them to its journal,
            and ``aicore-obs drain --watch``, or another collector on the same stores, delivers them
            (also ``AICORE_OBS_WRITER``).
        overflow: what happens at the journal's cap: ``"drop_newest"`` refuses, counted, and ``record_*`` returns None;
            ``"block"`` waits up to ``block_timeout_s`` (1) and then refuses; ``"raise"`` raises ``JournalFull``.
        prices: a :class:`~aicore_obs.pricing.book.PriceBook`, its rows, or the path of a TOML or JSON file of rows,
            laid over the bundled prices (also ``AICORE_OBS_PRICES``, a path).
        redact: called with ``{"completion_args", "response", "extras", "error"}`` as plain data before anything touches
            a disk; returns the same keys. When it fails, the content is dropped.
        capture_content: False keeps numbers only.
        capture_media: True keeps pictures, sound and files as they are; else type, size and hash stand for them.
        max_content_bytes: of request and response each; of longer ones texts are cut, marked with their size.
        content_sample_rate: of which share of the operations without error content is kept; all are counted.
        migrate: ``"auto"`` brings a database's schema up to date at first use, ``"never"`` leaves it alone.
        db_schema: the PostgreSQL schema in which the tables live.
        enabled: False: record nothing (also ``AICORE_OBS_ENABLED=0``).
        processors: own steps on the road: callables record → record.
        journal_dir, journal_max_bytes, block_timeout_s, batch_interval_s, batch_bytes, write_timeout_s: see
            ``docs/architecture.md``; sizes may be text such as ``"64MB"``.

    Raises:
        ConfigurationError: an option, URL or path that cannot work.
        StoreDamagedError: a file is there and is not what its name says.
    """

    def __init__(
        self,
        storage_path: str | Path | None = None,
        db_url: str | None = None,
        **options: Unpack[CollectorOptions],
    ) -> None:
        options = checked(options)
        settings = from_environment()
        stores = store_options(options, settings)
        self.addresses, objects = places(storage_path, db_url, options, settings, stores)
        self._capture = capture(options, settings)
        self._book = book_of(options.get("prices", settings.prices))
        ledger = place_to_read(self) if self.addresses else None
        self._spending = Spending(ledger, costed(self._book), load_prices)
        self._closed = False
        self._road: Road | None = None
        self._road_key: Hashable = None
        if chosen(options.get("enabled"), settings.enabled):
            for address in self.addresses:
                check_place(address)
            asked = road_options(self.addresses, objects, options, stores, self._book)
            self._road_key = road_key(asked, options, self._book)
            self._road = roads.acquire(self._road_key, lambda: road_for(asked))
            open_collectors.add(self)
        self.watching = Watching(self._capture, self._spending, self._road)

    # -- recording -------------------------------------------------------------------------------------------------

    def record_completion(
        self,
        completion_args: Any,
        operation_type: str = "completion",
        provider: str | None = None,
        response: Any = None,
        latency_ms: float | None = None,
        **options: Unpack[RecordOptions],
    ) -> str | None:
        """Record one operation and return its id; None when it was refused at the journal's cap.

        When the id is back, the record outlives this process. May be called from any thread, task or loop, before and
        after a fork. ``completion_args`` and ``response`` may be dicts, SDK objects, text, lists of stream events.
        Of an answer that an instrumented SDK was just seen to get, what is said here joins that operation.

        Raises:
            UnknownParameterError: a keyword that does not exist. Odd values never raise: they are kept and marked.
            JournalFull: at the cap, under ``overflow="raise"``.
        """
        captured = self._captured(completion_args, operation_type, provider, response, latency_ms, options)
        if captured is None or self._road is None or not self._road.append(captured.line):
            return None
        return self._counted(captured)

    async def arecord_completion(
        self,
        completion_args: Any,
        operation_type: str = "completion",
        provider: str | None = None,
        response: Any = None,
        latency_ms: float | None = None,
        **options: Unpack[RecordOptions],
    ) -> str | None:
        """Do as :meth:`record_completion`; where that one would wait, other tasks run."""
        captured = self._captured(completion_args, operation_type, provider, response, latency_ms, options)
        if captured is None or self._road is None or not await self._road.aappend(captured.line):
            return None
        return self._counted(captured)

    def offer_completion(self, completion_args: Any, *args: Any, **options: Any) -> str | None:
        """Do as :meth:`record_completion`, but never wait and never raise ``JournalFull``: for watchers of others."""
        captured = self.watching.operation(completion_args, *args, **options)
        return None if captured is None else captured.id

    def operation(
        self,
        completion_args: Any,
        operation_type: str = "completion",
        provider: str | None = None,
        **options: Unpack[RecordOptions],
    ) -> TimedOperation:
        """Return a context manager (sync and async) that times a block and records it; unknown keywords raise here.

        The arguments are kept as they are now, whatever the block does to its messages.
        """
        check_parameters(options, also=("response", "latency_ms"))
        arguments = {
            "completion_args": snapshot(completion_args) if self._road is not None else None,
            "operation_type": operation_type,
            "provider": provider,
            **options,
        }
        return TimedOperation(self.record_completion, self.arecord_completion, self.offer_completion, arguments)

    def record(self, record: Record) -> str | None:
        """Record a ready record of any kind; for doors."""
        if self._road is None or is_suppressed() or not self._road.append(line := codec.encode(record)):
            return None
        if isinstance(record, Operation):
            self._spending.note(line)
        return record.id

    def _captured(self, *arguments: Any) -> Captured | None:
        if self._road is None or is_suppressed():
            return None
        captured = self._capture.operation(*arguments)
        if captured.odd:
            self._road.count_odd()
        if seen := self.watching.seen:
            _, _, provider, response, _, options = arguments
            return seen.joined(response_id_of(response, options), provider, captured)
        return captured

    def _counted(self, captured: Captured) -> str:
        if not captured.is_known:
            self._spending.note(captured.line)
        return captured.id

    # -- costs ------------------------------------------------------------------------------------------------------

    def recost(
        self,
        filters: Mapping[str, Any] | None = None,
        prices: Prices = None,
        dry_run: bool = True,
        *,
        author: str | None = None,
    ) -> Recosted:
        """Cost stored operations again and return what differs; ``dry_run=False`` keeps it as revisions.

        Args:
            filters: as in :meth:`polars_from_db`; None: everything.
            prices: as for a collector; None: this collector's own.
            dry_run: only look.
            author: kept with each revision, by default ``user@host``.

        Nothing is overwritten: readers show the newest revision, :meth:`polars_costs` all of them, and the filter
        ``cost_as_of`` an earlier state. What a provider billed itself is left alone.
        """
        how = load("aicore_obs.query.recost:Recost")(
            book=self._book if prices is None else book_of(prices),
            record=None if dry_run else self.record,
            author=author,
        )
        return cast("Recosted", ask_reader("aicore_obs.query.recost:recost", place_to_read(self), filters or {}, how))

    async def arecost(
        self,
        filters: Mapping[str, Any] | None = None,
        prices: Prices = None,
        dry_run: bool = True,
        *,
        author: str | None = None,
    ) -> Recosted:
        """Do as :meth:`recost`; other tasks run meanwhile."""
        return await in_thread(self.recost, filters, prices, dry_run, author=author)

    # -- budgets ----------------------------------------------------------------------------------------------------

    def remaining(self, budget: Budget, *, max_age_s: float = 5.0) -> BudgetState:
        """Return where a budget stands: ask before a call whether there is money left for it.

        Exact for what this process recorded, at once. What other processes spent is known as of ``as_of``, at most
        ``max_age_s`` (but no less than two seconds) ago; then the store is flushed and asked again, else the answer
        takes microseconds. The first question starts the counting.

        Raises:
            StoreError: the store could not be asked, and never was before.
            ConfigurationError: this collector has no store, only sinks of the application.
        """
        return self._spending.state(budget, max_age_s)

    async def aremaining(self, budget: Budget, *, max_age_s: float = 5.0) -> BudgetState:
        """Do as :meth:`remaining`; other tasks run meanwhile."""
        return await in_thread(self.remaining, budget, max_age_s=max_age_s)

    # -- flush, stats, close ---------------------------------------------------------------------------------------

    def flush(self, timeout_s: float = 30) -> FlushResult:
        """Deliver everything that was accepted before, and return the truth about it in time."""
        return self._road.flush(timeout_s) if self._road is not None else _NOTHING

    async def aflush(self, timeout_s: float = 30) -> FlushResult:
        """Do as :meth:`flush`; other tasks run meanwhile."""
        return await self._road.aflush(timeout_s) if self._road is not None else _NOTHING

    def stats(self) -> Stats:
        """Return what the road has done since this process started."""
        return self._road.stats() if self._road is not None else NO_STATS

    @property
    def is_closed(self) -> bool:
        """Return whether :meth:`close` was called; records are refused then."""
        return self._closed

    def close(self, timeout_s: float = 10) -> FlushResult:
        """Flush and end. What could not be delivered waits in the journal for the next start; harmless twice."""
        if self._closed or self._road is None:
            return self.flush(timeout_s)
        self._closed = True
        open_collectors.discard(self)
        return roads.release(self._road_key, timeout_s)

    async def aclose(self, timeout_s: float = 10) -> FlushResult:
        """Do as :meth:`close`; other tasks run meanwhile."""
        return await in_thread(self.close, timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # -- schema ----------------------------------------------------------------------------------------------------

    def create_tables(self) -> int:
        """Make the tables of every database of this collector (the writer does it by itself); return the version."""
        return self._ask_stores(lambda store: store.migrate())

    def get_schema_version(self) -> int:
        """Return the version of the schema in the database, 0 when there is none."""
        return self._ask_stores(lambda store: store.schema_version())

    def migrate_schema(self, *, allow_major: bool = False) -> int:
        """Bring the schema up to date and return its version; major steps only when allowed."""
        return self._ask_stores(lambda store: store.migrate(allow_major=allow_major))

    async def acreate_tables(self) -> int:
        """Do as :meth:`create_tables`; other tasks run meanwhile."""
        return await in_thread(self.create_tables)

    async def aget_schema_version(self) -> int:
        """Do as :meth:`get_schema_version`; other tasks run meanwhile."""
        return await in_thread(self.get_schema_version)

    async def amigrate_schema(self, *, allow_major: bool = False) -> int:
        """Do as :meth:`migrate_schema`; other tasks run meanwhile."""
        return await in_thread(self.migrate_schema, allow_major=allow_major)

    def _ask_stores(self, ask: Callable[[Store], Any]) -> int:
        databases = [address for address in self.addresses if address.kind in DATABASES]
        if not databases:
            raise ConfigurationError("this collector has no database: only databases have a schema")
        versions = [ask_store(address, ask) for address in databases]
        return versions[0]

    # -- deleting --------------------------------------------------------------------------------------------------

    def prune(self, **options: Any) -> Pruned:
        """Delete from every store of this collector; filters and options as in :func:`aicore_obs.prune`."""
        return prune_all(self.addresses, options)

    async def aprune(self, **options: Any) -> Pruned:
        """Do as :meth:`prune`; other tasks run meanwhile."""
        return await in_thread(self.prune, **options)

    # -- reading ---------------------------------------------------------------------------------------------------

    @staticmethod
    def polars_from_file(path: str | Path, **filters: Any) -> pl.DataFrame:
        """Read a JSON file as a frame; filters as in :class:`aicore_obs.model.filter.Filter`.

        Raises:
            StoreNotFoundError: there is no such file.
            FilterError: a filter name or value that does not exist; the message lists the right ones.
        """
        return cast("pl.DataFrame", ask_reader(_READ, file_address(path, StoreOptions()), filters))

    @OnClassOrInstance
    def polars_from_db(self, /, db_url: str | None = None, **filters: Any) -> pl.DataFrame:
        """Read operations as a frame; filters as in :class:`aicore_obs.model.filter.Filter`.

        On an instance: its own store. On the class: ``db_url``, else the one database of the open collectors, else
        ``AICORE_OBS_DB_URL``, else ``./aicore_obs.db``. Reading never creates a database.

        Raises:
            StoreNotFoundError: there is no such database.
            FilterError: a filter name or value that does not exist; the message lists the right ones.
        """
        return cast("pl.DataFrame", ask_reader(_READ, place_to_read(self, db_url), filters))

    @OnClassOrInstance
    def polars_costs(self, /, db_url: str | None = None, **filters: Any) -> pl.DataFrame:
        """Read the ledger of costs, as :meth:`polars_from_db`: each operation (revision 0), then each later costing."""
        return cast("pl.DataFrame", ask_reader(_COSTS, place_to_read(self, db_url), filters))

    @OnClassOrInstance
    def scan_db(self, /, db_url: str | None = None, *, mirror: bool | None = None, **filters: Any) -> pl.LazyFrame:
        """Return operations as a lazy frame: filters, the columns that are used and the limit go into the SQL.

        ``mirror=True`` reads what a local Parquet mirror of narrow columns has (nothing that was said), and keeps it;
        the frame is the same. None: as ``AICORE_OBS_MIRROR`` says.
        """
        if mirror is not None:
            need_switch("mirror", mirror)
        return cast("pl.LazyFrame", ask_reader(_SCAN, place_to_read(self, db_url), filters, mirror=mirror))


_NOTHING = FlushResult(ok=True, sinks={})
