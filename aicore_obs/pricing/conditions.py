"""This module is where it is said what a price may depend on besides its model: tier, batch, region, size, time.

A call's conditions are words (``{"tier": "flex"}``); what is ordinary is absent. All conditions of a row must hold.
Three of them are strict: a price that does not speak of ``tier``, ``batch`` or ``speed`` is the price of an ordinary
call, and is never used for a call that has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from aicore_obs.errors import PriceError

STRICT = ("tier", "batch", "speed")
# Words that a row may give in place of a value: whatever it is; whatever it is unless it is ordinary.
ANY = "any"
OTHER = "other"
_ORDINARY = frozenset(
    {
        "",
        "default",
        "standard",
        "standard_only",
        "normal",
        "auto",
        "on_demand",
        "unspecified",
        "none",
        "false",
        "global",
    }
    | {"not_available"}
)
WORDS = (
    *STRICT,
    "region",
    "size",
    "quality",
    "resolution",
    "audio",
    "search_context",
    "search_type",
    "deployment",
)
NUMBERS = ("min_input_tokens", "max_input_tokens")
TIMES = ("time_of_day", "days")
NAMES = (*WORDS, *NUMBERS, *TIMES)
_DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES = 24 * 60
_MAX_TOKENS = 2**62


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """When a price row holds. Empty: always."""

    words: tuple[tuple[str, str], ...] = ()
    min_input_tokens: int = 0
    max_input_tokens: int | None = None
    # From and to in minutes of the UTC day, half-open; over midnight when from is the larger.
    window: tuple[int, int] | None = None
    # UTC weekdays, Monday is 0.
    days: frozenset[int] | None = None

    @property
    def count(self) -> int:
        """How many conditions there are: of two rows that hold, the one with more is meant."""
        limits = (self.min_input_tokens > 0, self.max_input_tokens is not None, bool(self.window), bool(self.days))
        return len(self.words) + sum(limits)

    def holds_for(self, call: Mapping[str, str], *, is_led: bool = False) -> bool:
        """Return whether the words hold for a call; ``is_led``: another model's prices speak of what is strict."""
        said = dict(self.words)
        if not is_led and any(name in call and name not in said for name in STRICT):
            return False
        return all(value in (ANY, call.get(name)) or (value == OTHER and name in call) for name, value in said.items())

    def holds_at(self, at: datetime) -> bool:
        """Return whether the time of day and the day of the week hold for a time in UTC."""
        if self.days is not None and at.weekday() not in self.days:
            return False
        if self.window is None:
            return True
        start, end = self.window
        minute = at.hour * 60 + at.minute
        return start <= minute < end if start <= end else minute >= start or minute < end

    def holds_with(self, input_tokens: int) -> bool:
        """Return whether the limits of input tokens, both inclusive, hold."""
        return self.min_input_tokens <= input_tokens and (
            self.max_input_tokens is None or input_tokens <= self.max_input_tokens
        )


ALWAYS = Conditions()


def call_conditions(given: Mapping[str, str]) -> dict[str, str]:
    """Return the conditions of a call in one spelling, without what is ordinary."""
    call = {name: str(value).strip().lower() for name, value in given.items()}
    if call.get("tier") == "batch":
        call |= {"tier": "", "batch": "true"}
    # "audio": "false" is a word of its own: a video without sound has another price.
    return {name: value for name, value in call.items() if value not in _ORDINARY or (name == "audio" and value)}


def conditions_of(given: object, row: str) -> Conditions:
    """Return the conditions that a row gives.

    Raises:
        PriceError: a name that is not known or a value that cannot be used; ``row`` names the row in the message.
    """
    if given is None:
        return ALWAYS
    if not isinstance(given, Mapping):
        raise PriceError(f'{row}: conditions={given!r} is no table; write for example {{tier = "flex"}}')
    unknown = [name for name in given if name not in NAMES]
    if unknown:
        raise PriceError(f"{row}: there is no condition {unknown[0]!r}; there are {', '.join(NAMES)}")
    least = _tokens(given, "min_input_tokens", row) or 0
    most = _tokens(given, "max_input_tokens", row)
    if most is not None and most < least:
        raise PriceError(f"{row}: max_input_tokens={most} is below min_input_tokens={least}")
    return Conditions(
        words=tuple(sorted(word for name in WORDS if name in given for word in _word(name, given[name], row))),
        min_input_tokens=least,
        max_input_tokens=most,
        window=_window(given["time_of_day"], row) if "time_of_day" in given else None,
        days=_days(given["days"], row) if "days" in given else None,
    )


def _word(name: str, value: object, row: str) -> list[tuple[str, str]]:
    if not isinstance(value, str | bool | int):
        raise PriceError(f"{row}: condition {name}={value!r} is no text")
    word = str(value).strip().lower()
    if (name, word) == ("tier", "batch"):
        return [("batch", "true")]
    return [] if word in _ORDINARY and name != "audio" else [(name, word)]


def _tokens(given: Mapping[str, Any], name: str, row: str) -> int | None:
    value = given.get(name)
    if value is not None and (type(value) is not int or not 0 <= value < _MAX_TOKENS):
        raise PriceError(f"{row}: condition {name}={value!r} is no count of tokens")
    return value


def _window(value: object, row: str) -> tuple[int, int]:
    start, dash, end = str(value).partition("-")
    first, last = _minute(start), _minute(end)
    if not dash or first is None or last is None or first == last:
        raise PriceError(f'{row}: time_of_day={value!r}: UTC times such as "16:30-00:30" are needed')
    return first, last


def _minute(text: str) -> int | None:
    hour, _, minute = text.strip().partition(":")
    if not (hour.isascii() and hour.isdigit() and minute.isascii() and minute.isdigit()):
        return None
    if len(hour) > 2 or len(minute) != 2:
        return None
    total = int(hour) * 60 + int(minute)
    # 24:00 is the end of the day.
    return total % MINUTES if int(minute) < 60 and total <= MINUTES else None


def _days(value: object, row: str) -> frozenset[int]:
    found: set[int] = set()
    for part in str(value).lower().replace(" ", "").split(","):
        first, _, last = part.partition("-")
        last = last or first
        if first not in _DAY_NAMES or last not in _DAY_NAMES:
            raise PriceError(f'{row}: days={value!r}: names such as "mon-fri" or "sat,sun" are needed')
        start, end = _DAY_NAMES.index(first), _DAY_NAMES.index(last)
        found |= {day % len(_DAY_NAMES) for day in range(start, end + 1 if start <= end else end + 8)}
    return frozenset(found)


def in_utc(at: datetime) -> datetime:
    """Return a time in UTC; one without a zone is in UTC already."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
