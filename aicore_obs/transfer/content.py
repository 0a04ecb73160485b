"""This module is where it is reckoned what a store holds: how many records of each kind, and a checksum of them all.

The checksum is a sum over records, so that it does not depend on their order. A record counts by what it says and not
by how a store writes it down: PostgreSQL keeps neither the order of members nor the spelling of numbers, and escapes
what it cannot hold.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections import Counter
from datetime import UTC
from decimal import Decimal, InvalidOperation
from hashlib import blake2b
from typing import Any

import msgspec

from aicore_obs.model import codec
from aicore_obs.model.cost import Cost, money
from aicore_obs.model.escape import unescape_json
from aicore_obs.model.events import CostRevision
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.record import FIRST_VERSION, Record

_MODULUS = 2**128
# Beyond it a number is compared as it is spelled; no float has such an exponent.
_MOST_DIGITS = 400


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a store holds: the number of records by kind, and their checksum (32 hexadecimal digits)."""

    counts: dict[str, int] = {}
    checksum: str = "0" * 32

    @property
    def total(self) -> int:
        """The number of records of all kinds."""
        return sum(self.counts.values())


class Reckoning:
    """Reckons the contents of a store while its records pass."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._sum = 0

    def add(self, record: Record) -> None:
        """Take one record."""
        self._counts[str(record.__struct_config__.tag)] += 1
        self._sum += int.from_bytes(blake2b(_said(record), digest_size=16).digest(), "big")

    def contents(self) -> Contents:
        """Return what was taken so far."""
        return Contents(counts=dict(sorted(self._counts.items())), checksum=f"{self._sum % _MODULUS:032x}")


class Ids:
    """A set of record ids, eight bytes each: first :meth:`add` them all, then :meth:`settle`, then ask."""

    def __init__(self) -> None:
        self._hashes = array("Q")

    def add(self, record_id: str) -> None:
        """Take one id."""
        self._hashes.append(_hash(record_id))

    def settle(self) -> Ids:
        """Make ready to be asked."""
        self._hashes = array("Q", sorted(self._hashes))
        return self

    def __contains__(self, record_id: str) -> bool:
        wanted = _hash(record_id)
        at = bisect_left(self._hashes, wanted)
        return at < len(self._hashes) and self._hashes[at] == wanted


def _hash(record_id: str) -> int:
    return int.from_bytes(blake2b(record_id.encode(), digest_size=8).digest(), "big")


def _said(record: Record) -> bytes:
    """Return the one spelling of what a record says."""
    text = codec.encode(_normal(record)).decode()
    if isinstance(record, Operation) and record.escaped:
        text = unescape_json(text)
    # Ours and not msgspec's: members sorted, numbers by their value, lone surrogates taken as they are.
    data = json.loads(text, parse_float=_number)
    if isinstance(record, Operation):
        # The encoder leaves this default out only where it is the very same object.
        data["operation_type"] = record.operation_type
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def _normal(record: Record) -> Record:
    """Return a record without what stores do not keep alike: the version, empty parts, the spelling of amounts."""
    plain: dict[str, Any] = {"v": FIRST_VERSION, "timestamp": record.timestamp.astimezone(UTC)}
    if isinstance(record, Operation):
        plain |= {"escaped": False, "replaces": False, "derived": _normal_derived(record.derived)}
    elif isinstance(record, CostRevision):
        plain["cost"] = _normal_cost(record.cost)
    return msgspec.structs.replace(record, **plain)


def _normal_derived(derived: Derived | None) -> Derived | None:
    if derived is None:
        return None
    cost = None if derived.cost is None else _normal_cost(derived.cost)
    plain = msgspec.structs.replace(derived, cost=None if cost == Cost() else cost)
    return None if plain == Derived() else plain


def _normal_cost(cost: Cost) -> Cost:
    known = {name: _amount(value) for name in _AMOUNTS if (value := getattr(cost, name)) is not None}
    return msgspec.structs.replace(cost, **known)


_AMOUNTS = ("total", "input", "output")


def _amount(value: Decimal) -> Decimal:
    try:
        return money(value)
    except InvalidOperation:
        return value


def _number(text: str) -> int | float | str:
    value = Decimal(text)
    if not -_MOST_DIGITS < value.adjusted() < _MOST_DIGITS:
        return text
    return int(value) if value == value.to_integral_value() else float(text)
