"""This module is where prices are shown, checked and compared; nothing here opens a connection but to a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from aicore_obs import plugins
from aicore_obs.cli import screen
from aicore_obs.cli.places import DEFAULT_SCHEMA, SchemaOption, StoreArgument, address
from aicore_obs.cli.price_differences import Difference, differences
from aicore_obs.costing import book_of
from aicore_obs.errors import FilterError, StoreNotFoundError
from aicore_obs.model.cost import Billing
from aicore_obs.model.filter import Filter
from aicore_obs.model.ids import utc_now
from aicore_obs.pricing.book import PriceBook
from aicore_obs.pricing.conditions import WORDS, in_utc
from aicore_obs.pricing.corrections import corrections
from aicore_obs.pricing.price import NoPrice, Price
from aicore_obs.pricing.table import shared_table, table_version
from aicore_obs.pricing.units import UNITS
from aicore_obs.settings import from_environment

# A table that says nothing of the last three months misses models that are in use.
OLD_DAYS = 90
BUNDLED = "bundled"
_BATCH_ROWS = 50_000
_ASKED = ("timestamp", "provider", "model", "response_model", "total_tokens", "cost_usd", "cost_reason")

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Show prices, say how old they are and which models have none, and compare price books. Without a network.",
)
BookOption = Annotated[
    Path | None,
    typer.Option(
        "--prices",
        metavar="FILE",
        help="A price book (TOML or JSON) over the bundled one. Default: AICORE_OBS_PRICES.",
        show_default=False,
    ),
]
AtOption = Annotated[
    str | None,
    typer.Option(
        "--at", metavar="DATE", help="A date or time, UTC unless it says otherwise. Default: now.", show_default=False
    ),
]


class Unpriced(msgspec.Struct, kw_only=True):
    """Operations of one model that have no price, or only a lower bound, for one reason."""

    provider: str | None
    model: str | None
    reason: str
    operations: int
    tokens: int
    priced_now: bool


@app.command("show")
def show(  # noqa: PLR0913 - an option of the command is a parameter here
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model's name, as it is asked for.", show_default=False)
    ],
    provider: Annotated[
        str | None,
        typer.Option(
            "-p", "--provider", metavar="NAME", help="Default: the one whose model it is.", show_default=False
        ),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            "-c",
            "--condition",
            metavar="NAME=VALUE",
            help=f"What the price depends on besides: {', '.join(WORDS)}. The same as --tier for tier=…",
            show_default=False,
        ),
    ] = None,
    at: AtOption = None,
    prices: BookOption = None,
    *,
    tier: Annotated[str | None, typer.Option(metavar="NAME", help="flex, priority, …", show_default=False)] = None,
    batch: Annotated[bool, typer.Option("--batch", help="The price of batch processing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show the price of a model at a time: each unit, the row that says so, and its source.

    Exit code 1 when there is none; the reason is shown.
    """
    book = _book(prices)
    words = conditions_of(condition or [], tier=tier, batch=batch)
    when = time_of(at)
    bands = book.bands(provider=provider, model=model, billing=Billing(conditions=words), at=when)
    found = [(above, price) for above, price in bands if isinstance(price, Price)]
    if as_json:
        screen.say_json({"at": when, "book": book.version, "prices": [_as_data(*band) for band in bands]})
    elif found:
        _show_bands(found, when, book)
    if not found:
        reason = next(price.reason for _, price in bands if isinstance(price, NoPrice))
        if not as_json:
            screen.say(reason)
        raise typer.Exit(1)


@app.command("check")
def check(
    store: StoreArgument = None,
    prices: BookOption = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Say how old the bundled prices are, and which models of a store have none.

    A price that is known now and was not when the call was recorded is marked. Exit code 1 when a model has no price
    or the table has none from the last 90 days.
    """
    book = _book(prices)
    today = utc_now().date()
    newest = shared_table().newest(today)
    unpriced = _unpriced(store, db_schema, book)
    is_old = newest is None or (today - newest).days > OLD_DAYS
    if as_json:
        ages = {"genai_prices": table_version(), "newest": newest, "corrections": corrections().checked, "old": is_old}
        screen.say_json({"book": book.version, **ages, "unpriced": msgspec.to_builtins(unpriced)})
    else:
        screen.say(f"genai-prices {table_version()}: newest price of {newest or 'no day'}, {_age(newest, today)}")
        screen.say(f"corrections: checked on {corrections().checked}, {_age(_day(corrections().checked), today)}")
        if unpriced is not None:
            _show_unpriced(unpriced)
    if unpriced or is_old:
        raise typer.Exit(1)


@app.command("diff")
def diff(
    first: Annotated[
        str, typer.Argument(metavar="BOOK", help="A price book's file, or `bundled`.", show_default=False)
    ],
    second: Annotated[
        str, typer.Argument(metavar="[BOOK]", help="Another one. Default: bundled.", show_default=False)
    ] = BUNDLED,
    at: AtOption = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what differs between two price books: rows, deployments, and the prices that follow at a time.

    Exit code 0 when nothing does, else 1.
    """
    found = differences(_named(first), _named(second), time_of(at))
    if as_json:
        screen.say_json(msgspec.to_builtins(found))
    elif found:
        screen.show(
            ("what", "provider", "model", "item", first, second), (_told(one) for one in found), numbers=(first, second)
        )
    else:
        screen.say("No difference")
    if found:
        raise typer.Exit(1)


def conditions_of(words: Sequence[str], *, tier: str | None, batch: bool) -> dict[str, str]:
    """Return the conditions of a call for words such as ``region=us``.

    Raises:
        FilterError: a word that is none.
    """
    found = {"tier": tier} if tier else {}
    if batch:
        found["batch"] = "true"
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in WORDS:
            raise FilterError(f"--condition {word!r}: NAME=VALUE is needed, with one of {', '.join(WORDS)}")
        found[name] = value
    return found


def time_of(text: str | None) -> datetime:
    """Return the time that a user means; a date is its midnight.

    Raises:
        FilterError: it is no time.
    """
    if text is None:
        return utc_now()
    try:
        return in_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError) as error:
        raise FilterError(
            f"--at {text!r}: a date such as 2026-07-01, or a time such as 2026-07-01T16:00, is needed"
        ) from error


def _named(name: str) -> PriceBook:
    return PriceBook() if name == BUNDLED else PriceBook.from_file(name)


def _book(path: Path | None) -> PriceBook:
    return book_of(path or from_environment().prices)


def _show_bands(bands: Sequence[tuple[int, Price]], when: datetime, book: PriceBook) -> None:
    for above, price in bands:
        who = f"{price.model} of {price.provider}" if price.provider else price.model
        band = f" from {above:,} input tokens on" if above else ""
        screen.say(f"{who}{band} at {screen.when(when)[:16]} UTC: {price.id}")
        screen.show(("unit", "usd", "per"), list(_lines(price)), numbers=("usd",))
        for line in _dates(price):
            screen.say(line)
        screen.say("")
    screen.say(f"Book: {book.version}")


def _lines(price: Price) -> Iterator[tuple[str, str, str]]:
    for unit, rate in price.rates.items():
        known = UNITS[unit]
        per = f"{known.per:,} {known.field.replace('_', ' ')}" if known.field else "request"
        yield unit, usd(rate), per.removeprefix("1 ")
    if not price.rates:
        yield "everything", "0", "call"


def _dates(price: Price) -> Iterator[str]:
    if price.effective_from or price.effective_to:
        start = f"from {price.effective_from:%Y-%m-%d %H:%M}" if price.effective_from else ""
        end = f"up to {price.effective_to:%Y-%m-%d %H:%M}" if price.effective_to else ""
        yield f"Holds {' '.join(filter(None, (start, end)))} UTC"
    if price.source:
        yield f"Source: {price.source}"


def usd(amount: Decimal) -> str:
    """Return a price without needless zeros and without an exponent."""
    return f"{amount.normalize():f}" if amount else "0"


def _as_data(above: int, price: Price | NoPrice) -> dict[str, Any]:
    return {"from_input_tokens": above, **msgspec.to_builtins(price)}


def _unpriced(store: str | None, db_schema: str, book: PriceBook) -> list[Unpriced] | None:
    """Return what a store holds without a price, the most frequent first; None where there is no default store."""
    place = address(store, db_schema)
    counts: Counter[tuple[Any, ...]] = Counter()
    tokens: Counter[tuple[Any, ...]] = Counter()
    latest: dict[tuple[Any, ...], datetime] = {}
    try:
        for frame in plugins.reader(place).batches(Filter.of(columns=list(_ASKED)), _ASKED, batch_rows=_BATCH_ROWS):
            for when, provider, model, response, used, _, reason in _without_price(frame):
                key = (provider, model, response, reason or "no cost was recorded")
                counts[key] += 1
                tokens[key] += used or 0
                latest[key] = max(when, latest.get(key, when))
    except StoreNotFoundError:
        if store is not None:
            raise
        screen.complain(f"there is no store at {place.name}; only the prices were checked")
        return None
    return [
        Unpriced(
            provider=provider,
            model=response or model,
            reason=reason,
            operations=count,
            tokens=tokens[provider, model, response, reason],
            priced_now=_is_priced(book, provider, model, response, latest[provider, model, response, reason]),
        )
        for (provider, model, response, reason), count in counts.most_common()
    ]


def _without_price(frame: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a frame without a cost, and those whose cost is a lower bound."""
    rows = frame.filter(frame["cost_usd"].is_null() | frame["cost_reason"].is_not_null()).select(_ASKED)
    yield from rows.iter_rows()


def _is_priced(book: PriceBook, provider: str | None, model: str | None, response: str | None, at: datetime) -> bool:
    return isinstance(book.price(provider=provider, model=model, response_model=response, at=at), Price)


def _show_unpriced(found: Sequence[Unpriced]) -> None:
    if not found:
        screen.say("Every operation has a price")
        return
    columns = ("provider", "model", "operations", "tokens", "reason", "price now")
    rows = (
        (one.provider, one.model, one.operations, one.tokens, one.reason, "yes" if one.priced_now else "")
        for one in found
    )
    screen.show(columns, rows, numbers=("operations", "tokens"))
    screen.say(
        f"{screen.counted(sum(one.operations for one in found), 'operation')} without a price, or with a part of it"
    )


def _told(one: Difference) -> tuple[Any, ...]:
    return one.what, one.provider, one.model, one.item, one.first, one.second


def _age(day: date | None, today: date) -> str:
    return "" if day is None else f"{screen.counted(max(0, (today - day).days), 'day')} ago"


def _day(text: str) -> date | None:
    try:
        return datetime.combine(date.fromisoformat(text), time()).date()
    except ValueError:
        return None
