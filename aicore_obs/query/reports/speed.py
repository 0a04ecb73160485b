"""This module is where it is told how long operations took: percentiles, the first token, tokens per second."""

from __future__ import annotations

import polars as pl

from aicore_obs.query.reports.costs import in_order
from aicore_obs.query.reports.question import ALL, Question, collected, counted

PERCENTILES = (50, 90, 95, 99)
_FIRST, _PACE, _STREAM_PACE = "time_to_first_token_ms", "tokens_per_s", "stream_tokens_per_s"


def latency(question: Question) -> pl.DataFrame:
    """Return how long the operations of each group took, failed ones included, in milliseconds.

    Percentiles lie between measured values where none is exact. ``measured`` operations have a latency. Tokens per
    second are output tokens by the whole latency; of a stream (``stream_tokens_per_s``) by the time from the first
    token to the end, as a reader sees it.
    """
    question.need("latency_ms")
    rows = question.rows(("latency_ms", _FIRST, "output_tokens", "status")).with_columns(
        _pace(pl.col("latency_ms")).alias(_PACE),
        _pace(pl.col("latency_ms") - pl.col(_FIRST)).alias(_STREAM_PACE),
    )
    found = rows.group_by(question.keys).agg(
        pl.len().cast(pl.Int64).alias("operations"),
        counted(pl.col("status") == "error").alias("errors"),
        pl.col("latency_ms").count().cast(pl.Int64).alias("measured"),
        *(_percentile("latency_ms", share).alias(f"p{share}_ms") for share in PERCENTILES),
        pl.col("latency_ms").max().alias("max_ms"),
        pl.col(_FIRST).count().cast(pl.Int64).alias("streamed"),
        *(_percentile(_FIRST, share).alias(f"first_token_p{share}_ms") for share in (50, 95)),
        *(_percentile(_PACE, share).alias(f"{_PACE}_p{share}") for share in (5, 50)),
        *(_percentile(_STREAM_PACE, share).alias(f"{_STREAM_PACE}_p{share}") for share in (5, 50)),
    )
    result = collected(found)
    return in_order(result if question.names else result.drop(ALL), question, "operations")


def _pace(took_ms: pl.Expr) -> pl.Expr:
    return pl.when(took_ms > 0).then(pl.col("output_tokens") / took_ms * 1000)


def _percentile(name: str, share: int) -> pl.Expr:
    return pl.col(name).quantile(share / 100, interpolation="linear")
