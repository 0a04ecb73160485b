"""This module is where a price row is read and checked: what users write, and our own corrections too.

A row: ``provider`` (of any provider when left out), ``model``, ``match`` (exact, prefix or regex), ``effective_from``
and ``effective_to`` (half-open, UTC; a date is its midnight), ``currency`` (USD), the prices by the names of
:mod:`aicore_obs.pricing.units`, ``conditions``, ``source`` and ``id``. In place of prices a row may say ``as_model``
(has the price of another model of this provider) or ``multiply`` (a share of the price that would hold without this
row's conditions).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from aicore_obs.errors import PriceError
from aicore_obs.guard import as_text, attempt
from aicore_obs.model.cost import EXACT
from aicore_obs.pricing.conditions import ALWAYS, Conditions, conditions_of, in_utc
from aicore_obs.pricing.units import DISCOUNTED, UNITS

MATCHES = ("exact", "prefix", "regex")
_TEXTS = ("provider", "model", "match", "currency", "source", "id", "as_model")
_KEYS = (*_TEXTS, "effective_from", "effective_to", "conditions", "multiply", "unchanged", "min_audio_seconds")
# What a price may be: a typing mistake of nine digits is one, and twelve places of a cost need no more than these.
_MAX_PRICE = Decimal(10) ** 9
_MAX_PLACES = 24
_SHOWN = 80


class PriceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One checked row. ``prices``: unit → US dollars; ``effective_from`` and ``effective_to`` aware UTC or None."""

    id: str
    model: str
    provider: str | None = None
    match: str = "exact"
    effective_from: datetime | None = None
    effective_to: datetime | None = None
    prices: dict[str, Decimal] = {}
    conditions: Conditions = ALWAYS
    as_model: str | None = None
    multiply: Decimal | None = None
    unchanged: tuple[str, ...] = ()
    min_audio_seconds: Decimal | None = None
    source: str | None = None

    def covers(self, at: datetime) -> bool:
        """Return whether a time in UTC is within the dates; the first moment is, the last is not."""
        return (self.effective_from is None or self.effective_from <= at) and (
            self.effective_to is None or at < self.effective_to
        )


def row_of(given: object, number: int = 0) -> PriceRow:
    """Return a row for what a user wrote; ``number`` is its place in the list, for messages.

    Raises:
        PriceError: a key that is not known or a value that cannot be used; the message says what to write.
    """
    if isinstance(given, PriceRow):
        return given
    if not isinstance(given, Mapping):
        raise PriceError(f"price row {number + 1}: {_shown(given)} is no table of provider, model and prices")
    name = f"price row {number + 1} ({as_text(given.get('model', '?'))[:_SHOWN]})"
    unknown = [key for key in given if key not in _KEYS and key not in UNITS]
    if unknown:
        raise PriceError(f"{name}: there is no key {_shown(unknown[0])}; there are {', '.join((*_KEYS, *UNITS))}")
    values = {key: value for key, value in given.items() if value is not None}
    texts = {key: _text(key, values[key], name) for key in _TEXTS if key in values}
    fields: dict[str, Any] = {
        "provider": texts["provider"].lower() if texts.get("provider") else None,
        **_model(texts, name),
        **_dates(values, name),
        **_amounts(values, name),
        "conditions": conditions_of(values.get("conditions"), name),
        "as_model": texts.get("as_model"),
        "source": texts.get("source"),
    }
    _check_kind(fields, texts.get("currency", "USD"), name)
    return PriceRow(id=texts.get("id") or _id(fields), **fields)


def _text(key: str, value: object, name: str) -> str:
    if not isinstance(value, str):
        raise PriceError(f"{name}: {key}={_shown(value)} is no text")
    return value.strip()


def _model(texts: Mapping[str, str], name: str) -> dict[str, Any]:
    match, model = texts.get("match", "exact"), texts.get("model", "")
    if match not in MATCHES:
        raise PriceError(f"{name}: match={match!r}; there are {', '.join(MATCHES)}")
    if not model and ("model" not in texts or match != "prefix"):
        raise PriceError(f'{name}: a row needs a model; match = "prefix" with model = "" means every model')
    if match == "regex":
        outcome = attempt(re.compile, model)
        if outcome.error is not None:
            raise PriceError(f"{name}: {_shown(model)} is no regular expression: {outcome.error}") from outcome.error
    return {"model": model, "match": match}


def _dates(values: Mapping[str, Any], name: str) -> dict[str, datetime | None]:
    start, end = (_moment(key, values.get(key), name) for key in ("effective_from", "effective_to"))
    if start is not None and end is not None and end <= start:
        raise PriceError(
            f"{name}: effective_to={end:%Y-%m-%d %H:%M} is not after effective_from={start:%Y-%m-%d %H:%M}"
        )
    return {"effective_from": start, "effective_to": end}


def _moment(key: str, value: object, name: str) -> datetime | None:
    if value is None:
        return None
    outcome = attempt(_read_moment, value)
    if outcome.value is None:
        message = (
            f"{name}: {key}={_shown(value)}: a date such as 2026-07-01, or a time such as 2026-07-01T16:00Z, is needed"
        )
        raise PriceError(message) from outcome.error
    return outcome.value


def _read_moment(value: object) -> datetime | None:
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip())
    if isinstance(value, datetime):
        return in_utc(value)
    return in_utc(datetime(value.year, value.month, value.day)) if isinstance(value, date) else None  # noqa: DTZ001


def _amounts(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    unchanged = values.get("unchanged", ())
    if not isinstance(unchanged, list | tuple) or any(unit not in DISCOUNTED for unit in unchanged):
        raise PriceError(f"{name}: unchanged={_shown(unchanged)} is no list of units")
    numbers = {key: _amount(key, values[key], name) for key in ("multiply", "min_audio_seconds") if key in values}
    prices = {key: _amount(key, value, name) for key, value in values.items() if key in UNITS}
    return {"prices": prices, "unchanged": tuple(unchanged), **numbers}


def _amount(key: str, value: object, name: str) -> Decimal:
    """Return a price; a float by its shortest text, so that 0.1 is one tenth."""
    amount: Decimal | None = None
    if isinstance(value, Decimal):
        amount = value
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        amount = _decimal(value)
    if amount is None or not amount.is_finite() or not 0 <= amount <= _MAX_PRICE:
        raise PriceError(f"{name}: {key}={_shown(value)}: a price in US dollars of 0 or more is needed")
    if -int(amount.as_tuple().exponent) > _MAX_PLACES:
        raise PriceError(f"{name}: {key}={_shown(value)} has more than {_MAX_PLACES} decimal places")
    # Never -0, never with an exponent such as in 1E+2, and never rounded by the application's own context.
    return EXACT.add(amount.copy_abs(), 0)


def _decimal(value: str | int | float) -> Decimal | None:  # noqa: PYI041 - bool is an int too, and was sorted out
    try:
        return Decimal(repr(value) if isinstance(value, float) else value)
    except (InvalidOperation, ValueError):
        return None


def _check_kind(fields: Mapping[str, Any], currency: str, name: str) -> None:
    if currency.upper() != "USD":
        raise PriceError(f"{name}: currency={_shown(currency)}; prices are in USD, so convert it first")
    kinds = [bool(fields["prices"]), fields["as_model"] is not None, "multiply" in fields]
    if kinds.count(True) != 1:
        raise PriceError(f"{name}: a row has either prices ({', '.join(UNITS)}), or as_model, or multiply")
    if "multiply" in fields and not fields["conditions"].words:
        raise PriceError(f"{name}: multiply needs conditions; it is a share of the price without them")


def _id(fields: Mapping[str, Any]) -> str:
    """Return a name made of the content: the same row has the same name everywhere and always."""
    digest = hashlib.sha256(msgspec.json.encode({**fields, "conditions": _plain(fields["conditions"])}, order="sorted"))
    start = fields["effective_from"]
    since = "" if start is None else f"@{start:%Y-%m-%d}"
    words = "".join(f"+{name}={value}" for name, value in fields["conditions"].words)
    return f"{fields['provider'] or '*'}/{fields['model'][:_SHOWN]}{since}{words}#{digest.hexdigest()[:8]}"


def _plain(conditions: Conditions) -> list[Any]:
    days = sorted(conditions.days or ())
    return [conditions.words, conditions.min_input_tokens, conditions.max_input_tokens, conditions.window, days]


def _shown(value: object) -> str:
    text = attempt(repr, value).value or f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
