"""This module is where a statement's format is told by its columns, and the statement read into one normal frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from aicore_obs.errors import ConfigurationError, StatementError
from aicore_obs.query.statements import anthropic, focus, openai, requests
from aicore_obs.query.statements.files import Content, load
from aicore_obs.query.statements.lines import Format, frame_of

# Tried in this order: the tables of requests ask for the least.
FORMATS: tuple[Format, ...] = (*openai.FORMATS, *anthropic.FORMATS, *focus.FORMATS, *requests.FORMATS)
_SHOWN_COLUMNS = 12


def read_statement(*paths: str | Path, cost_column: str | None = None) -> pl.DataFrame:
    """Read a provider's export into one frame of statement lines.

    Args:
        paths: the export; several files make one statement, such as pages, or costs and the usage beside them.
        cost_column: the cost column of a FOCUS table: BilledCost (default), EffectiveCost, ListCost or ContractedCost.

    Returns:
        The lines, with the columns of :data:`~aicore_obs.query.statements.lines.STATEMENT_SCHEMA`. Amounts are US
        dollars as Decimal with twelve places. Days are UTC days. Lines of an export of usage have tokens and no amount.

    Raises:
        StatementError: a file is empty or of no known format, has a currency other than USD, or a value that cannot be
            read; the message names file, row, column and value.
        OSError: a file cannot be read.
    """
    if not paths:
        raise ConfigurationError("a statement's path is needed")
    if cost_column is not None and cost_column not in focus.COST_COLUMNS:
        raise ConfigurationError(f"cost_column={cost_column!r}: cost columns are {', '.join(focus.COST_COLUMNS)}")
    return pl.concat([_read(load(path), cost_column) for path in paths])


def _read(content: Content, cost_column: str | None) -> pl.DataFrame:
    found = next((one for one in FORMATS if one.fits(content)), None)
    if found is None:
        raise StatementError(_unknown(content))
    return frame_of(found.read(content, cost_column))


def _unknown(content: Content) -> str:
    formats = "; ".join(f"{one.name}: {one.told_by}" for one in FORMATS)
    return f"{content.file} is no statement of a known format. {_seen(content)}. Known: {formats}"


def _seen(content: Content) -> str:
    if content.columns:
        return f"Its columns: {_some(content.columns)}"
    keys = [str(key) for one in content.documents[:1] if isinstance(one, dict) for key in one]
    return f"Its JSON has the keys: {_some(keys)}" if keys else "Its JSON has no pages with buckets"


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN_COLUMNS
    return ", ".join(names[:_SHOWN_COLUMNS]) + (f" and {rest} more" if rest > 0 else "")
