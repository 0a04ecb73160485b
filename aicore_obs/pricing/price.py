"""This module is where one price is described as it holds for one call: which row it is, and what each unit costs."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from aicore_obs.model.cost import EXACT
from aicore_obs.pricing.rows import PriceRow
from aicore_obs.pricing.units import DISCOUNTED

# Names of the layers, in the order in which they are asked.
USER = "user"
CORRECTIONS = "corrections"
TABLE = "genai-prices"


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """A price that was found: ``rates`` is unit → US dollars (units: :data:`aicore_obs.pricing.units.UNITS`).

    ``id`` names the row, ``layer`` where it comes from. ``rest_is_free`` says that what has no rate costs nothing;
    without it a missing rate is an unknown price.
    """

    id: str
    layer: str
    model: str
    rates: dict[str, Decimal]
    provider: str | None = None
    effective_from: datetime | None = None
    effective_to: datetime | None = None
    above_input_tokens: int = 0
    min_audio_seconds: Decimal | None = None
    rest_is_free: bool = False
    source: str | None = None


class NoPrice(msgspec.Struct, frozen=True):
    """Why there is no price."""

    reason: str
    # Whether some layer knows the model, at another time or under other conditions.
    is_known: bool = False


def price_of(row: PriceRow, layer: str, model: str) -> Price:
    """Return the price that a row with prices gives."""
    return Price(
        id=row.id,
        layer=layer,
        model=model,
        provider=row.provider,
        rates=row.prices,
        effective_from=row.effective_from,
        effective_to=row.effective_to,
        above_input_tokens=max(0, row.conditions.min_input_tokens - 1),
        min_audio_seconds=row.min_audio_seconds,
        source=row.source,
    )


def scaled(price: Price, rule: PriceRow) -> Price:
    """Return a price times the share that a rule gives; fees for searches and requests stay as they are."""
    share = rule.multiply
    if share is None:
        return price
    rates = {
        unit: EXACT.multiply(rate, share) if unit in DISCOUNTED and unit not in rule.unchanged else rate
        for unit, rate in price.rates.items()
    }
    words = "+".join(f"{name}={value}" for name, value in rule.conditions.words)
    source = "; ".join(filter(None, (price.source, rule.source)))
    return msgspec.structs.replace(price, id=f"{price.id}+{words}", rates=rates, source=source)
