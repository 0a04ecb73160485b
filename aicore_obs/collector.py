"""This module is where a collector is put together: a capture in front, a road behind, a reader on the way back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack, cast

import msgspec

from aicore_obs import plugins
from aicore_obs.addresses import address_of, check_place, database_address, file_address
from aicore_obs.capture.record import Capture, Captured, Content, RecordOptions
from aicore_obs.context import is_suppressed
from aicore_obs.errors import AicoreObsError, ConfigurationError, StoreError, UnknownParameterError
from aicore_obs.guard import log_window
from aicore_obs.model import codec
from aicore_obs.model.record import Record
from aicore_obs.pipeline import roads
from aicore_obs.pipeline.delivery import DeliveryOptions, SinkSpec
from aicore_obs.pipeline.forks import ForkLock
from aicore_obs.pipeline.portal import in_thread, run_apart
from aicore_obs.pipeline.processors import normalise
from aicore_obs.pipeline.road import Durability, Overflow, Road, RoadOptions
from aicore_obs.pipeline.stats import FlushResult, Stats
from aicore_obs.pipeline.writer import WriterOptions
from aicore_obs.protocols import Address, Processor, Sink, Store, StoreOptions
from aicore_obs.settings import DEFAULT_DATABASE, Settings, from_environment, one_of, parse_size, state_directories
from aicore_obs.timed import TimedOperation

if TYPE_CHECKING:
    import polars as pl

SCHEMA_TIMEOUT_S = 120.0
READ_FLUSH_TIMEOUT_S = 30.0
_FILE_STORES = frozenset({"json", "jsonl", "sqlite"})
_DATABASES = frozenset({"sqlite", "postgresql"})


class CollectorOptions(TypedDict, total=False):
    """The keyword-only parameters of a collector; see :class:`LlmOperationCollector`."""

    sinks: Sequence[str | Path | Sink]
    project: str | None
    durability: Durability | None
    overflow: Overflow
    prices: object
    redact: Callable[[Content], Content] | None
    capture_content: bool | None
    migrate: str | None
    db_schema: str
    enabled: bool | None
    processors: Sequence[Processor]
    journal_dir: str | Path | None
    journal_max_bytes: int | str
    block_timeout_s: float
    batch_interval_s: float
    batch_bytes: int | str
    write_timeout_s: float


class _OnClassOrInstance:
    """A method that is given the instance, or None when it is called on the class."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, instance: object | None, owner: type) -> Callable[..., Any]:
        return self._method.__get__(instance if instance is not None else _NOBODY, owner)  # type: ignore[no-any-return]


class _Nobody:
    """Stands for the instance where a method is called on the class."""


_NOBODY = _Nobody()


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
        overflow: what happens at the journal's cap: ``"drop_newest"`` refuses, counted, and ``record_*`` returns None;
            ``"block"`` waits up to ``block_timeout_s`` (1) and then refuses; ``"raise"`` raises ``JournalFull``.
        prices: kept for the price book, which is not there yet.
        redact: called with ``{"completion_args", "response", "extras", "error"}`` as plain data before anything touches
            a disk; returns the same keys. When it fails, the content is dropped.
        capture_content: False keeps numbers only.
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
        _check_names(options)
        settings = from_environment()
        self._store_options = _store_options(options, settings)
        self.addresses, objects = _places(storage_path, db_url, options, settings, self._store_options)
        self._capture = Capture(
            project=options.get("project"),
            redact=options.get("redact"),
            capture_content=_chosen(options.get("capture_content"), settings.capture_content),
            derive=plugins.derive,
        )
        self._closed = False
        self._road: Road | None = None
        self._road_key: Hashable = None
        if _chosen(options.get("enabled"), settings.enabled):
            for address in self.addresses:
                check_place(address)
            road_options = _road_options(self.addresses, objects, options, self._store_options)
            self._road_key = _key(road_options, options)
            self._road = roads.acquire(self._road_key, lambda: Road(road_options))
            _open_collectors.add(self)

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

        Raises:
            UnknownParameterError: a keyword that does not exist. Odd values never raise: they are kept and marked.
            JournalFull: at the cap, under ``overflow="raise"``.
        """
        road = self._road
        if road is None or is_suppressed():
            return None
        captured = self._capture.operation(completion_args, operation_type, provider, response, latency_ms, options)
        if captured.odd:
            road.count_odd()
        return captured.id if road.append(captured.line) else None

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
        if captured is None or self._road is None:
            return None
        return captured.id if await self._road.aappend(captured.line) else None

    def offer_completion(self, completion_args: Any, *args: Any, **options: Any) -> str | None:
        """Do as :meth:`record_completion`, but never wait and never raise ``JournalFull``: for watchers of others."""
        captured = self._captured(completion_args, *_positional(*args, **options))
        if captured is None or self._road is None:
            return None
        return captured.id if self._road.offer(captured.line) else None

    def operation(
        self,
        completion_args: Any,
        operation_type: str = "completion",
        provider: str | None = None,
        **options: Unpack[RecordOptions],
    ) -> TimedOperation:
        """Return a context manager (sync and async) that times a block and records it as one operation."""
        arguments = {
            "completion_args": completion_args,
            "operation_type": operation_type,
            "provider": provider,
            **options,
        }
        return TimedOperation(self.record_completion, self.arecord_completion, self.offer_completion, arguments)

    def record(self, record: Record) -> str | None:
        """Record a ready record of any kind; for doors."""
        if self._road is None or is_suppressed():
            return None
        return record.id if self._road.append(codec.encode(record)) else None

    def _captured(self, *arguments: Any) -> Captured | None:
        if self._road is None or is_suppressed():
            return None
        captured = self._capture.operation(*arguments)
        if captured.odd:
            self._road.count_odd()
        return captured

    # -- flush, stats, close ---------------------------------------------------------------------------------------

    def flush(self, timeout_s: float = 30) -> FlushResult:
        """Deliver everything that was accepted before, and return the truth about it in time."""
        return self._road.flush(timeout_s) if self._road is not None else _NOTHING

    async def aflush(self, timeout_s: float = 30) -> FlushResult:
        """Do as :meth:`flush`; other tasks run meanwhile."""
        return await self._road.aflush(timeout_s) if self._road is not None else _NOTHING

    def stats(self) -> Stats:
        """Return what the road has done since this process started."""
        if self._road is None:
            raise ConfigurationError("this collector records nothing (enabled=False or AICORE_OBS_ENABLED=0)")
        return self._road.stats()

    def close(self, timeout_s: float = 10) -> FlushResult:
        """Flush and end. What could not be delivered waits in the journal for the next start; harmless twice."""
        if self._closed or self._road is None:
            return self.flush(timeout_s)
        self._closed = True
        _open_collectors.discard(self)
        result = roads.release(self._road_key, timeout_s)
        if not result.ok:
            log_window.warn("close", f"closed with {result.pending} records pending; they wait in the journal")
        return result

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
        databases = [address for address in self.addresses if address.kind in _DATABASES]
        if not databases:
            raise ConfigurationError("this collector has no database: only databases have a schema")
        versions = [ask_store(address, ask) for address in databases]
        return versions[0]

    # -- reading ---------------------------------------------------------------------------------------------------

    @staticmethod
    def polars_from_file(path: str | Path, **filters: Any) -> pl.DataFrame:
        """Read a JSON file as a frame; filters as in :class:`aicore_obs.model.filter.Filter`.

        Raises:
            StoreNotFoundError: there is no such file.
            FilterError: a filter name or value that does not exist; the message lists the right ones.
        """
        return _read(file_address(path, StoreOptions()), filters)

    @_OnClassOrInstance
    def polars_from_db(self, db_url: str | None = None, **filters: Any) -> pl.DataFrame:
        """Read operations as a frame; filters as in :class:`aicore_obs.model.filter.Filter`.

        On an instance: its own store. On the class: ``db_url``, else the one database of the open collectors, else
        ``AICORE_OBS_DB_URL``, else ``./aicore_obs.db``. Reading never creates a database.

        Raises:
            StoreNotFoundError: there is no such database.
            FilterError: a filter name or value that does not exist; the message lists the right ones.
        """
        return _read(_address_to_read(self, db_url), filters)

    @_OnClassOrInstance
    def scan_db(self, db_url: str | None = None, **filters: Any) -> pl.LazyFrame:
        """Return operations as a lazy frame: filters, the columns that are used and the limit go into the SQL."""
        scan = plugins.load("aicore_obs.query.scan:scan")
        address = _address_to_read(self, db_url)
        return cast("pl.LazyFrame", scan(address, filters, **_reading(address)))


_NOTHING = FlushResult(ok=True, sinks={})
# Strong: a collector that goes out of scope unclosed still has a writer, and is read and closed with the process.
_open_collectors: set[LlmOperationCollector] = set()


def ask_store(address: Address, ask: Callable[[Store], Any]) -> int:
    """Ask a store something on a loop of its own; errors come out as ours."""

    async def asked() -> int:
        return int(await ask(cast("Store", plugins.sink(address))))

    try:
        return run_apart(asked, SCHEMA_TIMEOUT_S)
    except AicoreObsError:
        raise
    except Exception as error:
        raise StoreError(f"{address.name}: {error}") from error


def _read(address: Address, filters: dict[str, Any]) -> pl.DataFrame:
    read = plugins.load("aicore_obs.query.reader:read_frame")
    return cast("pl.DataFrame", read(address, filters, **_reading(address)))


def _reading(address: Address) -> dict[str, Any]:
    """Return what a reader must know of the writers in this process."""
    is_ours = any(_writes_to(collector, address) for collector in _open_collectors)
    return {"before": lambda: _flush_writers_to(address), "is_ours": is_ours}


def _flush_writers_to(address: Address) -> None:
    """Flush every open collector of this process that writes to a store, so that one reads one's own writes."""
    for collector in list(_open_collectors):
        if _writes_to(collector, address):
            result = collector.flush(READ_FLUSH_TIMEOUT_S)
            if not result.ok:
                log_window.warn("read", f"reading {address.name} while {result.pending} records are not in it yet")


def _writes_to(collector: LlmOperationCollector, address: Address) -> bool:
    return any(one.name == address.name for one in collector.addresses)


def _address_to_read(asker: object, db_url: str | None) -> Address:
    if isinstance(asker, LlmOperationCollector) and db_url is None:
        databases = [one for one in asker.addresses if one.kind in _DATABASES]
        return (databases or asker.addresses)[0]
    if db_url is not None:
        return address_of(db_url, StoreOptions())
    found = {one.name: one for collector in list(_open_collectors) for one in collector.addresses}
    databases = [one for one in found.values() if one.kind in _DATABASES]
    if len(databases) > 1:
        names = ", ".join(sorted(one.name for one in databases))
        raise ConfigurationError(f"several databases are open ({names}): name one with db_url=, or ask its collector")
    if databases:
        return databases[0]
    url = from_environment().db_url
    return database_address(url or f"sqlite:///{DEFAULT_DATABASE}", StoreOptions())


def _check_names(options: CollectorOptions) -> None:
    unknown = sorted(set(options) - CollectorOptions.__annotations__.keys())
    if unknown:
        names = ", ".join(sorted(CollectorOptions.__annotations__))
        raise UnknownParameterError(f"a collector has no option {', '.join(map(repr, unknown))}; options are: {names}")
    one_of("durability", options.get("durability"), ("process", "disk", "memory"))
    one_of("overflow", options.get("overflow"), ("drop_newest", "block", "raise"))
    one_of("migrate", options.get("migrate"), ("auto", "never"))


def _store_options(options: CollectorOptions, settings: Settings) -> StoreOptions:
    return StoreOptions(
        migrate=options.get("migrate") or settings.migrate or "auto",
        db_schema=options.get("db_schema", "aicore_obs"),
        file_mode=settings.file_mode,
        sync=options.get("durability") == "disk",
    )


def _places(
    storage_path: str | Path | None,
    db_url: str | None,
    options: CollectorOptions,
    settings: Settings,
    store_options: StoreOptions,
) -> tuple[list[Address], list[Sink]]:
    """Return where this collector writes: addresses, and sinks that are objects already."""
    given = options.get("sinks", ())
    if storage_path is None and db_url is None and not given:
        storage_path, db_url = settings.storage_path, settings.db_url
        if storage_path is None and db_url is None:
            db_url = f"sqlite:///{DEFAULT_DATABASE}"
    addresses = [file_address(storage_path, store_options)] if storage_path is not None else []
    if db_url is not None:
        addresses.append(database_address(db_url, store_options))
    addresses += [address_of(str(one), store_options) for one in given if isinstance(one, str | Path)]
    objects = [_checked_sink(one) for one in given if not isinstance(one, str | Path)]
    names = [one.name for one in addresses] + [one.name for one in objects]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"a sink is named twice: {', '.join(sorted(names))}")
    return addresses, objects


def _checked_sink(sink: object) -> Sink:
    if not isinstance(sink, Sink):
        raise ConfigurationError(
            f"sinks={sink!r}: a URL, a path, or an object with name, open(), write(batch) and aclose() is needed"
        )
    return sink


def _road_options(
    addresses: Sequence[Address], objects: Sequence[Sink], options: CollectorOptions, store_options: StoreOptions
) -> RoadOptions:
    specs = [SinkSpec(one.name, lambda one=one: plugins.sink(one)) for one in addresses]  # type: ignore[misc]
    specs += [SinkSpec(one.name, lambda one=one: one) for one in objects]  # type: ignore[misc]
    delivery = DeliveryOptions(
        batch_bytes=parse_size("batch_bytes", options.get("batch_bytes", 1024 * 1024)),
        batch_interval_s=options.get("batch_interval_s", 0.2),
        write_timeout_s=options.get("write_timeout_s", 60.0),
    )
    fingerprint = _fingerprint([spec.name for spec in specs], options.get("project"))
    writer = WriterOptions(
        directory=_journal_directory(addresses, options, fingerprint),
        fingerprint=fingerprint,
        sinks=specs,
        processors=(normalise(plugins.derive), *options.get("processors", ())),
        delivery=delivery,
        file_mode=store_options.file_mode,
    )
    return RoadOptions(
        writer=writer,
        durability=options.get("durability"),
        overflow=options.get("overflow", "drop_newest"),
        block_timeout_s=options.get("block_timeout_s", 1.0),
        journal_max_bytes=parse_size("journal_max_bytes", options.get("journal_max_bytes", 1024**3)),
    )


def _fingerprint(names: Iterable[str], project: str | None) -> str:
    """Return what tells one road's records from another's: where they go and the project, no credentials."""
    text = msgspec.json.encode([sorted(names), project])
    return hashlib.sha256(text).hexdigest()[:16]


def _journal_directory(addresses: Sequence[Address], options: CollectorOptions, fingerprint: str) -> Path | None:
    asked = options.get("journal_dir")
    if asked is not None:
        return Path(asked).expanduser().absolute()
    file_stores = [one.path for one in addresses if one.kind in _FILE_STORES and one.path is not None]
    if file_stores:
        return file_stores[0].with_name(file_stores[0].name + ".journal")
    candidates = [directory / fingerprint for directory in state_directories()]
    return next(filter(_can_be_written, candidates), candidates[0])


def _can_be_written(directory: Path) -> bool:
    existing = next(parent for parent in (directory, *directory.parents) if parent.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)


def _key(road: RoadOptions, options: CollectorOptions) -> Hashable:
    """Return what two collectors must have in common to share a road."""
    writer = road.writer
    processors = tuple(map(id, options.get("processors", ())))
    limits = (road.durability, road.overflow, road.block_timeout_s, road.journal_max_bytes)
    delivery = msgspec.structs.astuple(writer.delivery)
    return (writer.directory, writer.fingerprint, processors, limits, delivery, options.get("migrate"))


def _positional(
    operation_type: str = "completion",
    provider: str | None = None,
    response: Any = None,
    latency_ms: float | None = None,
    **options: Any,
) -> tuple[Any, ...]:
    return operation_type, provider, response, latency_ms, options


def _chosen(option: bool | None, setting: bool) -> bool:
    return setting if option is None else option


# -- the default collector -----------------------------------------------------------------------------------------

_default: list[LlmOperationCollector] = []
_default_lock = ForkLock()


def configure(
    storage_path: str | Path | None = None, db_url: str | None = None, **options: Unpack[CollectorOptions]
) -> LlmOperationCollector:
    """Make the default collector, and close the one that was there."""
    with _default_lock:
        collector = LlmOperationCollector(storage_path, db_url, **options)
        old = [_default.pop()] if _default else []
        _default.append(collector)
    for one in old:
        one.close()
    return collector


def get_collector() -> LlmOperationCollector:
    """Return the default collector; without :func:`configure` it is made from the environment."""
    with _default_lock:
        if not _default:
            _default.append(LlmOperationCollector())
        return _default[0]
