"""This module is where the reports are commands: the same names, groups and periods as in ``aicore_obs.reports``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from aicore_obs import reports
from aicore_obs.cli import screen
from aicore_obs.cli.places import DEFAULT_SCHEMA, SchemaOption, StoreArgument, address
from aicore_obs.cli.report_tables import (
    Columns,
    amount,
    before_cell,
    cost_cell,
    listed,
    number,
    percent,
    show,
    tell,
    usd,
)
from aicore_obs.cli.tail import filters_of
from aicore_obs.errors import ConfigurationError
from aicore_obs.model.cost import EXACT

ByOption = Annotated[
    list[str] | None,
    typer.Option(
        "-b",
        "--by",
        metavar="WHAT",
        help="Group by a column of text (project, user_id, model …), hour, day, week, month, year, labels.KEY or "
        "extras.KEY; may be given several times.",
        show_default=False,
    ),
]
PeriodOption = Annotated[
    str | None,
    typer.Option(
        "-p",
        "--period",
        metavar="WHEN",
        help="today, yesterday, this_week, last_week, this_month, last_month, this_year, last_year, last_N_hours, "
        "last_N_days, 2026, 2026-01, 2026-01-31 or 2026-01-01..2026-01-31. Default: all time.",
        show_default=False,
    ),
]
ZoneOption = Annotated[str, typer.Option("--tz", metavar="NAME", help="The time zone of days and periods.")]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "-w", "--where", metavar="NAME=VALUE", help="A filter of the readers, as in `tail`.", show_default=False
    ),
]
ArchiveOption = Annotated[
    Path | None,
    typer.Option("--archive", metavar="DIR", help="An archive of the store, read beside it.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs; amounts are decimal text.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="For spreadsheets.")]


def cost(  # noqa: PLR0913 - an option of the command is a parameter here
    store: StoreArgument = None,
    by: ByOption = None,
    period: PeriodOption = None,
    where: WhereOption = None,
    *,
    tz: ZoneOption = "UTC",
    archive: ArchiveOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Show what operations cost, with shares and the change against the period before.

    A cost with "≥" is a lower bound: some operations have no price, or only in part.
    """
    form = _form(as_json, as_csv)
    groups = _groups(by)
    frame = reports.cost(address(store, db_schema), **_options(by, period, tz, where, archive))
    tell(frame, groups, _COST, form=form)
    if form == "table" and frame.height:
        _say_total(frame)


def unpriced(  # noqa: PLR0913 - an option of the command is a parameter here
    store: StoreArgument = None,
    by: ByOption = None,
    period: PeriodOption = None,
    where: WhereOption = None,
    *,
    tz: ZoneOption = "UTC",
    archive: ArchiveOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Show which operations have no price, or only in part, and why."""
    groups = _groups(by)
    options = _options(by, period, tz, where, archive)
    tell(reports.unpriced(address(store, db_schema), **options), groups, _UNPRICED, form=_form(as_json, as_csv))


def latency(  # noqa: PLR0913 - an option of the command is a parameter here
    store: StoreArgument = None,
    by: ByOption = None,
    period: PeriodOption = None,
    where: WhereOption = None,
    *,
    tz: ZoneOption = "UTC",
    archive: ArchiveOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Show how long operations took: percentiles, time to the first token, tokens per second."""
    groups = _groups(by)
    options = _options(by, period, tz, where, archive)
    tell(reports.latency(address(store, db_schema), **options), groups, _LATENCY, form=_form(as_json, as_csv))


def errors(  # noqa: PLR0913 - an option of the command is a parameter here
    store: StoreArgument = None,
    by: ByOption = None,
    period: PeriodOption = None,
    where: WhereOption = None,
    *,
    tz: ZoneOption = "UTC",
    archive: ArchiveOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Show the types of errors, how frequent they are, since when, and the newest of each."""
    groups = [group for group in _groups(by) if group != "error_type"]
    options = _options(by, period, tz, where, archive)
    tell(reports.errors(address(store, db_schema), **options), groups, _ERRORS, form=_form(as_json, as_csv))


def usage(  # noqa: PLR0913 - an option of the command is a parameter here
    store: StoreArgument = None,
    by: ByOption = None,
    period: PeriodOption = None,
    where: WhereOption = None,
    *,
    tz: ZoneOption = "UTC",
    archive: ArchiveOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Show tokens, the share of input that came out of a cache, and what that saved."""
    groups = _groups(by)
    options = _options(by, period, tz, where, archive)
    tell(reports.usage(address(store, db_schema), **options), groups, _USAGE, form=_form(as_json, as_csv))


def sessions(  # noqa: PLR0913 - an option of the command is a parameter here
    store: StoreArgument = None,
    count: Annotated[int, typer.Option("-n", "--number", metavar="N", min=1, help="How many sessions.")] = 20,
    period: PeriodOption = None,
    where: WhereOption = None,
    *,
    tz: ZoneOption = "UTC",
    archive: ArchiveOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Show the newest sessions: how long, whose, with which models, errors, tokens and cost."""
    frame = reports.sessions(address(store, db_schema), **_options(None, period, tz, where, archive))
    tell(frame.head(count), ("session_id",), _SESSIONS, form=_form(as_json, as_csv))


def top(  # noqa: PLR0913 - an option of the command is a parameter here
    store: StoreArgument = None,
    measure: Annotated[
        str, typer.Option("-m", "--measure", metavar="WHAT", help="cost, latency, tokens or first_token.")
    ] = "cost",
    count: Annotated[int, typer.Option("-n", "--number", metavar="N", min=1, help="How many operations.")] = 10,
    period: PeriodOption = None,
    where: WhereOption = None,
    *,
    tz: ZoneOption = "UTC",
    archive: ArchiveOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Show the dearest, slowest or largest operations."""
    frame = reports.top(address(store, db_schema), measure, count, **_options(None, period, tz, where, archive))
    tell(frame, (), _TOP, form=_form(as_json, as_csv))


def compare(  # noqa: PLR0913 - an option of the command is a parameter here
    a: Annotated[
        str,
        typer.Argument(metavar="A", help="Filters such as model=gpt-4o, several with commas.", show_default=False),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The filters of the other side.", show_default=False)],
    store: StoreArgument = None,
    period: PeriodOption = None,
    where: WhereOption = None,
    *,
    tz: ZoneOption = "UTC",
    archive: ArchiveOption = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the random numbers of the intervals.")] = 0,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Show two sets of operations side by side, what differs, and where the difference likely lies (95 %)."""
    sides = [filters_of(side.split(",")) for side in (a, b)]
    options = _options(None, period, tz, where, archive)
    frame = reports.compare(address(store, db_schema), *sides, seed=seed, **options)
    form = _form(as_json, as_csv)
    if form == "table" and frame.height:
        _show_sides(frame, a, b)
    else:
        tell(frame, (), {}, form=form)


def _form(as_json: bool, as_csv: bool) -> str:
    if as_json and as_csv:
        raise ConfigurationError("--json and --csv: only one of them")
    return "json" if as_json else "csv" if as_csv else "table"


def _groups(by: Sequence[str] | None) -> list[str]:
    return list(dict.fromkeys(by or ()))


def _options(
    by: Sequence[str] | None, period: str | None, tz: str, where: Sequence[str] | None, archive: Path | None
) -> Any:
    filters = filters_of(where or [])
    return {"by": _groups(by), "period": period, "tz": tz, "filters": filters, "archive": archive}


def _say_total(frame: Any) -> None:
    rows = frame.to_dicts()
    known = [row["cost_usd"] for row in rows if row["cost_usd"] is not None]
    total = Decimal(0)
    for one in known:
        total = EXACT.add(total, one)
    bounded = any(row["is_lower_bound"] for row in rows)
    operations = screen.counted(sum(row["operations"] for row in rows), "operation")
    screen.say(f"Total: {usd(total if known else None, at_least=bounded and bool(known))} USD, {operations}")
    without = sum(row["unpriced"] for row in rows)
    if without:
        counts = [row["unpriced_tokens"] for row in rows if row["unpriced_tokens"] is not None]
        tokens = screen.counted(sum(counts), "token") if counts else "tokens unknown"
        screen.say(
            f"Without a price, and not in that sum: {screen.counted(without, 'operation')}, "
            f"{tokens} (`aicore-obs unpriced` says why)"
        )
    partly = sum(row["partly_priced"] for row in rows)
    if partly:
        screen.say(f"Priced in part, a lower bound: {screen.counted(partly, 'operation')}")


def _show_sides(frame: Any, a: str, b: str) -> None:
    found = {row["side"]: row for row in frame.to_dicts()}
    columns: dict[str, Any] = {
        "measure": "measure",
        f"a: {a}": lambda row: row["a"],
        f"b: {b}": lambda row: row["b"],
        "difference": lambda row: row["difference"],
        "95 %": lambda row: row["interval"],
    }
    show([_side(name, found) for name in frame.columns if name in _MEASURES], (), columns)


def _side(name: str, found: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    say = _MEASURES[name]
    low, high = (say(found[side]) for side in ("low", "high"))
    values = {side: say(found[side]) for side in ("a", "b", "difference")}
    if name == "cost_usd":
        values |= {side: cost_cell(found[side]) for side in ("a", "b")}
    return {"measure": name, **values, "interval": f"{low} to {high}" if low else ""}


_COST: Columns = {
    "operations": number("operations"),
    "input": number("input_tokens"),
    "output": number("output_tokens"),
    "USD": cost_cell,
    "share": percent("share"),
    "before": before_cell,
    "change": percent("change", signed=True),
    "unpriced": number("unpriced"),
}
_UNPRICED: Columns = {
    "provider": "provider",
    "model": "model",
    "operations": number("operations"),
    "tokens": number("total_tokens"),
    "priced": lambda row: "in part" if row["partly_priced"] else "no",
    "first": "first_at",
    "last": "last_at",
    "why": "cost_reason",
}
_LATENCY: Columns = {
    "operations": number("operations"),
    "errors": number("errors"),
    "p50 ms": number("p50_ms"),
    "p90": number("p90_ms"),
    "p95": number("p95_ms"),
    "p99": number("p99_ms"),
    "max": number("max_ms"),
    "first token p50": number("first_token_p50_ms"),
    "p95 ms": number("first_token_p95_ms"),
    "tokens/s p50": number("tokens_per_s_p50", places=1),
    "of a stream": number("stream_tokens_per_s_p50", places=1),
}
_ERRORS: Columns = {
    "error": "error_type",
    "count": number("errors"),
    "rate": percent("rate"),
    "first": "first_at",
    "last": "last_at",
    "newest": lambda row: (row["example_ids"] or [""])[0],
    "message": "example_message",
}
_USAGE: Columns = {
    "operations": number("operations"),
    "input": number("input_tokens"),
    "from cache": number("cache_read_tokens"),
    "share": percent("cache_hit_share"),
    "output": number("output_tokens"),
    "reasoning": number("reasoning_tokens"),
    "saved USD": amount("cache_saved_usd"),
    "not known of": number("cache_saved_unknown"),
}
_SESSIONS: Columns = {
    "user": "user_id",
    "started": "started_at",
    "seconds": number("duration_s", places=1),
    "operations": number("operations"),
    "errors": number("errors"),
    "tokens": number("total_tokens"),
    "USD": cost_cell,
    "models": listed("models"),
}
_TOP: Columns = {
    "time": "timestamp",
    "model": "model",
    "status": "status",
    "latency ms": number("latency_ms"),
    "first token": number("time_to_first_token_ms"),
    "tokens": number("total_tokens"),
    "USD": lambda row: usd(row["cost_usd"], at_least=bool(row["cost_usd"] is not None and row["cost_reason"])),
    "session": "session_id",
    "id": "operation_id",
}
_MEASURES: dict[str, Any] = {
    "operations": number("operations"),
    "errors": number("errors"),
    "error_rate": percent("error_rate"),
    "latency_mean_ms": number("latency_mean_ms"),
    "latency_p50_ms": number("latency_p50_ms"),
    "latency_p95_ms": number("latency_p95_ms"),
    "tokens_mean": number("tokens_mean"),
    "cost_usd": amount("cost_usd"),
    "unpriced": number("unpriced"),
    "cost_mean_usd": amount("cost_mean_usd"),
}
