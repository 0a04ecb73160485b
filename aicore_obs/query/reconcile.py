"""This module is where our recorded costs are held against a provider's statement, to the cent and with likely causes.

Every key (a request, a day and a model, …) ends in one of four frames. Over all of them together, ours plus the
differences is theirs, exactly: nothing is compared twice and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypedDict, Unpack

import msgspec
import polars as pl

from aicore_obs.errors import ConfigurationError, FilterError
from aicore_obs.model.filter import Filter
from aicore_obs.protocols import Address
from aicore_obs.query.causes import causes_of
from aicore_obs.query.reader import BATCH_ROWS, open_reader
from aicore_obs.query.sides import (
    KEYS,
    OUR_COLUMNS,
    REQUEST,
    TOKENS,
    Unit,
    checked_lines,
    checked_ours,
    line_groups,
    of_billers,
    our_groups,
    period_of,
    unit_of,
)
from aicore_obs.query.statements.lines import MONEY
from aicore_obs.query.statements.reading import read_statement

# Statements are rounded to the cent; a request is billed in fractions of one.
CENT = Decimal("0.01")
REQUEST_TOLERANCE = Decimal("0.000001")
# Columns of each of the four frames.
PART_COLUMNS: tuple[str, ...] = (
    *KEYS,
    "ours_usd",
    "provider_usd",
    "difference_usd",
    "operations",
    "unpriced",
    "partly_priced",
    "lines",
    *TOKENS,
    *(f"provider_{name}" for name in TOKENS),
    "our_models",
    "price_ids",
    "line_items",
    "rows",
    "cause",
    "ratio",
    "explanation",
)
_ZERO = pl.lit(Decimal(0)).cast(MONEY)


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The sums over all four frames, in US dollars: ``ours_usd + difference_usd == provider_usd``.

    ``ours_usd`` is a lower bound where ``unpriced_operations`` is not 0: operations whose cost is unknown add nothing.
    """

    ours_usd: Decimal
    provider_usd: Decimal
    difference_usd: Decimal
    operations: int
    unpriced_operations: int
    # Their cost is a lower bound: something that they used has no price.
    partly_priced_operations: int
    # Operations of other providers, which the statement cannot hold.
    other_operations: int
    lines: int
    # The UTC days of the statement; the second is the day after the last one.
    start: date | None
    end: date | None


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """What a statement and our records have in common and what not; the frames have :data:`PART_COLUMNS`.

    ``difference_usd`` is the provider's amount minus ours. ``cause`` is a word, ``explanation`` a sentence with the
    figures that prove it, ``ratio`` theirs by ours where the price differs.
    """

    matched: pl.DataFrame
    mismatch: pl.DataFrame
    ours_only: pl.DataFrame
    provider_only: pl.DataFrame
    totals: Totals
    by: str
    tolerance: Decimal

    @property
    def ok(self) -> bool:
        """Whether every key matched within the tolerance."""
        return not (self.mismatch.height or self.ours_only.height or self.provider_only.height)

    @property
    def parts(self) -> dict[str, pl.DataFrame]:
        """The four frames by their names."""
        names = ("matched", "mismatch", "ours_only", "provider_only")
        return {name: getattr(self, name) for name in names}


class Options(TypedDict, total=False):
    """How to compare; see :func:`aicore_obs.reconciliation.reconcile`."""

    tolerance: Decimal | int | str | None
    by: str | None
    cost_column: str | None


def reconcile_frame(
    ours: pl.DataFrame, statement: pl.DataFrame | str | Path | Sequence[str | Path], **options: Unpack[Options]
) -> Reconciliation:
    """Compare a frame of operations, as a whole, with a statement."""
    lines = _lines(statement, options)
    return _compared(checked_ours(ours), lines, options)


def reconcile_store(
    address: Address,
    filters: Filter | Mapping[str, Any],
    statement: pl.DataFrame | str | Path | Sequence[str | Path],
    *,
    before: Callable[[], object] | None = None,
    is_ours: bool = False,
    **options: Unpack[Options],
) -> Reconciliation:
    """Compare the operations of a store with a statement; ``before`` and ``is_ours`` as in ``read_frame``."""
    lines = _lines(statement, options)
    query = _query(filters, lines)
    reader = open_reader(address, is_ours=is_ours)
    if before is not None:
        before()
    columns = tuple(OUR_COLUMNS)
    batches = list(reader.batches(query, columns, batch_rows=BATCH_ROWS))
    ours = pl.concat(batches) if batches else pl.DataFrame(schema=OUR_COLUMNS)
    return _compared(checked_ours(ours), lines, options)


def _lines(statement: pl.DataFrame | str | Path | Sequence[str | Path], options: Options) -> pl.DataFrame:
    if isinstance(statement, pl.DataFrame):
        return checked_lines(statement)
    paths = [statement] if isinstance(statement, str | Path) else statement
    return checked_lines(read_statement(*paths, cost_column=options.get("cost_column")))


def _compared(ours: pl.DataFrame, lines: pl.DataFrame, options: Options) -> Reconciliation:
    unit = unit_of(lines, ours, options.get("by"))
    allowed = _tolerance(options.get("tolerance"), unit)
    billed = of_billers(ours, lines)
    keys = our_groups(billed, lines, unit).join(
        line_groups(lines, unit), on=KEYS, how="full", coalesce=True, nulls_equal=True
    )
    compared = keys.with_columns(
        (pl.col("provider_usd").fill_null(_ZERO) - pl.col("ours_usd").fill_null(_ZERO)).alias("difference_usd"),
        *(pl.col(name).fill_null(0) for name in ("operations", "unpriced", "partly_priced", "repeated", "lines")),
        *(_seen() if unit.by == REQUEST else ()),
    ).sort(KEYS, nulls_last=True)
    return _result(compared, lines=lines, unit=unit, tolerance=allowed, others=ours.height - billed.height)


def _result(
    compared: pl.DataFrame, *, lines: pl.DataFrame, unit: Unit, tolerance: Decimal, others: int
) -> Reconciliation:
    compared = compared.with_columns(_part(tolerance).alias("part"))
    causes = causes_of(compared, lines, tolerance=tolerance, by=unit.by)
    explained = compared.with_columns(
        pl.Series("cause", [one.word for one in causes], dtype=pl.String),
        pl.Series("ratio", [one.ratio for one in causes], dtype=MONEY),
        pl.Series("explanation", [one.text for one in causes], dtype=pl.String),
    )
    parts = {
        name: explained.filter(pl.col("part") == name).select(PART_COLUMNS)
        for name in ("matched", "mismatch", "ours_only", "provider_only")
    }
    return Reconciliation(**parts, totals=_totals(compared, lines, others), by=unit.by, tolerance=tolerance)


def _seen() -> tuple[pl.Expr, ...]:
    """Day and model of a request are no part of its key, but good to know."""
    return pl.coalesce("our_day", "line_day").alias("day"), pl.coalesce("our_name", "line_name").alias("model")


def _part(tolerance: Decimal) -> pl.Expr:
    within = pl.col("difference_usd").abs() <= pl.lit(tolerance).cast(MONEY)
    # What nobody owes is no difference: a free call, a line of zero.
    is_settled = (pl.col("difference_usd") == _ZERO) & (pl.col("unpriced") == 0)
    all_unpriced = (pl.col("unpriced") > 0) & pl.col("ours_usd").is_null()
    return (
        pl.when(is_settled)
        .then(pl.lit("matched"))
        .when(pl.col("provider_usd").is_null())
        .then(pl.lit("ours_only"))
        .when(pl.col("operations") == 0)
        .then(pl.when(pl.col("ours_usd").is_null()).then(pl.lit("provider_only")).otherwise(_near(within)))
        .when(all_unpriced & (pl.col("provider_usd") != _ZERO))
        .then(pl.lit("mismatch"))
        .otherwise(_near(within))
    )


def _near(within: pl.Expr) -> pl.Expr:
    return pl.when(within).then(pl.lit("matched")).otherwise(pl.lit("mismatch"))


def _totals(compared: pl.DataFrame, lines: pl.DataFrame, others: int) -> Totals:
    amounts = {name: Decimal(compared[name].sum() or 0) for name in ("ours_usd", "provider_usd", "difference_usd")}
    first, last = period_of(lines)
    return Totals(
        **amounts,
        operations=int(compared["operations"].sum()),
        unpriced_operations=int(compared["unpriced"].sum()),
        partly_priced_operations=int(compared["partly_priced"].sum()),
        other_operations=others,
        lines=int(compared["lines"].sum()),
        start=first,
        end=last,
    )


def _tolerance(given: Decimal | int | str | None, unit: Unit) -> Decimal:
    if given is None:
        return REQUEST_TOLERANCE if unit.by == REQUEST else CENT
    try:
        tolerance = Decimal(str(given))
    except InvalidOperation as error:
        raise ConfigurationError(f"tolerance={given!r}: an amount in USD is needed") from error
    if not tolerance.is_finite() or tolerance < 0:
        raise ConfigurationError(f"tolerance={given!r}: an amount of 0 or more in USD is needed")
    return tolerance


def _query(ours: Filter | Mapping[str, Any], lines: pl.DataFrame) -> Filter:
    query = ours if isinstance(ours, Filter) else Filter.of(**ours)
    if query.limit is not None or query.columns is not None:
        raise FilterError("a reconciliation takes no limit or columns: sums need every operation")
    first, last = period_of(lines)
    if query.start is not None or query.end is not None or first is None or last is None:
        return query
    return msgspec.structs.replace(query, start=_midnight(first), end=_midnight(last), end_exclusive=True)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
