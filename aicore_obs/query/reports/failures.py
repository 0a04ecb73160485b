"""This module is where errors are counted by type, with their share of all operations and some to look at."""

from __future__ import annotations

import msgspec
import polars as pl

from aicore_obs.query.reports.question import ALL, Question, collected

EXAMPLES = 3
NEEDED = ("status", "error_type", "error_message", "timestamp", "operation_id")


def errors(question: Question) -> pl.DataFrame:
    """Return the types of errors of each group, the most frequent first.

    ``rate`` is their share of all operations of the group; the newest ids and the newest message are examples.
    """
    question.need("status")
    # Each type is a row of its own anyhow, and its rate is that among all.
    groups = tuple(group for group in question.groups if group.name != "error_type")
    question = msgspec.structs.replace(question, groups=groups)
    all_of = collected(question.rows(("status",)).group_by(question.keys).agg(pl.len().alias("operations")))
    keys = [*question.keys, "error_type"]
    newest = pl.col("timestamp")
    failed = question.rows(NEEDED).filter(pl.col("status") == "error")
    found = failed.group_by(keys).agg(
        pl.len().cast(pl.Int64).alias("errors"),
        newest.min().alias("first_at"),
        newest.max().alias("last_at"),
        pl.col("operation_id").sort_by("timestamp", "operation_id").tail(EXAMPLES).reverse().alias("example_ids"),
        pl.col("error_message").sort_by("timestamp", "operation_id").drop_nulls().last().alias("example_message"),
    )
    joined = collected(found).join(all_of, on=question.keys, how="left", nulls_equal=True)
    result = joined.with_columns((pl.col("errors") / pl.col("operations")).alias("rate")).select(
        *(key for key in keys if key != ALL),
        *("errors", "rate", "first_at", "last_at", "example_ids", "example_message"),
    )
    order = [key for key in keys if key != ALL]
    return result.sort(["errors", *order], descending=[True, *[False] * len(order)], nulls_last=True)
