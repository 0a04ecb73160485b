"""This module is where a collector's options become what it is made of: addresses, sinks, a journal, a road."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

import msgspec

from aicore_obs import descriptions, plugins
from aicore_obs.addresses import address_of, database_address, file_address
from aicore_obs.capture.limits import Limits
from aicore_obs.capture.record import Capture, Content
from aicore_obs.costing import Prices, costed
from aicore_obs.derivation import derive
from aicore_obs.errors import AicoreObsError, ConfigurationError, StoreError, UnknownParameterError
from aicore_obs.guard import attempt
from aicore_obs.pipeline.delivery import BATCH_BYTES, DeliveryOptions, SinkSpec
from aicore_obs.pipeline.portal import run_apart
from aicore_obs.pipeline.processors import normalise, own_names
from aicore_obs.pipeline.road import Durability, Overflow, RoadOptions
from aicore_obs.pipeline.writer import WriterOptions
from aicore_obs.pricing.book import PriceBook
from aicore_obs.protocols import Address, Processor, Sink, Store, StoreOptions
from aicore_obs.settings import (
    DEFAULT_DATABASE,
    Settings,
    absolute,
    chosen,
    content_size,
    from_environment,
    need_function,
    need_seconds,
    need_several,
    need_share,
    need_switch,
    need_text,
    one_of,
    parse_size,
    state_directories,
)

SCHEMA_TIMEOUT_S = 120.0
_FILE_STORES = frozenset({"json", "jsonl", "sqlite"})


class DoorOptions(TypedDict, total=False):
    """What doors hand on to their collector; the project they name themselves."""

    sinks: Sequence[str | Path | Sink]
    durability: Durability | None
    overflow: Overflow
    writer: Literal["internal", "external"] | None
    prices: Prices
    redact: Callable[[Content], Content] | None
    capture_content: bool | None
    capture_media: bool | None
    max_content_bytes: int | str | None
    content_sample_rate: float | None
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


class CollectorOptions(DoorOptions, total=False):
    """The keyword-only parameters of a collector; see :class:`LlmOperationCollector`."""

    project: str | None


def checked(options: CollectorOptions) -> CollectorOptions:
    """Return the options that were given; None is as good as nothing.

    Raises:
        UnknownParameterError: an option that does not exist; the message lists the right ones.
        ConfigurationError: a value that cannot work.
    """
    unknown = sorted(set(options) - CollectorOptions.__annotations__.keys())
    if unknown:
        names = ", ".join(sorted(CollectorOptions.__annotations__))
        raise UnknownParameterError(f"a collector has no option {', '.join(map(repr, unknown))}; options are: {names}")
    given = {name: value for name, value in options.items() if value is not None}
    for name in given.keys() & _CHECKS.keys():
        _CHECKS[name](name, given[name])
    return cast("CollectorOptions", given)


def _functions(option: str, value: Any) -> None:
    need_several(option, value)
    for one in value:
        need_function(option, one)


def _words(*allowed: str) -> Callable[[str, Any], object]:
    return lambda option, value: one_of(option, value, allowed)


_CHECKS: dict[str, Callable[[str, Any], object]] = {
    "sinks": need_several,
    "project": need_text,
    "durability": _words("process", "disk", "memory"),
    "overflow": _words("drop_newest", "block", "raise"),
    "writer": _words("internal", "external"),
    "migrate": _words("auto", "never"),
    "redact": need_function,
    "capture_content": need_switch,
    "capture_media": need_switch,
    "max_content_bytes": content_size,
    "content_sample_rate": need_share,
    "enabled": need_switch,
    "processors": _functions,
    "db_schema": need_text,
    "journal_max_bytes": parse_size,
    "batch_bytes": parse_size,
    "block_timeout_s": need_seconds,
    "batch_interval_s": need_seconds,
    "write_timeout_s": need_seconds,
}


def capture(options: CollectorOptions, settings: Settings) -> Capture:
    """Return what turns calls into records, keeping what these options say of their content."""
    size, rate = options.get("max_content_bytes"), options.get("content_sample_rate")
    limits = Limits(
        media=chosen(options.get("capture_media"), settings.capture_media),
        max_bytes=settings.max_content_bytes if size is None else content_size("max_content_bytes", size),
        sample_rate=settings.content_sample_rate if rate is None else rate,
    )
    return Capture(
        project=options.get("project"),
        redact=options.get("redact"),
        capture_content=chosen(options.get("capture_content"), settings.capture_content),
        limits=limits,
        derive=derive,
    )


def store_options(options: CollectorOptions, settings: Settings) -> StoreOptions:
    return StoreOptions(
        migrate=options.get("migrate") or settings.migrate or "auto",
        db_schema=options.get("db_schema", "aicore_obs"),
        file_mode=settings.file_mode,
        sync=options.get("durability") == "disk",
    )


def places(
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


def road_options(
    addresses: Sequence[Address],
    objects: Sequence[Sink],
    options: CollectorOptions,
    store_options: StoreOptions,
    book: PriceBook,
) -> RoadOptions:
    external = _is_external(options, objects)
    if not external:
        descriptions.registry()
    specs = [SinkSpec(one.name, _nobody if external else plugins.sink_builder(one)) for one in addresses]
    specs += [SinkSpec(one.name, lambda one=one: one) for one in objects]  # type: ignore[misc]
    delivery = DeliveryOptions(
        batch_bytes=parse_size("batch_bytes", options.get("batch_bytes", BATCH_BYTES)),
        batch_interval_s=options.get("batch_interval_s", 0.2),
        write_timeout_s=options.get("write_timeout_s", 60.0),
    )
    processors = (normalise(costed(book, estimates=True)), *options.get("processors", ()))
    fingerprint = _fingerprint([spec.name for spec in specs], options.get("project"), own_names(processors))
    writer = WriterOptions(
        directory=_journal_directory(addresses, options, fingerprint),
        fingerprint=fingerprint,
        sinks=specs,
        processors=processors,
        delivery=delivery,
        file_mode=store_options.file_mode,
    )
    return RoadOptions(
        writer=writer,
        durability=options.get("durability"),
        overflow=options.get("overflow", "drop_newest"),
        block_timeout_s=options.get("block_timeout_s", 1.0),
        journal_max_bytes=parse_size("journal_max_bytes", options.get("journal_max_bytes", 1024**3)),
        external=external,
    )


def _is_external(options: CollectorOptions, objects: Sequence[Sink]) -> bool:
    """Return whether this process only appends, and another one delivers.

    Raises:
        ConfigurationError: nobody else could deliver what this collector is asked to keep.
    """
    if (options.get("writer") or from_environment().writer) != "external":
        return False
    if objects:
        names = ", ".join(one.name for one in objects)
        raise ConfigurationError(f'writer="external" needs sinks that another process can open by URL or path: {names}')
    if options.get("durability") == "memory":
        raise ConfigurationError('writer="external" and durability="memory": nobody else can deliver out of memory')
    return True


def _nobody() -> Sink:
    raise AssertionError("this process delivers nothing")


def _fingerprint(names: Iterable[str], project: str | None, processors: Sequence[str]) -> str:
    """Return what tells one road's records from another's: where they go, the project, the steps; no credentials."""
    text = msgspec.json.encode([sorted(names), project, *processors])
    return hashlib.sha256(text).hexdigest()[:16]


def _journal_directory(addresses: Sequence[Address], options: CollectorOptions, fingerprint: str) -> Path | None:
    asked = options.get("journal_dir")
    if asked is not None:
        return absolute("journal_dir", asked)
    file_stores = [one.path for one in addresses if one.kind in _FILE_STORES and one.path is not None]
    if file_stores:
        return file_stores[0].with_name(file_stores[0].name + ".journal")
    candidates = [directory / fingerprint for directory in state_directories()]
    return next(filter(_can_be_written, candidates), candidates[0])


def _can_be_written(directory: Path) -> bool:
    existing = next(parent for parent in (directory, *directory.parents) if parent.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)


def road_key(road: RoadOptions, options: CollectorOptions, book: PriceBook) -> Hashable:
    """Return what two collectors must have in common to share a road."""
    writer = road.writer
    # Objects are themselves and no other: neither a step nor a sink is taken for another one of its name.
    sinks = [one for one in options.get("sinks", ()) if not isinstance(one, str | Path)]
    objects = tuple(map(id, (*options.get("processors", ()), *sinks)))
    limits = (road.durability, road.overflow, road.block_timeout_s, road.journal_max_bytes)
    delivery = msgspec.structs.astuple(writer.delivery)
    # Who delivers looks up the prices; to read them here would only cost time.
    means = (options.get("migrate"), None if road.external else book.version)
    return (writer.directory, writer.fingerprint, objects, limits, delivery, means, road.external)


def ask_store(address: Address, ask: Callable[[Store], Any]) -> int:
    """Ask a store something on a loop of its own; errors come out as ours."""

    async def asked() -> int:
        return int(await ask(cast("Store", plugins.sink(address))))

    outcome = attempt(run_apart, asked, SCHEMA_TIMEOUT_S)
    if outcome.value is not None:
        return outcome.value
    if isinstance(outcome.error, AicoreObsError):
        raise outcome.error
    raise StoreError(f"{address.name}: {outcome.error}") from outcome.error
