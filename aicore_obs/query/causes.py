"""This module is where the likely cause of a difference is found, by rules that the figures themselves prove.

The rules are tried in order; the first that speaks gives the cause. Words of causes:

- ``rounding``: within the tolerance;
- ``day_boundary``: the differences of neighbouring days cancel: the statement's day is another zone's;
- ``other_name``: the same amount stands under another name on the same day;
- ``recorded_twice``: records with one response id explain the excess;
- ``other_project``: the difference is exactly the lines of one project or key;
- ``unpriced``: operations of ours have no price;
- ``missing_operations`` and ``extra_operations``: one side counted more tokens;
- ``cached_as_input`` and ``cached_unseen``: one side knows of no cached tokens;
- ``price``: same tokens, or one ratio over several keys;
- ``fee``: charged for something else than a model's tokens;
- ``not_recorded`` and ``not_billed``: one side knows nothing of it;
- ``outside_period``: of a day that the statement is not about;
- ``unexplained``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import msgspec
import polars as pl

from aicore_obs.model.cost import EXACT
from aicore_obs.query.sides import DAY, period_of

Row = dict[str, Any]
_NOTHING = Decimal(0)
_ONE_DAY = timedelta(days=1)
_COUNTED = ("input_tokens", "output_tokens")
_RATIO_PLACES = Decimal("0.000001")
# Ratios that a price list explains. Sources: developers.openai.com/api/docs/pricing (batch, flex, priority, regional),
# platform.claude.com/docs/en/about-claude/pricing (batch, US-only inference, long context, fast mode); 2026-11-21.
RATIOS = {
    Decimal("0.5"): "batch or flex",
    Decimal(2): "priority, or long context",
    Decimal("1.1"): "regional processing",
    Decimal(6): "fast mode",
}
# With this many times the tolerance at stake, rounding cannot have made a ratio.
_CERTAIN = 50
# Columns that no rule looks at.
_NOT_NEEDED = ("our_models", "line_items", "rows", "request_id")
# Reasons and price rows that a sentence names.
_SHOWN = 2


class Cause(msgspec.Struct, frozen=True):
    """A word, a sentence with the figures, and for a price the ratio of theirs to ours."""

    word: str | None = None
    text: str | None = None
    ratio: Decimal | None = None


class _Evidence(msgspec.Struct, frozen=True):
    """What a rule may look at besides the row itself."""

    lines: pl.DataFrame
    tolerance: Decimal
    # Row → the other rows of a shift over midnight, of a ratio, or with the same amount under another name.
    shifts: dict[int, str]
    ratios: dict[int, Decimal]
    names: dict[int, str]
    period: tuple[date | None, date | None]


Rule = Callable[[Row, _Evidence], Cause | None]


def causes_of(compared: pl.DataFrame, lines: pl.DataFrame, *, tolerance: Decimal, by: str) -> list[Cause]:
    """Return the cause of every row; of a match without a difference none."""
    needed = compared.drop(*_NOT_NEEDED).with_row_index("at")
    # Of what matches only days are looked at: they lie between those that do not.
    rows: list[Row] = (needed if by == DAY else needed.filter(pl.col("part") != "matched")).to_dicts()
    open_rows = [row for row in rows if row["part"] != "matched"]
    evidence = _Evidence(
        lines=lines,
        tolerance=tolerance,
        shifts=_shifts(rows, tolerance) if open_rows and by == DAY else {},
        ratios=_ratios(open_rows, tolerance),
        names=_same_amounts(open_rows, tolerance) if by == DAY else {},
        period=period_of(lines),
    )
    found = {row["at"]: _cause(row, evidence) for row in open_rows}
    return [found.get(at) or _of_match(difference) for at, difference in enumerate(compared["difference_usd"])]


def _of_match(difference: Decimal) -> Cause:
    return Cause("rounding", "within the tolerance") if difference else Cause()


def _cause(row: Row, evidence: _Evidence) -> Cause:
    for rule in _RULES[row["part"]]:
        cause = rule(row, evidence)
        if cause is not None:
            return cause
    return Cause("unexplained", "the figures do not tell")


def _shifts(rows: Sequence[Row], tolerance: Decimal) -> dict[int, str]:
    """Find runs of neighbouring days of one model whose differences cancel; days that match may lie between."""
    found: dict[int, str] = {}
    for series in _per_model(row for row in rows if row["day"] is not None).values():
        days = sorted(series, key=lambda row: row["day"])
        for run in _runs(days):
            for part in _cancelling(run, tolerance):
                ends = f"{part[0]['day']} to {part[-1]['day']}"
                found.update({row["at"]: ends for row in part})
    return found


def _per_model(rows: Iterable[Row]) -> dict[Any, list[Row]]:
    series: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        if row["fee"] is None:
            series[row["model"]].append(row)
    return series


def _runs(days: Sequence[Row]) -> list[list[Row]]:
    """Split days, in order, where one is missing between two."""
    runs: list[list[Row]] = []
    for row in days:
        if runs and row["day"] - runs[-1][-1]["day"] == _ONE_DAY:
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs


def _cancelling(run: Sequence[Row], tolerance: Decimal) -> list[Sequence[Row]]:
    """Return the parts of a run, from a day that differs to another one, whose differences sum to nothing."""
    parts: list[Sequence[Row]] = []
    first, total = 0, _NOTHING
    for at, row in enumerate(run):
        total += row["difference_usd"]
        if abs(total) <= tolerance:
            if at > first:
                parts.append(run[first : at + 1])
            first, total = at + 1, _NOTHING
    return parts


def _ratios(rows: Sequence[Row], tolerance: Decimal) -> dict[int, Decimal]:
    """Return the ratio of theirs to ours for the rows of each model in which it is the same everywhere."""
    found: dict[int, Decimal] = {}
    for series in _per_model(row for row in rows if _have_both(row)).values():
        ours, theirs = (sum((row[name] for row in series), _NOTHING) for name in ("ours_usd", "provider_usd"))
        ratio = theirs / ours
        fits = all(abs(row["provider_usd"] - ratio * row["ours_usd"]) <= tolerance for row in series)
        if fits and _is_certain(series, ratio, ours=ours, tolerance=tolerance):
            found.update({row["at"]: ratio for row in series})
    return found


def _have_both(row: Row) -> bool:
    return row["part"] == "mismatch" and bool(row["ours_usd"]) and row["ours_usd"] > 0 and row["provider_usd"] > 0


def _is_certain(series: Sequence[Row], ratio: Decimal, *, ours: Decimal, tolerance: Decimal) -> bool:
    """One ratio over several keys is no chance; of a single one it must be one that price lists have."""
    same = {_same_tokens(row) for row in series}
    if False in same or same == {True}:
        return False not in same
    certain = sum(abs(row["difference_usd"]) >= _CERTAIN * tolerance for row in series)
    return certain > 1 or (certain == 1 and _usual(ratio, tolerance / ours) is not None)


def _usual(ratio: Decimal, slack: Decimal = _NOTHING) -> str | None:
    slack = max(slack, _RATIO_PLACES)
    return next((name for usual, name in RATIOS.items() if abs(ratio - usual) <= slack), None)


def _same_tokens(row: Row) -> bool | None:
    """Return whether both sides counted the same; None where the statement has no counts."""
    if not _counts(row):
        return None
    return all((row[name] or 0) == (row[f"provider_{name}"] or 0) for name in _COUNTED)


def _counts(row: Row) -> list[tuple[int, int]]:
    """Return our counts and theirs, of what the statement counts."""
    pairs = [(row[name] or 0, row[f"provider_{name}"]) for name in _COUNTED]
    return [(ours, theirs) for ours, theirs in pairs if theirs is not None]


def _same_amounts(rows: Sequence[Row], tolerance: Decimal) -> dict[int, str]:
    """Pair what only we have with what only they have: one day, one amount, another name."""
    found: dict[int, str] = {}
    theirs = defaultdict(list)
    for row in rows:
        if row["part"] == "provider_only" and row["fee"] is None:
            theirs[row["day"]].append(row)
    for row in rows:
        if row["part"] != "ours_only" or not row["ours_usd"]:
            continue
        same = [one for one in theirs[row["day"]] if abs(one["provider_usd"] - row["ours_usd"]) <= tolerance]
        if len(same) == 1 and row["ours_usd"] > tolerance:
            found[row["at"]], found[same[0]["at"]] = str(same[0]["model"]), str(row["model"])
            theirs[row["day"]].remove(same[0])
    return found


def _day_boundary(row: Row, evidence: _Evidence) -> Cause | None:
    days = evidence.shifts.get(row["at"])
    text = f"the differences from {days} cancel: the statement's days begin at another hour than UTC's"
    return None if days is None else Cause("day_boundary", text)


def _other_name(row: Row, evidence: _Evidence) -> Cause | None:
    name = evidence.names.get(row["at"])
    return None if name is None else Cause("other_name", f"the same amount stands under {name} on this day")


def _recorded_twice(row: Row, evidence: _Evidence) -> Cause | None:
    if not row["repeated"] or row["repeated_usd"] is None:
        return None
    if abs(row["difference_usd"] + row["repeated_usd"]) > evidence.tolerance:
        return None
    text = f"{_operations(row['repeated'])} with a response id that is recorded already cost {usd(row['repeated_usd'])}"
    return Cause("recorded_twice", text)


def _other_project(row: Row, evidence: _Evidence) -> Cause | None:
    for column in ("project_id", "workspace_id", "api_key_id"):
        for name, amount in _sums_by(column, row, evidence):
            if abs(amount - row["difference_usd"]) <= evidence.tolerance and row["difference_usd"] > 0:
                return Cause("other_project", f"exactly the lines of {column} {name}, {usd(amount)}")
    return None


def _sums_by(column: str, row: Row, evidence: _Evidence) -> list[tuple[str, Decimal]]:
    if len(row["numbers"] or []) < 2:
        return []
    lines = evidence.lines[row["numbers"], [column, "amount_usd"]]
    if lines[column].n_unique() < 2:
        return []
    sums = lines.drop_nulls(column).group_by(column, maintain_order=True).agg(pl.col("amount_usd").sum())
    return [(str(name), amount) for name, amount in sums.iter_rows()]


def _unpriced(row: Row, _: _Evidence) -> Cause | None:
    count = row["unpriced"] + row["partly_priced"]
    if not count or row["difference_usd"] < 0:
        return None
    what = "no price" if row["unpriced"] else "a price for a part only"
    reasons = "; ".join((row["reasons"] or [])[:_SHOWN])
    return Cause(
        "unpriced", f"{_operations(count)} of ours {_have(count)} {what}" + (f": {reasons}" if reasons else "")
    )


def _tokens_differ(row: Row, _: _Evidence) -> Cause | None:
    known = _counts(row)
    ours, theirs = (sum(pair[side] for pair in known) for side in (0, 1))
    if ours == theirs or any((a - b) * (ours - theirs) < 0 for a, b in known):
        return None
    said = f"we counted {ours:,} tokens and the provider {theirs:,}"
    if theirs > ours and row["difference_usd"] > 0:
        return Cause("missing_operations", f"{said}: calls that were not recorded, or another key of the account")
    if theirs < ours and row["difference_usd"] < 0:
        return Cause("extra_operations", f"{said}: calls that were not billed, or billed to another account")
    return None


def _cached_as_input(row: Row, _: _Evidence) -> Cause | None:
    kinds = row["kinds"] or []
    # Without counts, a statement by kinds of tokens still tells that it has no line for cached ones.
    told = row["provider_cache_read_tokens"] is not None or ("input" in kinds and "cache_read" not in kinds)
    ours, theirs = row["cache_read_tokens"] or 0, row["provider_cache_read_tokens"] or 0
    if not told:
        return None
    if ours > theirs and row["difference_usd"] > 0:
        text = f"we counted {ours:,} tokens read from the cache and the statement {theirs:,}: billed as plain input"
        return Cause("cached_as_input", text)
    if theirs > ours and row["difference_usd"] < 0:
        text = f"the statement has {theirs:,} tokens read from the cache and we counted {ours:,}: priced as plain input"
        return Cause("cached_unseen", text)
    return None


def _price(row: Row, evidence: _Evidence) -> Cause | None:
    ratio = evidence.ratios.get(row["at"])
    if ratio is None and _have_both(row) and _same_tokens(row):
        ratio = row["provider_usd"] / row["ours_usd"]
    if ratio is None:
        return None
    shown = ratio.quantize(_RATIO_PLACES, rounding=ROUND_HALF_EVEN, context=EXACT).normalize()
    slack = evidence.tolerance / row["ours_usd"]
    told = ", ".join(row["tiers"] or []) or _usual(ratio, min(slack, Decimal("0.01")))
    same = "for the same tokens " if _same_tokens(row) else ""
    rows = " ".join((row["price_ids"] or [])[:_SHOWN])
    reason = f": {told}" if told else f": none of the usual ratios; look at the price row {rows}".rstrip()
    return Cause("price", f"the provider charged {shown:f} times our price {same}".rstrip() + reason, shown)


def _fee(row: Row, _: _Evidence) -> Cause | None:
    if row["fee"] is None:
        return None
    return Cause("fee", f"charged for {str(row['fee']).replace('_', ' ')}, not for a model's tokens")


def _outside(row: Row, evidence: _Evidence) -> Cause | None:
    (first, last), day = evidence.period, row["day"]
    if day is None or first is None or last is None or first <= day < last:
        return None
    return Cause("outside_period", f"the statement is about {first} to {last - _ONE_DAY}")


def _not_billed(_row: Row, _: _Evidence) -> Cause:
    return Cause("not_billed", "the statement has no line for it: not billed yet, or billed to another account")


def _not_recorded(_row: Row, _: _Evidence) -> Cause:
    return Cause("not_recorded", "nothing of it was recorded: another key, project or program used the account")


_RULES: dict[str, tuple[Rule, ...]] = {
    "mismatch": (
        _day_boundary,
        _recorded_twice,
        _unpriced,
        _other_project,
        _tokens_differ,
        _cached_as_input,
        _price,
    ),
    "ours_only": (_day_boundary, _other_name, _outside, _unpriced, _not_billed),
    "provider_only": (_fee, _day_boundary, _other_name, _not_recorded),
}


def usd(amount: Decimal) -> str:
    """Return an amount as people read it: with two places, or as many more as it needs."""
    short = amount.normalize()
    places = max(2, -int(short.as_tuple().exponent)) if short else 2
    return f"${amount:,.{places}f}"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _operations(count: int) -> str:
    return f"{count:,} operation{'' if count == 1 else 's'}"
