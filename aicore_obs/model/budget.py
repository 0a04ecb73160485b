"""This module is where a budget is defined: how much may be spent, in which window of time, by whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from aicore_obs.errors import ConfigurationError
from aicore_obs.model.cost import EXACT
from aicore_obs.model.filter import MATCH_FIELDS, Filter

PERIODS = ("hour", "day", "week", "month", "total")
SCOPES = (*(name for name in MATCH_FIELDS if name != "operation_id"), "labels", "tags")
# More than all the money there is; above it sums would not be exact.
_MOST = 10**18
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(9999, 1, 1, tzinfo=UTC)


class Window(msgspec.Struct, frozen=True):
    """A span of time, half-open, aware."""

    start: datetime
    end: datetime


class BudgetState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a budget stands.

    ``spent_usd`` is what the store's ledger said at ``as_of`` for all processes, and what this process has recorded
    since. ``unpriced`` operations have no known cost (or only a lower bound) and come on top. ``pending`` records were
    accepted before this budget was first looked at and could not be counted, since the store did not take them in time.
    True as long as something remains.
    """

    limit_usd: Decimal
    spent_usd: Decimal
    unpriced: int
    as_of: datetime
    window: Window
    pending: int = 0

    @property
    def remaining_usd(self) -> Decimal:
        """What may still be spent; below zero when more was spent."""
        return EXACT.subtract(self.limit_usd, self.spent_usd)

    def __bool__(self) -> bool:
        return self.remaining_usd > 0


class Budget:
    """So many US dollars per period, for the operations of a scope. Budgets of the same values are one budget.

    Args:
        limit_usd: a number or decimal text.
        per: ``hour``, ``day``, ``week`` (from Monday), ``month`` or ``total``, on the calendar of ``tz``.
        scope: which operations count, as in filters: ``{"user_id": "u-1"}``, ``{"labels": {"team": "search"}}``,
            ``project``, ``model``, ``tags`` …; none: all of the store.
        callback: called with the :class:`BudgetState` once a window for each threshold that is passed, on the thread
            that recorded or asked; it must be quick, and what it raises is only logged.
        thresholds: shares of the limit.
        tz: the name of a time zone.

    Raises:
        ConfigurationError: a value that cannot work.
    """

    def __init__(
        self,
        limit_usd: Decimal | float | str,
        per: str = "day",
        scope: Mapping[str, Any] | None = None,
        *,
        callback: Callable[[BudgetState], object] | None = None,
        thresholds: Sequence[float | Decimal] = (0.8, 1.0),
        tz: str = "UTC",
    ) -> None:
        self.limit_usd = _amount("limit_usd", limit_usd)
        if per not in PERIODS:
            raise ConfigurationError(f"per={per!r}: it is one of {', '.join(PERIODS)}")
        self.per = per
        self.scope = _scope(scope or {})
        self.callback = callback
        self.thresholds = sorted(_amount("thresholds", one) for one in thresholds)
        self.tz = tz
        try:
            self._zone = ZoneInfo(tz)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigurationError(f"tz={tz!r}: no such time zone is known here, such as 'Europe/Berlin'") from error
        self._words = (self.limit_usd, per, _words(Filter.of(**self.scope)), tuple(self.thresholds), tz)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Budget) and self._words == other._words and self.callback == other.callback

    def __hash__(self) -> int:
        return hash(self._words)

    def window(self, when: datetime) -> Window:
        """Return the window that holds an aware time."""
        if self.per == "total":
            return Window(_BEGINNING, _END)
        local = when.astimezone(self._zone)
        if self.per == "hour":
            # An hour is an hour, also when the clocks are changed; in some places it begins at half past.
            offset = local.utcoffset() or timedelta()
            start = (when.astimezone(UTC) + offset).replace(minute=0, second=0, microsecond=0) - offset
            return Window(start, start + timedelta(hours=1))
        first, following = _days(self.per, local.date())
        return Window(self._midnight(first), self._midnight(following))

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), tzinfo=self._zone).astimezone(UTC)

    def query(self, window: Window) -> Filter:
        """Return which operations count in a window."""
        return msgspec.structs.replace(Filter.of(**self.scope), start=window.start, end=window.end, end_exclusive=True)


def _days(per: str, day: date) -> tuple[date, date]:
    """Return the first day of the period that holds a day, and that of the next period."""
    if per == "month":
        first = day.replace(day=1)
        return first, (first + timedelta(days=32)).replace(day=1)
    if per == "week":
        first = day - timedelta(days=day.weekday())
        return first, first + timedelta(days=7)
    return day, day + timedelta(days=1)


def _words(scope: Filter) -> tuple[object, ...]:
    """Return what is the same for scopes that mean the same."""
    said = (getattr(scope, name) or () for name in SCOPES)
    return tuple(tuple(sorted(one.items() if isinstance(one, dict) else one)) for one in said)


def _amount(name: str, value: object) -> Decimal:
    try:
        amount = Decimal(str(value)) if isinstance(value, int | float | Decimal | str) else None
    except InvalidOperation:
        amount = None
    if amount is None or isinstance(value, bool) or not amount.is_finite() or not 0 <= amount < _MOST:
        raise ConfigurationError(f"{name}={value!r}: an amount of 0 or more is needed, such as '12.50'")
    return amount


def _scope(scope: Mapping[str, Any]) -> dict[str, Any]:
    given = {("labels" if name == "label" else name): value for name, value in scope.items()}
    wrong = sorted(set(given) - set(SCOPES))
    if wrong:
        raise ConfigurationError(f"scope={dict(scope)!r}: {wrong[0]!r} is none of {', '.join(SCOPES)}")
    Filter.of(**given)
    return given
