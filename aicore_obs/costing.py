"""This module is where usage meets prices: what a call cost, asked by hand or on the road."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, cast

import msgspec

from aicore_obs.capture.record import Capture
from aicore_obs.derivation import derive
from aicore_obs.errors import ConfigurationError
from aicore_obs.estimation import estimated
from aicore_obs.guard import attempt
from aicore_obs.model import codec
from aicore_obs.model.cost import Cost, by_estimate
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.usage import NO_USAGE, Usage
from aicore_obs.pipeline.forks import importing
from aicore_obs.pricing.book import PriceBook
from aicore_obs.pricing.table import shared_table
from aicore_obs.settings import from_environment

# A book, its rows, a file of rows; None: the bundled prices alone.
Prices = PriceBook | Sequence[Mapping[str, Any]] | str | Path | None
_NOTHING_READ = Derived()


class CostAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What one call used and cost.

    ``cost`` None: unknown, and ``reason`` says why. A ``reason`` beside a cost says what of it has no price, so that
    ``cost.total`` is a lower bound. ``usage_source`` is the provider whose description read the usage, or
    ``shape:<name>`` where only the body's shape told, None where there is no usage.
    """

    usage: Usage = NO_USAGE
    cost: Cost | None = None
    reason: str | None = None
    usage_source: str | None = None


def cost_of(  # noqa: PLR0913 - what a call is made of
    response: Any,
    *,
    provider: str | None,
    model: str | None = None,
    request: Mapping[str, Any] | None = None,
    api: str | None = None,
    at: datetime | str | None = None,
    prices: Prices = None,
) -> CostAnswer:
    """Return what a call used and cost, without recording anything.

    Args:
        response: the raw body (dict, text, bytes), an SDK's object, or the list of a stream's events.
        provider: who was asked, such as ``"openai"``; None: told by the body's shape and the model's name.
        model: the model that was asked for, where ``request`` does not say it.
        request: the arguments of the call, as far as they are known: model, service tier, size, base_url, ...
        api: which of the provider's interfaces, such as ``"chat.completions"`` or ``"batches"``.
        at: when the call was made, an aware time or ISO text; naive = UTC, None = now. Prices are those of that time.
        prices: a :class:`PriceBook`, its rows, or the path of a file of rows; None: the file that ``AICORE_OBS_PRICES``
            names, else the bundled prices.

    Raises:
        ConfigurationError: ``prices`` cannot be used, or ``at`` is no time.
    """
    book = book_of_settings() if prices is None else book_of(prices)
    if isinstance(response, str | bytes | bytearray):
        response = _body(response)
    asked = dict(request or {})
    if model is not None and not asked.get("model") and not asked.get("modelId"):
        asked["model"] = model
    options = {name: value for name, value in (("api", api), ("timestamp", at)) if value is not None}
    captured = _capture.operation(asked, "completion", provider, response, None, options)
    operation = cast("Operation", codec.decode(captured.line))
    if "timestamp" in operation.odd:
        raise ConfigurationError(f"at={at!r}: a time such as '2026-07-01' or '2026-07-01T16:00Z' is needed")
    derived = _costed(operation, book)
    cost = derived.cost
    return CostAnswer(
        usage=derived.usage,
        cost=cost if cost is not None and cost.total is not None else None,
        reason=cost.reason if cost is not None else None,
        usage_source=derived.usage_source,
    )


def _body(text: str | bytes | bytearray) -> Any:
    """Return what a body's text holds; the text itself where it is no JSON, such as the lines of a stream."""
    data = attempt(msgspec.json.decode, text).value
    return data if data is not None else text if isinstance(text, str) else bytes(text).decode("utf-8", "replace")


def book_of(prices: object) -> PriceBook:
    """Return the price book that is meant.

    Raises:
        ConfigurationError: it is no book, no rows and no file of rows.
    """
    if prices is None:
        return bundled_book()
    if isinstance(prices, PriceBook):
        return prices
    if isinstance(prices, str | Path):
        return PriceBook.from_file(prices)
    if isinstance(prices, Sequence):
        return PriceBook(rows=prices)
    raise ConfigurationError(
        f"prices={prices!r}: a PriceBook, a list of rows, or the path of a TOML or JSON file is needed"
    )


@cache
def bundled_book() -> PriceBook:
    """Return the prices that come with the package."""
    return PriceBook()


@cache
def load_prices() -> None:
    """Load the bundled table: a third of a second the first time, nothing later. A fork waits for its end."""
    importing(shared_table)


def costed_by_settings() -> Callable[[Operation], Derived]:
    """Return what reads and prices an operation by the prices that the environment names, else by the bundled ones."""
    return costed(book_of_settings(), estimates=True)


def book_of_settings() -> PriceBook:
    """Return the book that the environment names; a file is read again when it has changed."""
    named = from_environment().prices
    if named is None:
        return bundled_book()
    path = Path(named)
    return _book_of_file(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=4)
def _book_of_file(path: Path, _changed_ns: int) -> PriceBook:
    return PriceBook.from_file(path)


def costed(book: PriceBook, *, estimates: bool = False) -> Callable[[Operation], Derived]:
    """Return what reads an operation and prices it; what was read or priced before stays.

    ``estimates``: tokens that nobody reported are estimated, which is not for the thread of a caller.
    """
    return lambda operation: _costed(operation, book, estimates=estimates)


def _costed(operation: Operation, book: PriceBook, *, estimates: bool = False) -> Derived:
    derived = operation.derived
    if derived is None:
        derived = derive(operation) or _NOTHING_READ
        if estimates and operation.stream_state is not None:
            derived = estimated(operation, derived)
    if derived.cost is not None:
        return derived
    load_prices()
    cost = book.cost(
        provider=operation.provider,
        model=derived.model,
        response_model=derived.response_model,
        usage=derived.usage,
        billing=derived.billing,
        at=operation.timestamp,
        api=operation.api,
    )
    return msgspec.structs.replace(derived, cost=by_estimate(cost, derived.usage_source))


_capture = Capture(derive=derive)
