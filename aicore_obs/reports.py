"""This module is where users ask for reports: one function per report, over a frame, a scan, a collector or a store.

The work is done in ``query.reports``, reached by name, so that ``import aicore_obs`` loads no Polars. Every report is a
Polars frame; of no operations it is empty, with all its columns. Money is Decimal and exact, and what is unknown is
null and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack, cast

from aicore_obs import plugins
from aicore_obs.errors import ConfigurationError, MissingExtraError
from aicore_obs.protocols import Address
from aicore_obs.reading import Writes, ask, place_of

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

__all__ = ["compare", "cost", "errors", "latency", "plot", "sessions", "top", "unpriced", "usage"]


class Options(TypedDict, total=False):
    """What every report takes.

    ``by`` groups: columns of text (``project``, ``user_id``, ``model`` …), ``hour``, ``day``, ``week``, ``month``,
    ``year``, ``labels.KEY``, ``extras.KEY``; one or several. ``period`` is a word (``last_month``, ``this_week``,
    ``yesterday``, ``last_7_days`` …), a year, month or day (``"2026-01"``), a first and a last day, or two times.
    ``tz`` names the time zone whose calendar it is. ``filters`` are those of the readers. ``now`` stands for the
    present. ``archive`` is the directory of an archive of the store that is asked: both are read as one.
    """

    by: str | Iterable[str] | None
    period: str | date | Sequence[date | str] | None
    tz: str
    filters: Mapping[str, Any] | None
    now: datetime | None
    archive: str | Path | None


Source: TypeAlias = "pl.DataFrame | pl.LazyFrame | Writes | Address | str | Path | None"


def cost(source: Source = None, **options: Unpack[Options]) -> pl.DataFrame:
    """Return what operations cost, by group, with shares and the change against the period before.

    Where ``is_lower_bound``, some operations have no price (``unpriced``, with ``unpriced_tokens``) or only in part
    (``partly_priced``), and the cost is at least what is given. ``change_usd`` and ``change`` (a ratio) compare with
    the period before, or with the unit before where ``by`` has one (``day`` …); without either they are null.

    Args:
        source: a frame of operations, lazy or not; a collector; a store's URL or path; None: the database that is open
            in this process, else ``AICORE_OBS_DB_URL``, else ``./aicore_obs.db``.
        options: see :class:`Options`.

    Raises:
        ConfigurationError: a group, period or time zone that does not exist; the message has those that do.
        FilterError: a filter that does not exist, or that only a store can answer.
        StoreError: the store cannot be read.
    """
    return _answer("costs:cost", source, options)


def unpriced(source: Source = None, **options: Unpack[Options]) -> pl.DataFrame:
    """Return which operations have no price or only in part, and why, the most frequent first; see :func:`cost`."""
    return _answer("costs:unpriced", source, options)


def latency(source: Source = None, **options: Unpack[Options]) -> pl.DataFrame:
    """Return how long operations took: percentiles, time to the first token, tokens per second; see :func:`cost`."""
    return _answer("speed:latency", source, options)


def errors(source: Source = None, **options: Unpack[Options]) -> pl.DataFrame:
    """Return the types of errors, how frequent they are, since when, and examples; see :func:`cost`."""
    return _answer("failures:errors", source, options)


def usage(source: Source = None, **options: Unpack[Options]) -> pl.DataFrame:
    """Return tokens, the share of input that came out of a cache, and what that saved; see :func:`cost`.

    What it saved is read from the store's lines of cost: of a frame, which does not have them, it is unknown.
    """
    return _answer("tokens:usage", source, options)


def sessions(source: Source = None, **options: Unpack[Options]) -> pl.DataFrame:
    """Return each session, the newest first; see :func:`cost`. It takes no ``by``."""
    _no_groups("sessions", options)
    return _answer("sessions:sessions", source, options)


def top(source: Source = None, measure: str = "cost", count: int = 10, **options: Unpack[Options]) -> pl.DataFrame:
    """Return the operations of the largest ``cost``, ``latency``, ``tokens`` or ``first_token``; see :func:`cost`."""
    _no_groups("top", options)
    return _answer("sessions:top", source, options, measure=measure, count=count)


def compare(
    source: Source = None,
    a: Mapping[str, Any] | None = None,
    b: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    **options: Unpack[Options],
) -> pl.DataFrame:
    """Return two sets of operations side by side, what differs (``b`` less ``a``), and how sure that is.

    ``a`` and ``b`` are filters: ``{"model": "gpt-4o"}``. What ``filters`` says holds for both. See :func:`cost`.
    """
    _no_groups("compare", options)
    for name, side in (("a", a), ("b", b)):
        if not isinstance(side, Mapping | None):
            raise ConfigurationError(f"{name}={side!r}: filters are needed, such as {{'model': 'gpt-4o'}}")
    common = options.get("filters") or {}
    rest: dict[str, Any] = {name: value for name, value in options.items() if name != "filters"}
    sides = [_question(source, **rest, filters={**common, **(side or {})}) for side in (a, b)]
    return cast("pl.DataFrame", _load("comparison:compare")(*sides, seed=seed))


def plot(report: pl.DataFrame, *, measure: str | None = None) -> alt.Chart:
    """Return an Altair chart of a report: over time where it has a calendar unit, else a bar for each row.

    Args:
        report: a frame that a report returned.
        measure: the column to draw; without one the cost, else the 95th percentile of latency, the rate, the tokens.

    Raises:
        MissingExtraError: Altair is not installed.
        ConfigurationError: there is no such column of numbers; the message has those that are there.
    """
    try:
        draw = plugins.load("aicore_obs.query.plots:plot")
    except ModuleNotFoundError as error:
        if error.name != "altair":
            raise
        raise MissingExtraError("plots need Altair: pip install 'aicore-obs[plot]'") from error
    return cast("alt.Chart", draw(report, measure=measure))


def _answer(report: str, source: Source, options: Options, **how: Any) -> pl.DataFrame:
    return cast("pl.DataFrame", _load(report)(_question(source, **options), **how))


def _load(name: str) -> Any:
    return plugins.load(f"aicore_obs.query.reports.{name}")


def _no_groups(report: str, options: Options) -> None:
    if options.get("by"):
        raise ConfigurationError(f"by={options['by']!r}: {report} has no groups; filters= narrows it")


def _question(
    source: Source, *, filters: Mapping[str, Any] | None = None, archive: str | Path | None = None, **options: Any
) -> Any:
    ask_of = _load("question:question_of")
    where = None if archive is None else Path(archive).expanduser().absolute()
    if hasattr(source, "collect_schema"):
        if where is not None:
            raise ConfigurationError(
                f"archive={str(archive)!r}: it is read beside a store; scan() makes a frame of both"
            )
        return ask_of(source, filters=filters, **options)
    scan = ask("aicore_obs.query.scan:scan", place_of(source), filters or {}, also=("cost_lines",), archive=where)
    return ask_of(scan, **options)
