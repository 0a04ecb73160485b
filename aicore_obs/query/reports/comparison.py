"""This module is where two sets of operations are set side by side, with what differs and how sure that is.

The intervals are of the bootstrap (Efron 1979): the same difference, over samples drawn with replacement from either
side, and what lies in the middle 95 % of them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from aicore_obs.errors import ConfigurationError
from aicore_obs.model.cost import EXACT, money
from aicore_obs.query.reports.costs import checked, sums
from aicore_obs.query.reports.question import ALL, MONEY, Question, collected, counted

SAMPLES = 2_000
# Of more values than these, the means of so many blocks of equal size are drawn from: the same interval, sooner.
BLOCKS = 2_000
_TAIL = 0.025
_COLUMNS = ("cost_usd", "cost_reason", "total_tokens", "latency_ms", "status")
_SCHEMA: dict[str, Any] = {
    "side": pl.String(),
    "operations": pl.Int64(),
    "errors": pl.Int64(),
    "error_rate": pl.Float64(),
    "latency_mean_ms": pl.Float64(),
    "latency_p50_ms": pl.Float64(),
    "latency_p95_ms": pl.Float64(),
    "tokens_mean": pl.Float64(),
    "cost_usd": MONEY,
    "is_lower_bound": pl.Boolean(),
    "unpriced": pl.Int64(),
    "cost_mean_usd": MONEY,
}
Draw = Callable[[], float]


def compare(a: Question, b: Question, *, seed: int = 0) -> pl.DataFrame:
    """Return five rows: ``a``, ``b``, ``difference`` (b less a), and ``low`` and ``high``, where it likely lies.

    ``cost_mean_usd`` is over the operations that have a cost. Intervals are given for the means of cost and latency and
    for the percentiles of latency, where either side has at least two values; the same seed gives the same ones.

    Raises:
        ConfigurationError: the seed is no whole number.
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ConfigurationError(f"seed={seed!r}: a whole number is needed")
    sides = [_rows(question) for question in (a, b)]
    if not any(side.height for side in sides):
        return pl.DataFrame(schema=_SCHEMA)
    facts = [_facts(side) for side in sides]
    difference = {name: _difference(facts[0][name], facts[1][name]) for name in facts[0]}
    low, high = _intervals(sides, random.Random(seed))
    named = {"a": facts[0], "b": facts[1], "difference": difference, "low": low, "high": high}
    return pl.DataFrame([{"side": side, **values} for side, values in named.items()], schema=_SCHEMA)


def _rows(question: Question) -> pl.DataFrame:
    question.need("cost_usd", "latency_ms", "status")
    return collected(question.rows(_COLUMNS))


def _facts(rows: pl.DataFrame) -> dict[str, Any]:
    summed = checked(rows.with_columns(pl.lit(0).alias(ALL)).select(*sums(with_tokens=False))).row(0, named=True)
    errors = rows.select(counted(pl.col("status") == "error")).item()
    priced = summed["operations"] - summed["unpriced"]
    latency = rows["latency_ms"]
    return {
        "operations": summed["operations"],
        "errors": errors,
        "error_rate": errors / rows.height if rows.height else None,
        "latency_mean_ms": latency.mean(),
        "latency_p50_ms": _quantile(latency.drop_nulls().sort(), 0.5),
        "latency_p95_ms": _quantile(latency.drop_nulls().sort(), 0.95),
        "tokens_mean": rows["total_tokens"].mean(),
        "cost_usd": summed["cost_usd"] if rows.height else Decimal(0),
        "is_lower_bound": bool(summed["is_lower_bound"]),
        "unpriced": summed["unpriced"],
        "cost_mean_usd": money(EXACT.divide(summed["cost_usd"], Decimal(priced))) if priced else None,
    }


def _difference(a: Any, b: Any) -> Any:
    if isinstance(a, bool) or isinstance(b, bool):
        # A difference of two bounds is no bound.
        return None
    if isinstance(a, Decimal) and isinstance(b, Decimal):
        return EXACT.subtract(b, a)
    return None if a is None or b is None else b - a


def _intervals(sides: Sequence[pl.DataFrame], chance: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    latencies = [side["latency_ms"].drop_nulls().sort() for side in sides]
    costs = [side["cost_usd"].drop_nulls().cast(pl.Float64) for side in sides]
    drawn = {
        "latency_mean_ms": [_mean_of(one, chance) for one in latencies],
        "latency_p50_ms": [_quantile_of(one, 0.5, chance) for one in latencies],
        "latency_p95_ms": [_quantile_of(one, 0.95, chance) for one in latencies],
        "cost_mean_usd": [_mean_of(one, chance) for one in costs],
    }
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    for name, (first, second) in drawn.items():
        if first is not None and second is not None:
            found = sorted(second() - first() for _ in range(SAMPLES))
            cut = int(SAMPLES * _TAIL)
            ends = (found[cut], found[-cut - 1])
            low[name], high[name] = (_money(end) if name.endswith("_usd") else end for end in ends)
    return low, high


def _money(amount: float) -> Decimal:
    return money(Decimal(repr(amount)))


def _mean_of(values: pl.Series, chance: random.Random) -> Draw | None:
    """Return what draws the mean of a sample."""
    if len(values) < 2:
        return None
    shuffled = values.to_list()
    if len(shuffled) > BLOCKS:
        chance.shuffle(shuffled)
        shuffled = [math.fsum(block) / len(block) for block in (shuffled[start::BLOCKS] for start in range(BLOCKS))]
    return lambda: math.fsum(chance.choices(shuffled, k=len(shuffled))) / len(shuffled)


def _quantile_of(values: pl.Series, share: float, chance: random.Random) -> Draw | None:
    """Return what draws a quantile of a sample of sorted values.

    The k-th of n sorted draws is where the k-th of n even random numbers falls, which has a Beta distribution: one
    number is drawn, and not n.
    """
    count = len(values)
    if count < 2:
        return None
    held = values.to_list()
    rank = min(count, max(1, round(share * (count - 1)) + 1))
    return lambda: float(held[min(count - 1, int(count * chance.betavariate(rank, count - rank + 1)))])


def _quantile(values: pl.Series, share: float) -> float | None:
    return values.quantile(share, interpolation="linear")
