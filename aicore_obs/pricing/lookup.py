"""This module is where the layers are asked in order: which price holds for a call, at a time, for its input tokens.

The provider's own bill comes before all of them and is no price; see :mod:`aicore_obs.pricing.bill`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta

import msgspec

from aicore_obs.model.cost import LOCAL
from aicore_obs.pricing.conditions import STRICT, call_conditions
from aicore_obs.pricing.layers import Layer, first_that_holds
from aicore_obs.pricing.names import billers, canonical, is_own_server, is_private, routed, spellings, undated
from aicore_obs.pricing.price import CORRECTIONS, USER, NoPrice, Price, price_of, scaled
from aicore_obs.pricing.rows import PriceRow
from aicore_obs.pricing.table import Entry, Table

_DAY = timedelta(days=1)
# A row may point at another model, which may have been renamed in its turn.
_MAX_HOPS = 3
# Whose clients ask others too, at another address.
_ASKED_ELSEWHERE = frozenset({"openai", "anthropic"})


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What a price depends on besides time and usage."""

    provider: str | None = None
    model: str | None = None
    response_model: str | None = None
    billing_provider: str | None = None
    asked_model: str | None = None
    base_url: str | None = None
    conditions: Mapping[str, str] = {}


class Layers(msgspec.Struct, frozen=True):
    """The layers that a call is looked up in."""

    user: Layer
    corrections: Layer
    table: Table
    deployments: Mapping[str, str]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What the bundled layers know of a model: rows of corrections, rules of corrections, and the table's entry."""

    model: str
    rows: tuple[PriceRow, ...] = ()
    rules: tuple[PriceRow, ...] = ()
    entry: Entry | None = None

    @property
    def is_known(self) -> bool:
        """Whether any of them knows the model."""
        return bool(self.rows) or self.entry is not None


class Candidates:
    """Everything that may give a call its price; made once per call of one kind, asked for every time and band."""

    def __init__(self, layers: Layers, call: Call, hops: int = 0) -> None:
        self._layers = layers
        self._call = call
        self._hops = hops
        self.words = _words(call)
        self._groups = _groups(call, layers.deployments)
        self._billers = self._who()
        named = [canonical(name) for name in (call.billing_provider, call.provider) if name]
        who = tuple(dict.fromkeys((*self._billers[:1], *named)))
        self.user = [self._layers.user.matching(self._names(group), who) for group in self._groups]
        self.found = self._bundled()
        user_rules = [row for rows in self.user for row in rows if row.multiply is not None]
        self.rules = (*user_rules, *self.found.rules)
        self._others: dict[str, Candidates] = {}

    def price(self, at: datetime, tokens: int) -> Price | NoPrice:
        """Return the price at a time in UTC, for so many input tokens."""
        for rows, group in zip(self.user, self._groups, strict=True):
            row = first_that_holds(_without_rules(rows), at, tokens, self.words)
            if row is not None:
                return self._by_row(row, USER, group, at, tokens)
        if self._is_local():
            return Price(id=LOCAL, layer=LOCAL, model=self.found.model, rates={}, rest_is_free=True)
        price = self._by_bundle(at, tokens)
        return self._why(price, at) if isinstance(price, NoPrice) else price

    def moments(self, start: datetime) -> set[datetime]:
        """Return the times within the day from ``start`` on at which the price may change."""
        found = {moment for row in self._rows() for moment in (row.effective_from, row.effective_to) if moment}
        times = {moment for row in self._rows() for moment in _window_times(row)}
        if self.found.entry is not None:
            times |= self.found.entry.moments()
        found |= {datetime.combine(start.date(), one, UTC) for one in times}
        for other in self._all_others():
            found |= other.moments(start)
        return {moment for moment in found if start < moment < start + _DAY}

    def steps(self) -> set[int]:
        """Return the counts of input tokens from which on the price may change."""
        found = {row.conditions.min_input_tokens for row in self._rows()}
        found |= {
            row.conditions.max_input_tokens + 1 for row in self._rows() if row.conditions.max_input_tokens is not None
        }
        if self.found.entry is not None:
            found |= {above + 1 for above in self.found.entry.token_steps()}
        for other in self._all_others():
            found |= other.steps()
        return found

    def _rows(self) -> Iterator[PriceRow]:
        for rows in self.user:
            yield from rows
        yield from self.found.rows
        yield from self.found.rules

    def _all_others(self) -> list[Candidates]:
        return [
            self._other(row.as_model) for row in self._rows() if row.as_model is not None and self._hops < _MAX_HOPS
        ]

    def _other(self, model: str) -> Candidates:
        if model not in self._others:
            call = msgspec.structs.replace(self._call, model=model, response_model=None, asked_model=None)
            self._others[model] = Candidates(self._layers, call, self._hops + 1)
        return self._others[model]

    def _who(self) -> tuple[str, ...]:
        call, table = self._call, self._layers.table
        via = routed(call.base_url)
        if via is not None:
            return (via, "huggingface")
        model = next(iter(self._groups), None)
        provider = call.provider
        if canonical(provider or "") in _ASKED_ELSEWHERE and call.billing_provider is None and call.base_url:
            # Hosts that only the table knows.
            provider = table.served_by(call.base_url) or provider
        found = billers(provider, call.billing_provider, call.model or model)
        if found:
            return found
        owners = (table.owner(name) for group in self._groups for name in spellings(group, None))
        owner = next((one for one in owners if one is not None), None)
        return () if owner is None else (owner,)

    def _names(self, group: str) -> list[str]:
        return list(spellings(group, self._billers[0] if self._billers else None))

    def _bundled(self) -> Found:
        """Return what the bundled layers know of the first name that they know."""
        for group in self._groups:
            found = self._look(group, self._names(group))
            if found.is_known:
                return found
        # A snapshot that nobody lists has the price of its model.
        for group in self._groups:
            bare = [name for name in map(undated, self._names(group)) if name is not None]
            found = self._look(group, bare)
            if found.is_known:
                return found
        return Found(model=next(iter(self._groups), ""))

    def _look(self, group: str, names: Sequence[str]) -> Found:
        rows = self._layers.corrections.matching(names, self._billers)
        entries = (self._layers.table.entry(biller, name) for biller in self._billers for name in names)
        return Found(
            model=group,
            rows=tuple(_without_rules(rows)),
            rules=tuple(row for row in rows if row.multiply is not None),
            entry=next((entry for entry in entries if entry is not None), None),
        )

    def _is_local(self) -> bool:
        call = self._call
        if is_own_server((call.provider, call.billing_provider, *self._billers), call.base_url):
            return True
        # A gateway on this machine serves models that have a price; a model that nobody sells is served by the user.
        return call.base_url is not None and is_private(call.base_url) and not self.found.is_known

    def _by_row(self, row: PriceRow, layer: str, model: str, at: datetime, tokens: int) -> Price | NoPrice:
        if row.as_model is None:
            return price_of(row, layer, model)
        if self._hops >= _MAX_HOPS:
            return NoPrice(f"price row {row.id!r} leads from model to model without an end", is_known=True)
        price = self._other(row.as_model).price(at, tokens)
        if isinstance(price, NoPrice):
            return price
        return msgspec.structs.replace(price, id=f"{row.id} = {price.id}")

    def _by_bundle(self, at: datetime, tokens: int) -> Price | NoPrice:
        row = first_that_holds(self.found.rows, at, tokens, self.words)
        if row is not None and row.as_model is not None:
            # The other model's tiers and rules are looked up there; here they would count twice.
            price, known = self._by_row(row, CORRECTIONS, self.found.model, at, tokens), self._other(row.as_model).rules
        else:
            price, known = self._listed(at, tokens, self.words), ()
        rules = (one for one in self._rules(at, tokens, self.words) if not _strict(one) and one not in known)
        rule = next(rules, None)
        return price if rule is None or isinstance(price, NoPrice) else scaled(price, rule)

    def _listed(self, at: datetime, tokens: int, words: Mapping[str, str]) -> Price | NoPrice:
        """Return what is listed under some words, or follows from what is listed under fewer."""
        found = self.found
        row = first_that_holds(found.rows, at, tokens, words)
        if row is not None:
            return self._by_row(row, CORRECTIONS, found.model, at, tokens)
        price = self._by_table(at, tokens, words)
        if isinstance(price, Price):
            return msgspec.structs.replace(price, model=found.model)
        rule = next((one for one in self._rules(at, tokens, words) if _strict(one)), None)
        if rule is None:
            return price
        named = {name for name, _ in rule.conditions.words}
        base = self._listed(at, tokens, {name: value for name, value in words.items() if name not in named})
        return base if isinstance(base, NoPrice) else scaled(base, rule)

    def _by_table(self, at: datetime, tokens: int, words: Mapping[str, str]) -> Price | NoPrice:
        entry = self.found.entry
        if entry is None:
            return NoPrice("", is_known=self.found.is_known)
        price = entry.price(at, tokens, words)
        ordinary = {name: value for name, value in words.items() if name not in STRICT}
        if isinstance(price, NoPrice) or len(ordinary) == len(words):
            return price
        # A tier's price is listed beside the ordinary one; where that was another, so was the tier's.
        row = first_that_holds(self.found.rows, at, tokens, ordinary)
        listed = entry.price(at, tokens, ordinary)
        same = row is None or (isinstance(listed, Price) and row.prices == listed.rates)
        return price if same else NoPrice("", is_known=True)

    def _rules(self, at: datetime, tokens: int, words: Mapping[str, str]) -> Iterator[PriceRow]:
        """Yield the rules that hold; of a call's strict conditions they need to name only some."""
        for rule in self.rules:
            named = dict(rule.conditions.words)
            if _strict(rule) and not any(name in words for name in named if name in STRICT):
                continue
            asked = {name: value for name, value in words.items() if name in named or name not in STRICT}
            if first_that_holds((rule,), at, tokens, asked) is not None:
                yield rule

    def _why(self, price: NoPrice, at: datetime) -> NoPrice:
        """Return the reason in words, with what is known of the model."""
        who = self._billers[0] if self._billers else self._call.provider
        of = f" of {who}" if who else ""
        if not self._groups:
            return NoPrice("no model is named")
        model = self._groups[0]
        every = [row for rows in (*self.user, self.found.rows) for row in rows]
        starts = [row.effective_from for row in every if row.effective_from is not None and row.effective_from > at]
        strict = ", ".join(f"{name} {self.words[name]!r}" for name in STRICT if name in self.words)
        if strict and (every or price.is_known):
            return NoPrice(f"no price is known for {strict} of model {model!r}{of}", is_known=True)
        if starts and not price.reason:
            return NoPrice(f"the price of model {model!r} is known from {min(starts):%Y-%m-%d} on", is_known=True)
        if every and not price.reason:
            return NoPrice(f"no price row of model {model!r}{of} holds for this call", is_known=True)
        return price if price.reason else NoPrice(f"no price is known for model {model!r}{of}")


def _words(call: Call) -> dict[str, str]:
    """Return the conditions of a call; the deployment is the model that was asked for."""
    words = call_conditions(call.conditions)
    deployment = call.asked_model or call.model
    return words if deployment is None else {**words, "deployment": deployment.strip().lower()}


def _groups(call: Call, deployments: Mapping[str, str]) -> list[str]:
    """Return the names of the model, the one to price by first: what answered, what its deployment is, what was asked.

    On Bedrock the profile that was asked for has the price and the answer only the model's family name.
    """
    given = [name for name in (call.response_model, call.model, call.asked_model) if name and name.strip()]
    asked = [name for name in (call.asked_model, call.model) if name and name.strip()]
    mapped = [deployments[name.strip().lower()] for name in (*asked, *given) if name.strip().lower() in deployments]
    if canonical(call.billing_provider or call.provider or "") == "aws":
        given = [*asked, *given]
    elif mapped and given and given[0].strip().lower() in deployments:
        given = [*mapped, *given]
    return list(dict.fromkeys([*given[:1], *mapped, *given[1:]]))


def _without_rules(rows: Sequence[PriceRow]) -> list[PriceRow]:
    return [row for row in rows if row.multiply is None]


def _strict(row: PriceRow) -> bool:
    return any(name in STRICT for name, _ in row.conditions.words)


def _window_times(row: PriceRow) -> Iterator[time]:
    for minute in row.conditions.window or ():
        yield time(minute // 60, minute % 60)
