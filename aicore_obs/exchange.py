"""This module is where users take operations out of a store. The work is done in ``query``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aicore_obs import plugins
from aicore_obs.addresses import address_of
from aicore_obs.protocols import Address, StoreOptions
from aicore_obs.reading import NOBODY, ask, place_to_read
from aicore_obs.settings import from_environment

if TYPE_CHECKING:
    from aicore_obs.query.export import Exported

_EXPORT = "aicore_obs.query.export:export"
_HOW = "aicore_obs.query.export:Export"
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
    lines, text elsewhere.

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
        path=Path(path), format=format, overwrite=overwrite, file_mode=from_environment().file_mode, tell=tell
    )
    return cast("Exported", ask(_EXPORT, place, filters or {}, how))


def _to_read(store: Place | None) -> Address:
    if isinstance(store, Address):
        return store
    return place_to_read(NOBODY) if store is None else address_of(str(store), StoreOptions())
