"""This module is where stored operations are costed again, the differences shown, and kept when that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from aicore_obs.cli import screen
from aicore_obs.cli.places import DEFAULT_SCHEMA, SchemaOption, StoreArgument, address
from aicore_obs.cli.tail import filters_of
from aicore_obs.costing import book_of
from aicore_obs.pricing.book import PriceBook
from aicore_obs.protocols import Address
from aicore_obs.query.costs import sum_costs
from aicore_obs.query.recost import Recosted
from aicore_obs.recosting import recost as cost_again
from aicore_obs.settings import from_environment

_BY_MODEL = ("provider", "model", "change", "operations", "old_usd", "new_usd", "difference_usd")
_SINGLE = ("id", "time", "model", "old_usd", "new_usd", "difference_usd", "why")
_NUMBERS = ("operations", "old_usd", "new_usd", "difference_usd")
_COUNTS = ("changed", "newly_priced", "became_unknown", "unchanged", "still_unknown", "bills", "written")


def recost(  # noqa: PLR0913 - an option of the command is a parameter here
    store: StoreArgument = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "-w",
            "--where",
            metavar="NAME=VALUE",
            help="A filter of the readers, as in `tail`; start_date=… and end_date=…, too.",
            show_default=False,
        ),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(
            "--prices",
            metavar="FILE",
            help="Your own price rows (.toml or .json), which lie over the bundled ones. Default: AICORE_OBS_PRICES.",
            show_default=False,
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("-n", "--number", metavar="N", min=0, help="How many of the largest differences to list.")
    ] = 10,
    *,
    apply: Annotated[bool, typer.Option("--apply", help="Keep the new costs, as revisions beside the old.")] = False,
    author: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Kept with each revision. Default: user@host of this process.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Cost stored operations again by today's prices or your own, and show what would differ.

    Nothing is changed without --apply, and nothing is overwritten with it: each new cost is a revision, and readers
    show the newest (cost_as_of=… shows an earlier state). What a provider billed itself is left alone. May be stopped
    and run again; a second run finds nothing to do.
    """
    book = book_of(prices or from_environment().prices)
    place, filters = address(store, db_schema), filters_of(where or [])
    with _progress(place, filters) as tell:
        result = cost_again(filters, book, not apply, store=place, author=author, tell=tell)
    if as_json:
        screen.say_json(_as_data(result, book))
    else:
        _show(result, book, count)


@contextmanager
def _progress(place: Address, filters: Mapping[str, Any]) -> Iterator[Callable[[int], object]]:
    """Show a bar while operations are costed, where somebody can see it."""
    columns = (TextColumn("costing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen.err, disable=not screen.err.is_terminal) as progress:
        total = None
        if not progress.disable:
            counted = sum_costs(place, filters)
            total = counted.priced + counted.unpriced
        task = progress.add_task("", total=total)
        yield lambda done: progress.update(task, completed=done)


def _show(result: Recosted, book: PriceBook, count: int) -> None:
    if result.differences.height:
        screen.show(_BY_MODEL, (_row(row, _BY_MODEL) for row in result.by_model().to_dicts()), numbers=_NUMBERS)
        screen.say("")
    largest = result.largest(count).to_dicts()
    if largest:
        screen.say(f"The largest {screen.counted(len(largest), 'difference')} of {result.differences.height:,}:")
        names = {"id": "operation_id", "time": "timestamp", "why": "new_reason"}
        screen.show(
            _SINGLE, (_row(row, [names.get(name, name) for name in _SINGLE]) for row in largest), numbers=_NUMBERS
        )
        screen.say("")
    _show_totals(result, book)


def _show_totals(result: Recosted, book: PriceBook) -> None:
    screen.say(f"Prices: {book.version}")
    screen.say(
        f"Changed: {result.changed:,}; newly priced: {result.newly_priced:,}; became unknown: "
        f"{result.became_unknown:,}; unchanged: {result.unchanged:,}"
    )
    if result.bills:
        screen.say(f"Billed by the provider itself, left alone: {screen.counted(result.bills, 'operation')}")
    if result.still_unknown:
        screen.say(f"Still without a price, and in no sum: {screen.counted(result.still_unknown, 'operation')}")
    screen.say(f"Known costs: ${_usd(result.old_total)} before, ${_usd(result.new_total)} by these prices")
    screen.say(f"Difference: ${_usd(result.difference)}")
    if result.written:
        screen.say(f"Kept: {screen.counted(result.written, 'revision')}")
    elif result.differences.height:
        screen.say("Nothing was changed; --apply keeps the new costs.")


def _row(row: Mapping[str, Any], names: Any) -> list[Any]:
    return [_usd(row[name]) if name.endswith("_usd") else row[name] for name in names]


def _usd(amount: Decimal | None) -> str:
    """Return an amount with cents, and as many places more as it has."""
    if amount is None:
        return ""
    places = -int(amount.normalize().as_tuple().exponent) if amount else 0
    return f"{amount:,.{max(2, places)}f}"


def _as_data(result: Recosted, book: PriceBook) -> dict[str, Any]:
    return {
        "prices": book.version,
        **{name: getattr(result, name) for name in _COUNTS},
        "old_total_usd": result.old_total,
        "new_total_usd": result.new_total,
        "difference_usd": result.difference,
        "differences": result.differences.to_dicts(),
    }
