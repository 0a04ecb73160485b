"""This module is where a report becomes a picture, with Altair, which only whoever wants pictures installs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from aicore_obs.errors import ConfigurationError
from aicore_obs.query.reports.groups import UNITS

# The first of these of which a report knows anything is drawn, if nobody says what else.
MEASURES = ("cost_usd", "p95_ms", "rate", "total_tokens", "operations")
TITLES = {"cost_usd": "US dollars", "p95_ms": "95th percentile, ms", "rate": "share of operations with this error"}
# More bars than anybody reads; the largest are drawn.
MOST_BARS = 40
# Names of models are long, and differ at their ends.
LABEL_PIXELS = 360
_BOUND = "is_lower_bound"


def plot(report: pl.DataFrame, *, measure: str | None = None) -> alt.Chart:
    """Return a chart of one column of a report: over time where it has a calendar unit, else a bar for each row.

    Rows whose measure is unknown are not drawn, but counted above; a cost that is a lower bound is paler, and says so.

    Raises:
        ConfigurationError: the frame has no such number, or it is no report.
    """
    if not isinstance(report, pl.DataFrame):
        raise ConfigurationError(f"{type(report).__name__} is no report: the frame that one returned is needed")
    drawn = _measure(report, measure)
    units = [name for name in UNITS if name in report.columns]
    groups = [name for name in report.columns[: _first_number(report)] if name not in units]
    rows = _rows(report, drawn, groups)
    chart = _over_time(rows, units[0], drawn, groups) if units else _bars(rows, drawn, groups)
    left = report.height - rows.height
    return chart.properties(title=_not_drawn(left, drawn)) if left else chart


def _not_drawn(rows: int, drawn: str) -> alt.Title:
    told = "1 row is" if rows == 1 else f"{rows:,} rows are"
    return alt.Title(f"{told} not drawn: {drawn} is unknown", anchor="start", fontSize=11, fontWeight="normal")


def _measure(report: pl.DataFrame, measure: str | None) -> str:
    numbers = [name for name, dtype in report.schema.items() if dtype.is_numeric()]
    usual = [name for name in MEASURES if name in numbers]
    known = [name for name in usual if report[name].null_count() < report.height]
    wanted = [measure] if measure is not None else known or usual
    if not wanted or wanted[0] not in numbers:
        raise ConfigurationError(f"measure={measure!r}: it is one of {', '.join(numbers)}")
    return wanted[0]


def _first_number(report: pl.DataFrame) -> int:
    return next(place for place, dtype in enumerate(report.dtypes) if dtype.is_numeric())


def _rows(report: pl.DataFrame, drawn: str, groups: Sequence[str]) -> pl.DataFrame:
    """Return the rows that are drawn, with the name of each; numbers as floats, which is what a picture shows."""
    names = [pl.col(name).cast(pl.String).fill_null("(none)") for name in groups] or [pl.lit("all")]
    lists = [name for name, dtype in report.schema.items() if dtype.is_nested()]
    return (
        report.drop(lists)
        .filter(pl.col(drawn).is_not_null())
        .with_columns(pl.col(pl.Decimal).cast(pl.Float64), pl.concat_str(names, separator=", ").alias("name"))
    )


def _over_time(rows: pl.DataFrame, unit: str, drawn: str, groups: Sequence[str]) -> alt.Chart:
    color: dict[str, Any] = {"color": alt.Color("name", type="nominal", title=", ".join(groups))} if groups else {}
    chart: alt.Chart = (
        alt.Chart(rows)
        .mark_line(point=True)
        .encode(
            x=alt.X(unit, type="temporal", title=unit),
            y=alt.Y(drawn, type="quantitative", title=_title(rows, drawn)),
            tooltip=_tooltip(rows, drawn, (unit, *groups)),
            **color,
        )
    )
    return chart


def _bars(rows: pl.DataFrame, drawn: str, groups: Sequence[str]) -> alt.Chart:
    largest = rows.top_k(MOST_BARS, by=drawn) if rows.height > MOST_BARS else rows
    pale: dict[str, Any] = {}
    if drawn == "cost_usd" and _BOUND in rows.columns:
        scale = alt.Scale(domain=[False, True], range=[1.0, 0.55])
        pale = {"opacity": alt.Opacity(_BOUND, type="nominal", scale=scale, title="lower bound")}
    chart: alt.Chart = (
        alt.Chart(largest)
        .mark_bar()
        .encode(
            x=alt.X(drawn, type="quantitative", title=_title(rows, drawn)),
            y=alt.Y(
                "name",
                type="nominal",
                sort="-x",
                title=", ".join(groups) or None,
                axis=alt.Axis(labelLimit=LABEL_PIXELS),
            ),
            tooltip=_tooltip(rows, drawn, groups),
            **pale,
        )
    )
    return chart


def _title(rows: pl.DataFrame, drawn: str) -> str:
    title = TITLES.get(drawn, drawn)
    is_bound = drawn == "cost_usd" and _BOUND in rows.columns and bool(rows[_BOUND].any())
    return f"{title} (at least: some operations have no price)" if is_bound else title


def _tooltip(rows: pl.DataFrame, drawn: str, groups: Sequence[str]) -> list[alt.Tooltip]:
    told = dict.fromkeys((*groups, drawn, "operations", _BOUND, "unpriced"))
    # Altair reads a dot or a bracket in a name as a path.
    return [alt.Tooltip(_literal(name), title=name, type=_kind(rows, name)) for name in told if name in rows.columns]


def _literal(name: str) -> str:
    return "".join(f"\\{sign}" if sign in ".[]:" else sign for sign in name)


def _kind(rows: pl.DataFrame, name: str) -> Any:
    dtype = rows.schema[name]
    if dtype.is_numeric():
        return "quantitative"
    return "temporal" if dtype.is_temporal() else "nominal"
