"""This module is where rows become a pandas data frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd


def frame_of(rows: Iterable[dict[str, Any]], names: Sequence[str]) -> pd.DataFrame:
    """Return a data frame with these columns, of no rows too."""
    return pd.DataFrame.from_records(list(rows), columns=list(names))
