"""This module is where operations are told session by session, and the dearest, slowest and largest one by one."""

from __future__ import annotations

import polars as pl

from aicore_obs.errors import ConfigurationError
from aicore_obs.query.reports.costs import checked, sums
from aicore_obs.query.reports.question import Question, collected, counted, known_sum

# What `top` goes by: word → column.
MEASURES = {
    "cost": "cost_usd",
    "latency": "latency_ms",
    "tokens": "total_tokens",
    "first_token": "time_to_first_token_ms",
}
SHOWN = (
    *("operation_id", "timestamp", "provider", "model", "status", "latency_ms", "time_to_first_token_ms"),
    *("input_tokens", "output_tokens", "total_tokens", "cost_usd", "cost_reason", "session_id", "user_id"),
)


def sessions(question: Question) -> pl.DataFrame:
    """Return each session: when, how long, whose, with which models, tokens, errors and cost; the newest first."""
    question.need("session_id", "timestamp")
    needed = ("session_id", "timestamp", "user_id", "model", "status", "latency_ms", "total_tokens")
    rows = question.rows((*needed, "cost_usd", "cost_reason")).filter(pl.col("session_id").is_not_null())
    when = pl.col("timestamp")
    found = rows.group_by("session_id").agg(
        pl.col("user_id").drop_nulls().first(),
        when.min().alias("started_at"),
        when.max().alias("last_at"),
        ((when.max() - when.min()).dt.total_microseconds() / 1e6).alias("duration_s"),
        counted(pl.col("status") == "error").alias("errors"),
        pl.col("model").drop_nulls().unique().sort().alias("models"),
        known_sum("latency_ms"),
        known_sum("total_tokens"),
        *sums(with_tokens=False),
    )
    result = checked(collected(found)).select(
        *("session_id", "user_id", "started_at", "last_at", "duration_s", "operations", "errors", "models"),
        *("latency_ms", "total_tokens", "cost_usd", "is_lower_bound", "unpriced", "unpriced_tokens", "partly_priced"),
    )
    return result.sort("started_at", "session_id", descending=[True, False])


def top(question: Question, *, measure: str = "cost", count: int = 10) -> pl.DataFrame:
    """Return the operations of the largest cost, latency, number of tokens or time to the first token.

    What is unknown is not among them.

    Raises:
        ConfigurationError: a measure that does not exist, or a count that is none.
    """
    if measure not in MEASURES:
        raise ConfigurationError(f"measure={measure!r}: it is one of {', '.join(MEASURES)}")
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise ConfigurationError(f"count={count!r}: a whole number of 0 or more is needed")
    column = MEASURES[measure]
    question.need(column)
    rows = question.rows(SHOWN).filter(pl.col(column).is_not_null())
    largest = rows.top_k(count, by=[column, "operation_id"]).select(SHOWN)
    return collected(largest).sort([column, "operation_id"], descending=True)
