"""This module is where operations are read as plain rows, batch by batch, for whoever makes other things of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from aicore_obs.model.filter import Filter
from aicore_obs.protocols import Address
from aicore_obs.query.reader import open_reader

# Few enough that their texts are no burden.
BATCH_ROWS = 5_000


def read_rows(
    address: Address,
    filters: Mapping[str, Any],
    columns: Sequence[str],
    *,
    before: Callable[[], object] | None = None,
    is_ours: bool = False,
    may_be_missing: bool = False,
) -> Iterator[tuple[Any, ...]]:
    """Return the rows of the operations of one store that match, each with these columns.

    The columns are those of a frame, ``extras_json`` (extras as they were given, as JSON text), ``flags_json`` and
    ``scores_json`` (JSON lists of objects, or null). ``may_be_missing``: a store that is not there has no rows. Raises
    as :func:`~aicore_obs.query.reader.read_frame` does, a wrong filter here and now.
    """
    query = Filter.of(**filters)
    reader = open_reader(address, is_ours=is_ours or may_be_missing)
    if before is not None:
        before()
    return (row for frame in reader.batches(query, columns, batch_rows=BATCH_ROWS) for row in frame.iter_rows())
