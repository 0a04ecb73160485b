"""This module is where users reconcile: recorded costs against a provider's statement. The work is done in ``query``.

The readers are reached by name, so that ``import aicore_obs`` loads no Polars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aicore_obs import plugins
from aicore_obs.addresses import address_of
from aicore_obs.model.cost import EXACT
from aicore_obs.model.filter import Filter
from aicore_obs.protocols import Address, StoreOptions
from aicore_obs.reading import ask, place_to_read

if TYPE_CHECKING:
    import polars as pl

    from aicore_obs.query.reconcile import Reconciliation


def reconcile(
    ours: pl.DataFrame | Filter | Mapping[str, Any],
    statement: pl.DataFrame | str | Path | Sequence[str | Path],
    *,
    store: Address | str | Path | None = None,
    tolerance: Decimal | int | str | None = None,
    by: str | None = None,
    cost_column: str | None = None,
) -> Reconciliation:
    """Compare what was recorded with what a provider says it charged.

    Args:
        ours: a frame of operations, which is compared as a whole; or filters (see
            :class:`~aicore_obs.model.filter.Filter`) with which a store is read. Where the filters name no dates, the
            days of the statement are read.
        statement: the provider's export: a path, several paths that make one statement, or a frame that
            :func:`read_statement` returned.
        store: where filters are applied: an address, URL or path; without one the database that is open in this
            process, else ``AICORE_OBS_DB_URL``, else ``./aicore_obs.db``.
        tolerance: US dollars by which a key may differ and still match: 0.01, by request 0.000001.
        by: ``"request"`` (the provider's id of a request, which is our ``response_id``), ``"day"`` (UTC day and model)
            or ``"period"`` (model, over all days); without it requests where the statement has their ids, else days,
            else, where lines are about more than a day, the period.
        cost_column: the cost column of a FOCUS statement; ``BilledCost`` without one.

    Returns:
        Four frames (matched, mismatch, ours_only, provider_only) with likely causes, and the totals.

    Raises:
        StatementError: the statement cannot be read; the message names file, row and column.
        FilterError: a filter that does not exist or cannot be used here.
        ConfigurationError: an argument that cannot work.
        StoreError: the store cannot be read.
    """
    options = {"tolerance": tolerance, "by": by, "cost_column": cost_column}
    # Money is added up in our own context, whatever precision the application has chosen for its own.
    with localcontext(EXACT):
        if isinstance(ours, Filter | Mapping):
            question = "aicore_obs.query.reconcile:reconcile_store"
            return cast("Reconciliation", ask(question, _address(store), ours, statement, **options))
        compare = plugins.load("aicore_obs.query.reconcile:reconcile_frame")
        return cast("Reconciliation", compare(ours, statement, **options))


def read_statement(*paths: str | Path, cost_column: str | None = None) -> pl.DataFrame:
    """Read a provider's export into one frame of statement lines.

    Args:
        paths: the export; several files make one statement, such as pages, or costs and the usage beside them.
        cost_column: the cost column of a FOCUS statement; ``BilledCost`` without one.

    Raises:
        StatementError: a file is of no known format, or has a currency other than USD or a value that cannot be read.
        OSError: a file cannot be read.
    """
    read = plugins.load("aicore_obs.query.statements.reading:read_statement")
    with localcontext(EXACT):
        return cast("pl.DataFrame", read(*paths, cost_column=cost_column))


class _Anybody:
    """Whoever asks without a collector."""

    addresses: Sequence[Address] = ()


def _address(store: Address | str | Path | None) -> Address:
    if store is None:
        return place_to_read(_Anybody())
    return store if isinstance(store, Address) else address_of(str(store), StoreOptions())
