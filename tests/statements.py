"""This module is where tests make frames of operations and the statements that a provider would send for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from aicore_obs.query.statements.lines import STATEMENT_SCHEMA
from aicore_obs.stores.frame import empty_schema

FIXTURES = Path(__file__).parent / "fixtures" / "statements"


def at(day: int, hour: int = 12) -> datetime:
    """Return a time in August 2026."""
    return datetime(2026, 8, day, hour, tzinfo=UTC)


def operations(*rows: Mapping[str, Any]) -> pl.DataFrame:
    """Return a frame of operations as a store gives it; what a row does not say is null."""
    schema = {name: kind for name, kind in empty_schema().items() if name not in ("labels", "extras")}
    plain = {"provider": "openai", "model": "gpt-4o", "status": "ok", "timestamp": at(1)}
    whole = [{**plain, "operation_id": f"op-{number}", **_exact(row)} for number, row in enumerate(rows)]
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in whole], schema=schema)


def lines(*rows: Mapping[str, Any]) -> pl.DataFrame:
    """Return a frame of statement lines; what a row does not say is null."""
    plain = {"provider": "openai", "model": "gpt-4o-2024-08-06", "model_name": "gpt-4o", "file": "made"}
    whole = [{"day": at(1).date(), **plain, "row": number, **_exact(row)} for number, row in enumerate(rows, start=1)]
    return pl.DataFrame([{name: row.get(name) for name in STATEMENT_SCHEMA} for row in whole], schema=STATEMENT_SCHEMA)


def words(result: Any, part: str = "mismatch") -> list[str | None]:
    """Return the causes of one part."""
    return list(result.parts[part]["cause"].to_list())


def is_exact(result: Any) -> bool:
    """Return whether ours and the differences make theirs, in the totals and over the four frames."""
    totals = result.totals
    differences = _sum(frame["difference_usd"] for frame in result.parts.values())
    ours = _sum(frame["ours_usd"] for frame in result.parts.values())
    theirs = _sum(frame["provider_usd"] for frame in result.parts.values())
    return totals.ours_usd + totals.difference_usd == totals.provider_usd and (ours, differences, theirs) == (
        totals.ours_usd,
        totals.difference_usd,
        totals.provider_usd,
    )


def _sum(columns: Iterable[pl.Series]) -> Decimal:
    return sum((amount for column in columns for amount in column.drop_nulls().to_list()), Decimal(0))


def _exact(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: Decimal(value) if name.endswith("_usd") and value is not None else value for name, value in row.items()
    }
