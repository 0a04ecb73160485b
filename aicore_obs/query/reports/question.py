"""This module is where a report's source, groups and period become one lazy frame of narrow columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import polars as pl

from aicore_obs.errors import ConfigurationError
from aicore_obs.model.budget import Window
from aicore_obs.model.ids import utc_now
from aicore_obs.query.reports.groups import Group, groups_of
from aicore_obs.query.reports.periods import Period, When, period_of, zone_of
from aicore_obs.query.where import filtered

MONEY = pl.Decimal(38, 12)
TIME = pl.Datetime("us", "UTC")
# The columns that reports look at; what a frame does not have is unknown.
_TYPES: dict[str, pl.DataType] = {
    "timestamp": TIME,
    **dict.fromkeys(("cost_usd", "input_cost_usd", "output_cost_usd"), MONEY),
    **dict.fromkeys(("latency_ms", "time_to_first_token_ms"), pl.Float64()),
    **dict.fromkeys(
        (
            *("input_tokens", "output_tokens", "total_tokens", "reasoning_tokens"),
            *("cache_read_tokens", "cache_write_tokens"),
        ),
        pl.Int64(),
    ),
}
# Stands for the one group of a report that has none.
ALL = "_all"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of which operations; ``columns`` are those that the frame has."""

    frame: pl.LazyFrame
    columns: frozenset[str]
    groups: tuple[Group, ...] = ()
    period: Period | None = None

    @property
    def names(self) -> list[str]:
        """The result's columns that say which group a row is about."""
        return [group.name for group in self.groups]

    @property
    def keys(self) -> list[str]:
        """The columns of :meth:`rows` by which rows are grouped; there is always one."""
        return self.names or [ALL]

    def rows(self, needed: Sequence[str], *, window: Window | None = None, all_time: bool = False) -> pl.LazyFrame:
        """Return the keys and these columns of the operations of the period, or of another window.

        Raises:
            ConfigurationError: a column that cannot be unknown is not there.
        """
        asked = window or (self.period.window if self.period and not all_time else None)
        frame = self.frame if asked is None else self.frame.filter(_within(asked))
        keys = [group.expression.alias(group.name) for group in self.groups] or [pl.lit(0).alias(ALL)]
        taken = [self.column(name) for name in needed if name not in self.names]
        return frame.select(*keys, *taken)

    def column(self, name: str) -> pl.Expr:
        """Return a column in its type."""
        dtype = _TYPES.get(name, pl.String())
        if name not in self.columns:
            return pl.lit(None, dtype).alias(name)
        return pl.col(name).cast(dtype)

    def need(self, *names: str) -> None:
        """Complain of columns that are not there.

        Raises:
            ConfigurationError: one is missing.
        """
        missing = [name for name in names if name not in self.columns]
        if missing:
            raise ConfigurationError(f"the frame has no column {', '.join(missing)}, which this report is about")


def question_of(
    frame: pl.LazyFrame | pl.DataFrame,
    *,
    by: str | Iterable[str] | None = None,
    period: When = None,
    tz: str = "UTC",
    filters: Mapping[str, Any] | None = None,
    now: datetime | None = None,
) -> Question:
    """Return the question that is meant; ``filters`` are those that the frame has not been through.

    Raises:
        ConfigurationError: a group, period or time zone that does not exist.
        FilterError: a filter that does not exist, or that a frame cannot answer.
    """
    if now is not None and (not isinstance(now, datetime) or now.tzinfo is None):
        raise ConfigurationError(f"now={now!r}: a time with a zone is needed")
    zone = zone_of(tz)
    lazy = frame.lazy()
    schema = lazy.collect_schema()
    asked = period_of(period, zone=zone, now=(now or utc_now()).astimezone(UTC))
    if "timestamp" in schema and getattr(schema["timestamp"], "time_zone", None) is None:
        raise ConfigurationError(
            f"the frame's timestamp is {schema['timestamp']}: times with a zone are needed, such as "
            'pl.col("timestamp").dt.replace_time_zone("UTC")'
        )
    question = Question(
        frame=filtered(lazy, filters or {}, schema),
        columns=frozenset(schema),
        groups=groups_of(() if by is None else by, schema, tz=tz),
        period=asked,
    )
    if asked is not None:
        question.need("timestamp")
    return question


def _within(window: Window) -> pl.Expr:
    return (pl.col("timestamp") >= window.start) & (pl.col("timestamp") < window.end)


def known_sum(name: str) -> pl.Expr:
    """Sum what is known of a column; of nothing known the sum is unknown."""
    column = pl.col(name)
    return pl.when(column.count() > 0).then(column.sum()).alias(name)


def counted(condition: pl.Expr) -> pl.Expr:
    """Count the rows for which a condition holds."""
    return condition.fill_null(value=False).sum().cast(pl.Int64)


def collected(lazy: pl.LazyFrame) -> pl.DataFrame:
    """Return the rows of a lazy frame, read in batches where it can be."""
    return lazy.collect(engine="streaming")
