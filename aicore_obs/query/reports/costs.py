"""This module is where money is added up by group, beside the period before, and what has no price is counted.

A sum skips what is unknown, so it is a lower bound wherever something is: each row says whether it is one.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from aicore_obs.errors import StoreError
from aicore_obs.model.budget import Window
from aicore_obs.query.reports.groups import UNITS, Group
from aicore_obs.query.reports.question import MONEY, TIME, Question, collected, counted, known_sum

NEEDED = ("cost_usd", "cost_reason", "input_tokens", "output_tokens", "total_tokens")
# What a column of money holds; Polars adds up past it without a word.
_TOO_MUCH = 1e25
# No unit began longer before the next one ended, whatever the clocks were set to.
_FAR = {
    "hour": timedelta(hours=4),
    "day": timedelta(days=3),
    "week": timedelta(days=15),
    "month": timedelta(days=63),
    "year": timedelta(days=732),
}
_MOST = "_most"
_BEFORE = "_before"


def sums(*, with_tokens: bool = True) -> list[pl.Expr]:
    """Return what each group has: counts, the sum of what is known, and whether that is all."""
    known, reason = pl.col("cost_usd").is_not_null(), pl.col("cost_reason").is_not_null()
    without = pl.col("total_tokens").filter(~known)
    tokens = [known_sum(name) for name in ("input_tokens", "output_tokens")] if with_tokens else []
    return [
        pl.len().cast(pl.Int64).alias("operations"),
        *tokens,
        known_sum("cost_usd"),
        counted(~known | reason).gt(0).alias("is_lower_bound"),
        counted(~known).alias("unpriced"),
        pl.when(without.count() > 0).then(without.sum()).alias("unpriced_tokens"),
        counted(known & reason).alias("partly_priced"),
        pl.col("cost_usd").abs().max().cast(pl.Float64).alias(_MOST),
    ]


def checked(summed: pl.DataFrame) -> pl.DataFrame:
    """Return sums whose amounts are right.

    Raises:
        StoreError: amounts too large to be added up.
    """
    if (summed[_MOST].fill_null(0.0) * summed["operations"] >= _TOO_MUCH).any():
        raise StoreError("the costs add up to more than a column of money holds: look at the largest with `top`")
    return summed.drop(_MOST)


def cost(question: Question) -> pl.DataFrame:
    """Return what each group cost, its share, and how that differs from the period before.

    A group with a calendar unit is compared with the unit before; else the period with the one before, whose groups
    are all there, too. Without a period nothing is before.
    """
    question.need("cost_usd")
    now, before = _now_and_before(question)
    joined = _beside(now, before, question)
    total = joined["cost_usd"].cast(pl.Float64).sum()
    result = joined.with_columns(
        share=pl.col("cost_usd").cast(pl.Float64) / (total or None),
        change_usd=pl.col("cost_usd") - pl.col("cost_before_usd"),
    ).with_columns(
        change=pl.when(pl.col("cost_before_usd") > 0).then(
            pl.col("change_usd").cast(pl.Float64) / pl.col("cost_before_usd").cast(pl.Float64)
        )
    )
    return _ordered(result, question)


def _summed(question: Question, window: Window | None = None) -> pl.DataFrame:
    rows = question.rows(NEEDED, window=window)
    return checked(collected(rows.group_by(question.keys).agg(sums())))


def _now_and_before(question: Question) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    units = [group for group in question.groups if group.unit is not None]
    if len(units) == 1:
        return _by_unit(question, units[0])
    # Hours of days, say: what is before one of them, nobody has said.
    is_compared = question.period is not None and not units
    return _summed(question), _summed(question, question.period.before) if is_compared and question.period else None


def _by_unit(question: Question, group: Group) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the sums of each unit, and the same as those of the unit before its next."""
    key = pl.col(group.name)
    now = _summed(question)
    if question.period is None:
        # Before the first unit there may have been anything.
        is_known, before = key > now[group.name].min(), now
    else:
        is_known, before = pl.lit(value=True), pl.concat([_unit_before(question, group, question.period.window), now])
    return now.with_columns(is_known.alias(_BEFORE)), before.with_columns(key.dt.offset_by(UNITS[str(group.unit)]))


def _unit_before(question: Question, group: Group, window: Window) -> pl.DataFrame:
    """Return the sums of the unit before the one in which a window begins."""
    unit = str(group.unit)
    begins = pl.DataFrame({"timestamp": [window.start]}, schema={"timestamp": TIME}).select(group.expression)
    wanted = begins.to_series().dt.offset_by(f"-{UNITS[unit]}")[0]
    rows = question.rows(NEEDED, window=Window(window.start - _FAR[unit], window.start))
    return checked(collected(rows.filter(pl.col(group.name) == wanted).group_by(question.keys).agg(sums())))


def _beside(now: pl.DataFrame, before: pl.DataFrame | None, question: Question) -> pl.DataFrame:
    if before is None:
        return now.with_columns(
            pl.lit(None, MONEY).alias("cost_before_usd"), pl.lit(None, pl.Boolean).alias("before_is_lower_bound")
        )
    theirs = before.select(
        *question.keys,
        pl.col("cost_usd").alias("cost_before_usd"),
        pl.col("is_lower_bound").alias("before_is_lower_bound"),
        pl.col("operations").alias(_BEFORE + "_operations"),
    )
    by_unit = _BEFORE in now.columns
    joined = now.join(theirs, on=question.keys, how="left" if by_unit else "full", coalesce=True, nulls_equal=True)
    nothing_now = pl.col("operations").is_null()
    nothing_before = pl.col(_BEFORE + "_operations").is_null() & (pl.col(_BEFORE) if by_unit else True)
    zero = pl.lit(0, MONEY)
    return joined.with_columns(
        pl.when(nothing_now).then(zero).otherwise("cost_usd").alias("cost_usd"),
        pl.when(nothing_before).then(zero).otherwise("cost_before_usd").alias("cost_before_usd"),
        pl.when(nothing_before).then(False).otherwise("before_is_lower_bound").alias("before_is_lower_bound"),  # noqa: FBT003
        pl.col("operations", "unpriced", "partly_priced").fill_null(0),
        pl.col("is_lower_bound").fill_null(value=False),
    )


def _ordered(result: pl.DataFrame, question: Question) -> pl.DataFrame:
    columns = (
        *question.names,
        *("operations", "input_tokens", "output_tokens", "cost_usd", "is_lower_bound", "share"),
        *("unpriced", "unpriced_tokens", "partly_priced"),
        *("cost_before_usd", "before_is_lower_bound", "change_usd", "change"),
    )
    return in_order(result.select(columns), question, "cost_usd")


def in_order(result: pl.DataFrame, question: Question, measure: str) -> pl.DataFrame:
    """Return rows in the order of the calendar where they are grouped by it, else the largest first."""
    if any(group.unit is not None for group in question.groups):
        return result.sort(question.names, nulls_last=True)
    rest = question.names
    return result.sort([measure, *rest], descending=[True, *[False] * len(rest)], nulls_last=True)


def unpriced(question: Question) -> pl.DataFrame:
    """Return which operations have no price, or only in part, and why: the reasons, the most frequent first."""
    question.need("cost_usd", "cost_reason")
    needed = ("provider", "model", "cost_reason", "cost_usd", "total_tokens", "timestamp", "operation_id")
    rows = question.rows(needed).filter(pl.col("cost_usd").is_null() | pl.col("cost_reason").is_not_null())
    keys = [*question.names, *(name for name in ("provider", "model", "cost_reason") if name not in question.names)]
    found = rows.group_by([*keys, pl.col("cost_usd").is_not_null().alias("partly_priced")]).agg(
        pl.len().cast(pl.Int64).alias("operations"),
        known_sum("total_tokens"),
        pl.col("timestamp").min().alias("first_at"),
        pl.col("timestamp").max().alias("last_at"),
        pl.col("operation_id").sort_by("timestamp").tail(3).alias("example_ids"),
    )
    return collected(found).sort(["operations", *keys], descending=[True, *[False] * len(keys)], nulls_last=True)
