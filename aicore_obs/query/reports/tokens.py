"""This module is where tokens are added up, and what came out of a cache, and what that saved."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import polars as pl

from aicore_obs.model.cost import EXACT, CostLine, money
from aicore_obs.query.reports.costs import in_order
from aicore_obs.query.reports.question import ALL, MONEY, Question, collected, counted, known_sum

COUNTS = (
    *("input_tokens", "cache_read_tokens", "cache_write_tokens"),
    *("output_tokens", "reasoning_tokens", "total_tokens"),
)
_LINES, _SAVED = "cost_lines", "cache_saved_usd"
_INPUT, _READ, _WRITTEN = "input_mtok", "cache_read_mtok", "cache_write"
_decode = msgspec.json.Decoder(tuple[CostLine, ...]).decode


def usage(question: Question) -> pl.DataFrame:
    """Return the tokens of each group, the share of its input that came out of a cache, and what that saved.

    Sums are of what was reported. ``cache_saved_usd`` is what the cached tokens would have cost as other input, by the
    prices that were charged, less what writing the cache cost above that; ``cache_saved_unknown`` operations that used
    a cache do not tell, and are not in it.
    """
    question.need("total_tokens")
    cached = (pl.col("cache_read_tokens") > 0) | (pl.col("cache_write_tokens") > 0)
    rows = question.rows((*COUNTS, _LINES)).with_columns(
        pl.when(cached).then(pl.col(_LINES)).alias(_LINES), cached.fill_null(value=False).alias("cached")
    )
    both = pl.col("input_tokens").is_not_null() & pl.col("cache_read_tokens").is_not_null()
    read = pl.col("cache_read_tokens").filter(both).sum()
    saved = pl.col(_LINES).map_elements(_saved, return_dtype=pl.String).cast(MONEY)
    found = (
        rows.with_columns(saved.alias(_SAVED))
        .group_by(question.keys)
        .agg(
            pl.len().cast(pl.Int64).alias("operations"),
            pl.col("total_tokens").count().cast(pl.Int64).alias("reported"),
            *(known_sum(name) for name in COUNTS),
            _share(read, pl.col("input_tokens").filter(both).sum()).alias("cache_hit_share"),
            known_sum(_SAVED),
            counted(pl.col("cached") & pl.col(_SAVED).is_null()).alias("cache_saved_unknown"),
        )
    )
    result = collected(found)
    return in_order(result if question.names else result.drop(ALL), question, "total_tokens")


def _share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return pl.when(whole > 0).then(part / whole)


def _saved(text: str) -> str | None:
    """Return what a cache saved by the lines of one cost, as decimal text; None when they do not tell."""
    try:
        lines = _decode(text)
    except msgspec.DecodeError:
        return None
    # Lines of other models have other prices.
    own = [line for line in lines if line.model is None]
    prices = {line.price for line in own if line.unit == _INPUT}
    cached = [line for line in own if line.unit == _READ or line.unit.startswith(_WRITTEN)]
    amounts = [_less(line, prices) for line in cached]
    if not amounts or None in amounts:
        return None
    total = Decimal(0)
    for amount in amounts:
        total = EXACT.add(total, amount or Decimal(0))
    return str(money(total))


def _less(line: CostLine, prices: set[Decimal | None]) -> Decimal | None:
    """Return how much less a line cost than the same tokens as other input."""
    (price,) = prices if len(prices) == 1 else (None,)
    if price is None or line.quantity is None:
        return None
    full = EXACT.divide(EXACT.multiply(price, Decimal(line.quantity)), Decimal(line.per))
    return EXACT.subtract(full, line.amount)
