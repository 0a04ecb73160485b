"""This module is where single values become words for people: amounts, times, counts, and any text, made harmless.

What is unknown is a dash and never a 0.
"""

from __future__ import annotations

import json
from datetime import datetime
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Any

import msgspec

from aicore_obs.model.cost import EXACT

UNKNOWN = "—"
# Amounts below a dollar are shown with so many digits behind the zeros.
_DIGITS = 4
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
# Not printable, and part of the writing of languages and of signs made of several; they move nothing.
_JOINERS = frozenset("\u200c\u200d")


def harmless(text: str, *, lines: bool = True) -> str:
    """Return text that cannot move a cursor, colour a terminal or turn the direction of what follows.

    ``lines``: ends of lines stay, and tabs are spaces; else they are replaced like all that is not printable.
    """
    if lines:
        text = text.replace("\r\n", "\n").replace("\t", "    ")
    if text.isprintable():
        return text
    kept = _JOINERS | {"\n"} if lines else _JOINERS
    return "".join(one if one in kept or one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def usd(amount: Decimal | None, *, at_least: bool = False) -> str:
    """Return an amount in US dollars for people; ``at_least``: a lower bound, never rounded up."""
    if amount is None:
        return "unknown"
    places = 2
    if amount and abs(amount) < 1:
        places = min(12, max(2, _DIGITS - 1 - amount.adjusted()))
    rounding = ROUND_FLOOR if at_least else ROUND_HALF_EVEN
    rounded = amount.quantize(Decimal(1).scaleb(-places), rounding=rounding, context=EXACT)
    return f"{'≥ ' if at_least else ''}{rounded:,f}"


def dollars(amount: Decimal | None, *, at_least: bool = False) -> str:
    """Return an amount with its sign, a dash where it is unknown."""
    if amount is None:
        return UNKNOWN
    bound, _, digits = usd(amount, at_least=at_least).rpartition(" ")
    return f"{bound} ${digits}" if bound else f"${digits}"


def duration(value_ms: float | None) -> str:
    """Return how long something took, a dash where that is unknown."""
    if value_ms is None:
        return UNKNOWN
    # Bounds are where the text is rounded up to the next unit.
    if value_ms < 9.95:
        return f"{value_ms:.1f} ms"
    if value_ms < 999.5:
        return f"{value_ms:.0f} ms"
    if value_ms < 59_995:
        return f"{value_ms / 1000:.2f} s"
    minutes, seconds = divmod(round(value_ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"


def number(value: float | None) -> str:
    """Return a count with its thousands apart, a dash where it is unknown."""
    return UNKNOWN if value is None else f"{value:,}"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 record``, ``2 records``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def when(value: datetime | None) -> str:
    """Return a time to the millisecond, in UTC."""
    return "" if value is None else value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03}"


def size(count: int) -> str:
    """Return a number of bytes for people."""
    amount = float(count)
    for unit in _UNITS[:-1]:
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} {_UNITS[-1]}"


def value_text(value: Any) -> str:
    """Return any value as text: text as it is, else JSON, on one line where it is short."""
    if isinstance(value, str):
        return value
    if value is None:
        return UNKNOWN
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHORT else json.dumps(value, ensure_ascii=False, default=str, indent=2)


# JSON that is read on one line at a glance.
_SHORT = 100


class Folded(msgspec.Struct, frozen=True):
    """The first part of a long text, and how much of it is left out."""

    shown: str
    characters: int = 0
    lines: int = 0

    @property
    def told(self) -> str:
        """What is left out, in words."""
        more = f", {counted(self.lines, 'line')}" if self.lines else ""
        return f"{self.characters:,} more characters{more}"


def folded(text: str, *, characters: int, lines: int) -> Folded:
    """Return a text shortened to so many characters and lines; a little more than that stays whole."""
    if len(text) <= characters * 5 // 4 and text.count("\n") < lines * 5 // 4:
        return Folded(text)
    shown = "\n".join(text[:characters].split("\n")[:lines]).rstrip()
    left = text[len(shown) :]
    return Folded(shown, len(left), left.count("\n"))
