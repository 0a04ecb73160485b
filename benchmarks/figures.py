"""This module is where figures are kept: what one turn took, and what all rounds say together."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec


class Taken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure of one turn. ``floor`` is what nobody can do without, taken in the same turn."""

    what: str
    unit: str
    value: float
    floor: float | None = None
    more_is_better: bool = False


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table: the same figure over all rounds."""

    group: str
    case: str
    what: str
    unit: str
    values: list[float]
    floors: list[float]
    more_is_better: bool
    floor_is: str

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def floor(self) -> float | None:
        """Return the floor's median."""
        return statistics.median(self.floors) if self.floors else None

    @property
    def ratio(self) -> float | None:
        """Return the median of ours by floor; each pair is of one turn."""
        pairs = [value / floor for value, floor in zip(self.values, self.floors, strict=False) if floor]
        return statistics.median(pairs) if pairs else None


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of sorted values lie."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def percentiles(times_ns: list[int], floors_ns: list[int]) -> list[Taken]:
    """Return p50, p99 and p99.9 of calls that took so many nanoseconds, beside the floor's."""
    times, floors = sorted(times_ns), sorted(floors_ns)
    return [
        Taken(what=what, unit="µs", value=percentile(times, share) / 1000, floor=percentile(floors, share) / 1000)
        for what, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
    ]
