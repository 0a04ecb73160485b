"""This module is where the ledger of costs is read, and added up, with waiting records flushed first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from aicore_obs import plugins
from aicore_obs.model.cost import CostSum
from aicore_obs.model.filter import Filter
from aicore_obs.protocols import Address
from aicore_obs.query.reader import BATCH_ROWS, open_reader


def read_costs(
    address: Address,
    filters: Mapping[str, Any],
    *,
    before: Callable[[], object] | None = None,
    is_ours: bool = False,
) -> pl.DataFrame:
    """Read the ledger of costs of the operations of one store that match.

    A row for each operation as it was recorded (``revision`` 0, ``recorded_at`` its own time), then one for each time
    that it was costed again (1, 2, …), by whom and by which price book. Amounts are Decimal with twelve places, null
    where unknown; ``cost_lines`` is JSON text. Arguments and errors as in
    :func:`~aicore_obs.query.reader.read_frame`; the filter ``columns`` is of no effect, ``limit`` counts operations.
    """
    query = Filter.of(**filters)
    reader = open_reader(address, is_ours=is_ours)
    if before is not None:
        before()
    frames = list(reader.costs(query, batch_rows=BATCH_ROWS))
    if not frames:
        return pl.DataFrame(schema=plugins.load("aicore_obs.stores.frame:ledger_schema")())
    return pl.concat(frames)


def sum_costs(
    address: Address,
    filters: Mapping[str, Any] | Filter,
    *,
    before: Callable[[], object] | None = None,
    is_ours: bool = False,
) -> CostSum:
    """Return the exact sum of the costs of the operations of one store that match; arguments as in :func:`read_costs`.

    Nothing is brought into memory but the sums.
    """
    query = filters if isinstance(filters, Filter) else Filter.of(**filters)
    reader = open_reader(address, is_ours=is_ours)
    if before is not None:
        before()
    return reader.cost_sum(query)
