"""This module is where the rows of a Parquet file are read back, some at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from aicore_obs.errors import StoreDamagedError
from aicore_obs.query.export import EXPORT_ROWS


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file.

    Raises:
        StoreDamagedError: it is no Parquet file.
    """
    try:
        scan = pl.scan_parquet(path)
        height = scan.select(pl.len()).collect().item()
        for start in range(0, height, EXPORT_ROWS):
            yield from scan.slice(start, EXPORT_ROWS).collect().iter_rows(named=True)
    except pl.exceptions.PolarsError as error:
        raise StoreDamagedError(f"{path} is no Parquet file that can be read: {error}") from error
