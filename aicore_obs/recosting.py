"""This module is where users cost the past again without a collector in hand. The work is done in ``query``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aicore_obs import plugins
from aicore_obs.addresses import address_of, place_of
from aicore_obs.collector import LlmOperationCollector
from aicore_obs.costing import Prices, book_of, book_of_settings
from aicore_obs.errors import StoreError
from aicore_obs.pipeline import roads
from aicore_obs.protocols import Address, StoreOptions
from aicore_obs.reading import NOBODY, ask, place_to_read

if TYPE_CHECKING:
    from aicore_obs.query.recost import Recosted

_RECOST = "aicore_obs.query.recost:recost"
_HOW = "aicore_obs.query.recost:Recost"
FLUSH_TIMEOUT_S = 60.0


def recost(
    filters: Mapping[str, Any] | None = None,
    prices: Prices = None,
    dry_run: bool = True,
    *,
    store: Address | str | Path | None = None,
    author: str | None = None,
    tell: Callable[[int], object] | None = None,
) -> Recosted:
    """Cost stored operations again and return what differs; ``dry_run=False`` keeps it as revisions.

    Args:
        filters: as in :meth:`LlmOperationCollector.polars_from_db`; None: everything.
        prices: a price book, its rows or a file of rows; None: the file that ``AICORE_OBS_PRICES`` names, else the
            bundled prices.
        dry_run: only look.
        store: an address, URL or path; None: the database that is open in this process, else ``AICORE_OBS_DB_URL``,
            else ``./aicore_obs.db``.
        author: kept with each revision, by default ``user@host``.
        tell: called with the number of operations looked at.

    Raises:
        FilterError: a filter that does not exist.
        ConfigurationError: ``prices`` or ``store`` cannot be used.
        StoreError: the store cannot be read, or did not take every revision in time: those wait in the journal.
    """
    place = _place(store)
    how = {"book": book_of_settings() if prices is None else book_of(prices), "author": author, "tell": tell}
    if dry_run:
        return cast("Recosted", ask(_RECOST, place, filters or {}, plugins.load(_HOW)(**how)))
    # Before our own collector counts as one: a store that nobody has made stays an error.
    is_ours = bool(roads.writing_to(place.name))
    with LlmOperationCollector(sinks=[place_of(place)], db_schema=place.options.db_schema, enabled=True) as collector:
        kept = plugins.load(_HOW)(record=collector.record, **how)
        result: Recosted = plugins.load(_RECOST)(place, filters or {}, kept, before=collector.flush, is_ours=is_ours)
        flushed = collector.flush(timeout_s=FLUSH_TIMEOUT_S)
    if not flushed.ok:
        raise StoreError(
            f"{place.name}: {result.written} new costs were accepted, {flushed.pending} are not stored yet and wait in "
            "the journal for the next collector, or `aicore-obs drain`"
        )
    return result


def _place(store: Address | str | Path | None) -> Address:
    if isinstance(store, Address):
        return store
    return place_to_read(NOBODY) if store is None else address_of(str(store), StoreOptions())
