"""This module is where recorded costs are compared with a provider's statement, and what differs is shown."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from aicore_obs.cli import screen
from aicore_obs.cli.places import DEFAULT_SCHEMA, SchemaOption, StoreArgument, address
from aicore_obs.cli.tail import filters_of
from aicore_obs.reconciliation import reconcile as compare

PARTS = {
    "mismatch": "Both sides have it, the amounts differ",
    "ours_only": "Recorded here, not in the statement",
    "provider_only": "In the statement, not recorded here",
}
_COLUMNS = ("day", "model", "ours", "theirs", "difference", "cause", "why")
_AMOUNTS = ("ours", "theirs", "difference")


def reconcile(  # noqa: PLR0913 - an option of the command is a parameter here
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A provider's export: OpenAI's or Anthropic's costs (CSV or JSON), FOCUS (CSV), or a CSV with one row "
            "per request, such as OpenRouter's activity.",
            show_default=False,
        ),
    ],
    store: StoreArgument = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "-w",
            "--where",
            metavar="NAME=VALUE",
            help="A filter of the readers, as in `tail`. Without start_date and end_date: the statement's days.",
            show_default=False,
        ),
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(
            "--also",
            metavar="FILE",
            help="Another file of the same statement: its next page, or the usage export beside the costs.",
            show_default=False,
        ),
    ] = None,
    *,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="request (the provider's ids), day (UTC day and model) or period (model). Default: request where the "
            "statement has ids, else day.",
            show_default=False,
        ),
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option(
            metavar="USD",
            help="How far amounts may differ and still match. Default: 0.01, by request 0.000001.",
            show_default=False,
        ),
    ] = None,
    cost_column: Annotated[
        str | None,
        typer.Option(
            "--cost-column",
            metavar="NAME",
            help="For FOCUS: BilledCost, EffectiveCost, ListCost or ContractedCost. Default: BilledCost.",
            show_default=False,
        ),
    ] = None,
    matched: Annotated[bool, typer.Option("--matched", help="Show what matches, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Compare recorded costs with a provider's statement.

    Exit code 0 when everything matches within the tolerance, else 1.
    """
    result = compare(
        filters_of(where or []),
        [file, *(also or [])],
        store=address(store, db_schema),
        tolerance=tolerance,
        by=by,
        cost_column=cost_column,
    )
    if as_json:
        screen.say_json(_as_data(result))
    else:
        _show(result, with_matched=matched)
    if not result.ok:
        raise typer.Exit(1)


def _show(result: Any, *, with_matched: bool) -> None:
    titles = {**PARTS, **({"matched": "Matched"} if with_matched else {})}
    for name, title in titles.items():
        rows = result.parts[name].to_dicts()
        if rows:
            screen.say(f"{title}: {screen.counted(len(rows), 'row')}")
            screen.show(_columns(result), (_row(row, result) for row in rows), numbers=_AMOUNTS)
            screen.say("")
    _show_totals(result)


def _columns(result: Any) -> tuple[str, ...]:
    return (*_COLUMNS[:2], "id", *_COLUMNS[2:]) if result.by == "request" else _COLUMNS


def _row(row: Mapping[str, Any], result: Any) -> list[Any]:
    model = row["model"] or (row["fee"] or "all models").replace("_", " ")
    amounts = [_usd(row[name]) for name in ("ours_usd", "provider_usd", "difference_usd")]
    first = [row["day"], model, *([row["request_id"]] if result.by == "request" else [])]
    return [*first, *amounts, row["cause"], row["explanation"]]


def _usd(amount: Decimal | None) -> str:
    """Return an amount with cents, and as many places more as it has."""
    if amount is None:
        return ""
    places = -int(amount.normalize().as_tuple().exponent) if amount else 0
    return f"{amount:,.{max(2, places)}f}"


def _show_totals(result: Any) -> None:
    totals = result.totals
    matched = result.parts["matched"].height
    open_rows = sum(result.parts[name].height for name in PARTS)
    days = f"{totals.start} up to {totals.end} (UTC, not included)" if totals.start else "no days"
    screen.say(f"Statement: {screen.counted(totals.lines, 'line')}, {days}, ${_usd(totals.provider_usd)}")
    screen.say(f"Recorded: {screen.counted(totals.operations, 'operation')}, ${_usd(totals.ours_usd)}")
    if totals.unpriced_operations:
        screen.say(f"Without a price, and not in that sum: {screen.counted(totals.unpriced_operations, 'operation')}")
    if totals.partly_priced_operations:
        screen.say(f"Priced in part, a lower bound: {screen.counted(totals.partly_priced_operations, 'operation')}")
    if totals.other_operations:
        screen.say(f"Of other providers, left out: {screen.counted(totals.other_operations, 'operation')}")
    screen.say(f"Difference: ${_usd(totals.difference_usd)}")
    screen.say(f"By {result.by}: {matched} matched within ${_usd(result.tolerance)}, {open_rows} not")


def _as_data(result: Any) -> dict[str, Any]:
    totals = {name: getattr(result.totals, name) for name in result.totals.__struct_fields__}
    return {
        "ok": result.ok,
        "by": result.by,
        "tolerance": result.tolerance,
        "totals": totals,
        **{name: frame.to_dicts() for name, frame in result.parts.items()},
    }
