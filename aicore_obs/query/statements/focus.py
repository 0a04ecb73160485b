"""This module is where statements in FOCUS are read, the open specification that clouds and resellers export.

Columns by FOCUS 1.0 to 1.2 (focus.finops.org/focus-specification; of an export:
learn.microsoft.com/cloud-computing/finops/focus/metadata; both read 2026-11-21): ``BilledCost, EffectiveCost, ListCost,
ContractedCost, BillingCurrency, ChargePeriodStart``, ``ChargePeriodEnd`` (exclusive), ``ChargeCategory,
ChargeDescription, ConsumedQuantity, ConsumedUnit, ProviderName, ServiceName, SkuId, SkuMeter, ResourceId, ResourceName,
SubAccountId, Tags`` and columns of the exporter's own, which begin with ``x_``.

``BilledCost`` is compared unless another cost column is chosen: it is what the invoice is made of. The specification
has no column for a model: it is looked for in a column such as ``x_model``, in the tag ``model``, and then in the texts
``ChargeDescription``, ``SkuMeter``, ``ResourceName`` and ``SkuId``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from aicore_obs.errors import StatementError
from aicore_obs.query.statements.files import Content
from aicore_obs.query.statements.lines import Format, Line, count_tokens, line
from aicore_obs.query.statements.names import Item, fee_name, item_of, model_item
from aicore_obs.query.statements.rows import Row

COST_COLUMNS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
_NEEDED = ("billingcurrency", "chargeperiodstart", "chargeperiodend")
_OWN_MODEL = ("x_model", "x_modelid", "x_model_id", "x_modelname", "x_model_name")
_TEXTS = ("chargedescription", "skumeter", "resourcename", "skuid")
_UNIT = re.compile(r"^(?P<size>[\d.,]*)\s*(?P<scale>[km]?)\s*tok", re.IGNORECASE)
_SCALES = {"": 1, "k": 1_000, "m": 1_000_000}


def _table(content: Content, column: str | None) -> Iterator[Line]:
    chosen = (column or COST_COLUMNS[0]).lower()
    if chosen not in content.columns:
        raise StatementError(f"{content.file} has no column {column or COST_COLUMNS[0]}")
    for row in content.rows:
        yield _charge(row, chosen)


def _charge(row: Row, chosen: str) -> Line:
    row.check_currency("billingcurrency")
    tags = _tags(row)
    item = _item(row, tags)
    one = line(row, item, start=row.needed_time("chargeperiodstart"), end=row.time("chargeperiodend"))
    one.amount_usd = row.needed_money(chosen)
    one.provider = row.text("serviceprovidername", "providername", "publishername")
    one.request_id = row.text("x_requestid", "x_request_id", "x_responseid") or _tag(tags, "request_id", "requestid")
    one.line_item = row.text("chargedescription", "skumeter", "skuid", "servicename")
    one.project_id = row.text("subaccountid")
    one.quantity = row.money("consumedquantity")
    count_tokens(one, _tokens(row, one.quantity))
    return one


def _item(row: Row, tags: dict[str, Any]) -> Item:
    category = row.text("chargecategory") or "Usage"
    if category != "Usage":
        return Item(fee=fee_name(category))
    model = row.text(*_OWN_MODEL) or _tag(tags, "model", "model_id", "modelid")
    if model is not None:
        words = row.text("x_tokentype", "x_token_type") or row.text("skumeter", "chargedescription")
        return model_item(model, words)
    items = [item_of(row.text(name)) for name in _TEXTS]
    named = next((one for one in items if one.model_name is not None), None)
    return named or next((one for one in items if one.fee is not None), Item(fee="unnamed"))


def _tags(row: Row) -> dict[str, Any]:
    text = row.text("tags")
    if text is None or not text.startswith("{"):
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise row.error("tags", text, "a JSON object") from error
    return {str(key).lower(): value for key, value in found.items()}


def _tag(tags: dict[str, Any], *names: str) -> str | None:
    return next((str(tags[name]) for name in names if tags.get(name)), None)


def _tokens(row: Row, quantity: Decimal | None) -> int | None:
    unit = _UNIT.match(row.text("consumedunit") or "")
    if unit is None or quantity is None or quantity < 0:
        return None
    size = Decimal(unit["size"].replace(",", "").strip(".") or 1)
    tokens = quantity * size * _SCALES[unit["scale"].lower()]
    return int(tokens) if tokens == tokens.to_integral_value() else None


FORMATS = (
    Format(
        name="FOCUS (CSV)",
        told_by="BilledCost (or another cost column), BillingCurrency, ChargePeriodStart, ChargePeriodEnd",
        fits=lambda content: content.has(*_NEEDED) and any(one.lower() in content.columns for one in COST_COLUMNS),
        read=_table,
    ),
)
