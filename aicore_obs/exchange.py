"""This module is where users take operations out, copy stores and bring in what others kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aicore_obs import plugins
from aicore_obs.collector import LlmOperationCollector
from aicore_obs.protocols import Address
from aicore_obs.reading import NOBODY, ask, flush_writers_to, place_to_read
from aicore_obs.settings import from_environment

if TYPE_CHECKING:
    from aicore_obs.importing.run import Imported
    from aicore_obs.query.export import Exported
    from aicore_obs.transfer.copy import Copied, Tell

_EXPORT = "aicore_obs.query.export:export"
_HOW = "aicore_obs.query.export:Export"
_POSTGRES = ("postgresql://", "postgres://", "postgresql+asyncpg://")
Place = Address | str | Path


def export_operations(
    path: str | Path,
    filters: Mapping[str, Any] | None = None,
    *,
    store: Place | None = None,
    format: str | None = None,  # noqa: A002 - the word of the command
    overwrite: bool = False,
    tell: Callable[[int], object] | None = None,
) -> Exported:
    """Write the operations that match into a file of JSON lines, CSV or Parquet; the file is there whole or not at all.

    The columns are those of a frame. Amounts keep all their places; ``labels`` and ``extras`` are JSON: objects in JSON
    lines, text elsewhere. :func:`import_records` brings JSON lines and Parquet back.

    Args:
        path: the file; its ending tells the format.
        filters: as in :meth:`LlmOperationCollector.polars_from_db`, ``columns``, ``order`` and ``limit`` too.
        store: an address, URL or path; None: the database that is open in this process, else ``AICORE_OBS_DB_URL``,
            else ``./aicore_obs.db``.
        format: ``"jsonl"``, ``"csv"`` or ``"parquet"``, where the ending does not say it.
        overwrite: replace a file that is there.
        tell: called with the number of operations written so far.

    Raises:
        ConfigurationError: the file is there already, or there is no such format.
        FilterError: a filter name or value that does not exist.
        StoreNotFoundError: there is no store.
    """
    place = _to_read(store)
    how = plugins.load(_HOW)(
        path=Path(path).expanduser(),
        format=format,
        overwrite=overwrite,
        file_mode=from_environment().file_mode,
        tell=tell,
    )
    return cast("Exported", ask(_EXPORT, place, filters or {}, how))


def copy_store(source: Place, target: Place, *, tell: Tell | None = None) -> Copied:
    """Copy every record of one store into another: operations, spans, scopes, flags and revisions of costs, ids kept.

    Both sides are then counted and compared by a checksum of their contents; ``ok`` of the answer says that they agree.
    A copy may be stopped at any moment and run again: nothing is stored twice (into a JSON file, one copy at a time).
    What collectors of this process have accepted for the source is in it first.

    Args:
        source: an address, URL or path; it is never changed.
        target: the same; a store that is missing is made.
        tell: called with what is being done ("copying", "verifying") and the number of operations done.

    Raises:
        ConfigurationError: both are the same store, or one cannot be read back.
        StoreNotFoundError: there is no source.
        StoreError: a store takes or gives nothing now; the next run goes on.
    """
    places = _address(source), _address(target)
    for place in places:
        flush_writers_to(place)
    return cast("Copied", plugins.load("aicore_obs.transfer.copy:copy")(*places, tell=tell))


def import_records(
    path: str | Path,
    store: Place,
    *,
    format: str | None = None,  # noqa: A002 - the word of the command
    timezone: str = "UTC",
    dry_run: bool = False,
    tell: Callable[[int], object] | None = None,
) -> Imported:
    """Bring what another program kept into a store, or what :func:`export_operations` wrote; twice is once.

    AiCore's database and JSON chunks, oplogger's database, LiteLLM's spend logs, OTLP/JSON, and our own JSON lines and
    Parquet. Ids are made of the source's own ids and times. A bad row is counted, and costs no neighbour.

    Args:
        path: a file, a folder of AiCore's chunks, or the URL of a PostgreSQL database; it is never changed.
        store: an address, URL or path; made where there is none.
        format: ``"aicore"``, ``"export"``, ``"litellm"``, ``"oplogger"`` or ``"otlp"``; None: told by the content.
        timezone: whose time it is where the source names no zone, such as ``"Europe/Berlin"``.
        dry_run: only read and count.
        tell: called with the number of rows done so far.

    Raises:
        ConfigurationError: the content is of no known format, or an option cannot be.
        StoreNotFoundError: there is nothing at ``path``.
        StoreError: the store takes nothing now; the next run goes on.
    """
    how = plugins.load("aicore_obs.importing.run:Import")(format=format, timezone=timezone, dry_run=dry_run, tell=tell)
    place = str(path) if str(path).startswith(_POSTGRES) else Path(path).expanduser().absolute()
    return cast("Imported", plugins.load("aicore_obs.importing.run:import_into")(place, _address(store), how))


def _to_read(store: Place | None) -> Address:
    return place_to_read(NOBODY) if store is None else _address(store)


def _address(store: Place) -> Address:
    if isinstance(store, Address):
        return store
    # Made, never opened: so that a store is called and made as a collector would.
    return LlmOperationCollector(sinks=[str(store)], enabled=False).addresses[0]
