"""This module is where spending is counted against budgets: the store's ledger, and what this process did since.

What this process records is read and priced on the spot, on the thread that records it (only when there is a budget),
so that the answer does not wait for a store. The ledger is asked again when its view is older than the caller allows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import cast

import msgspec

from aicore_obs import plugins
from aicore_obs.errors import ConfigurationError
from aicore_obs.guard import attempt, log_window
from aicore_obs.model import codec
from aicore_obs.model.budget import Budget, BudgetState
from aicore_obs.model.cost import EXACT, Cost, CostSum
from aicore_obs.model.filter import Filter
from aicore_obs.model.ids import first_id_of, new_id, time_of_id, utc_now
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.pipeline.forks import ForkLock
from aicore_obs.protocols import Address
from aicore_obs.reading import flush_writers_to, pending_to

# An id is made a moment before its record is counted here; operations younger than this are taken from memory, older
# ones from the ledger.
_MARGIN = timedelta(seconds=2)
# So many budgets without a callback are counted at once; each costs every record a few microseconds.
MAX_WATCHED = 256
_SUM = "aicore_obs.query.costs:sum_costs"
_MATCHER = "aicore_obs.stores.matching:matcher"


class _Spent(msgspec.Struct, frozen=True):
    """So much is known to be spent, and so many operations are not counted in it, or not wholly."""

    total: Decimal = Decimal(0)
    unpriced: int = 0

    def __add__(self, other: _Spent) -> _Spent:
        return _Spent(EXACT.add(self.total, other.total), self.unpriced + other.unpriced)

    def __sub__(self, other: _Spent) -> _Spent:
        return _Spent(EXACT.subtract(self.total, other.total), self.unpriced - other.unpriced)


_NOTHING = _Spent()


class Spending:
    """What one collector's operations cost, for the budgets that were asked about.

    ``address`` is the store whose ledger is asked, None where none can be read. ``derive`` reads and prices an
    operation; ``prepare`` loads the prices, which takes a while the first time.
    """

    def __init__(
        self, address: Address | None, derive: Callable[[Operation], Derived], prepare: Callable[[], object]
    ) -> None:
        self._address = address
        self._derive = derive
        self._prepare = prepare
        self._lock = ForkLock()
        self._watches: dict[Budget, _Watch] = {}

    def note(self, line: bytes) -> None:
        """Count one operation that was accepted; never raises."""
        if not self._watches:
            return
        outcome = attempt(self._note, line)
        if outcome.error is not None:
            log_window.warn("budget", f"an operation was not counted against a budget: {outcome.error!r}")

    def state(self, budget: Budget, max_age_s: float) -> BudgetState:
        """Return where a budget stands; asks the ledger when the last answer is older than ``max_age_s``."""
        if self._address is None:
            raise ConfigurationError("a budget needs a store to read; this collector has only sinks of the application")
        if budget not in self._watches:
            self._prepare()
        now = utc_now()
        with self._lock.here:
            watch = self._watched(budget)
            watch.asked_at = now
            watch.roll(now)
            is_old = watch.is_older_than(max_age_s, now)
        if is_old:
            self._look(watch, now, self._address)
        with self._lock.here:
            state, is_news = watch.state(), watch.has_passed()
        if is_news:
            _call_back(budget, state)
        return state

    def _watched(self, budget: Budget) -> _Watch:
        watch = self._watches.get(budget)
        if watch is None:
            # One who has a budget for each of a million users: what was not asked for longest is read anew when it is.
            silent = [one for one in self._watches.values() if one.budget.callback is None]
            if len(silent) >= MAX_WATCHED:
                del self._watches[min(silent, key=lambda one: one.asked_at).budget]
            watch = self._watches[budget] = _Watch(budget)
        return watch

    def _note(self, line: bytes) -> None:
        operation = cast("Operation", codec.decode(line))
        operation = msgspec.structs.replace(operation, derived=self._derive(operation))
        for watch in list(self._watches.values()):
            with self._lock.here:
                is_news = watch.note(operation) and watch.has_passed()
                state = watch.state() if is_news else None
            if state is not None:
                _call_back(watch.budget, state)

    def _look(self, watch: _Watch, now: datetime, address: Address) -> None:
        """Ask the ledger for everything older than a bound; what is younger is known here."""
        with self._lock.here:
            watch.roll(now)
            bound = (now - _MARGIN).replace(microsecond=0) if watch.was_asked else now
            # The first time, everything up to this moment: nothing was noted here yet.
            below = first_id_of(bound) if watch.was_asked else new_id()
            if not watch.is_asked_before(bound):
                return
            noted = watch.noted_before(bound)
            query = watch.query
        is_flushed = flush_writers_to(address)
        if not is_flushed and watch.was_asked:
            return  # what is known is exact for this process; a newer view would count some of it twice
        older = msgspec.structs.replace(query, id_below=below)
        found: CostSum = plugins.load(_SUM)(address, older, is_ours=True)
        with self._lock.here:
            if watch.query == query:
                view = _Spent(found.total, found.unpriced + found.partial)
                watch.see(view, noted, bound, pending=0 if is_flushed else pending_to(address))


class _Watch:
    """One budget in its present window: the last view of the ledger, and what was noted here, by the second."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.was_asked = False
        self.asked_at = utc_now()
        self._pending = 0
        self._enter(self.asked_at)

    def _enter(self, now: datetime) -> None:
        self._window = self.budget.window(now)
        self.query: Filter = self.budget.query(self._window)
        self._matches = plugins.load(_MATCHER)(self.query)
        # A window begins with nothing spent, by nobody: a view that is right and as old as the window.
        self._as_of = self._window.start
        self._view = self._here = _NOTHING
        self._noted: dict[datetime, _Spent] = {}
        self._passed: set[Decimal] = set()

    def roll(self, now: datetime) -> None:
        """Enter the window that holds ``now``."""
        if self._window.start - _MARGIN <= now < self._window.end:
            return
        # The clock was put back: what this window holds already, only the ledger knows.
        self.was_asked = self.was_asked and now >= self._window.end
        self._enter(now)

    def is_older_than(self, seconds: float, now: datetime) -> bool:
        """Return whether the ledger was not asked within so many seconds."""
        return not self.was_asked or now - self._as_of > timedelta(seconds=seconds)

    def is_asked_before(self, bound: datetime) -> bool:
        """Return whether a view up to ``bound`` would be newer than the one that is there."""
        return not self.was_asked or self._as_of < bound

    def note(self, operation: Operation) -> bool:
        """Count an operation of this process; return whether it belongs here."""
        self.roll(utc_now())
        if not self._matches(operation):
            return False
        one = _spent_on(operation.derived.cost if operation.derived is not None else None)
        second = time_of_id(operation.id).replace(microsecond=0)
        self._noted[second] = self._noted.get(second, _NOTHING) + one
        self._here += one
        return True

    def noted_before(self, bound: datetime) -> dict[datetime, _Spent]:
        """Return what was noted here with ids older than ``bound``."""
        return {second: one for second, one in self._noted.items() if second < bound}

    def see(self, found: _Spent, noted: dict[datetime, _Spent], bound: datetime, *, pending: int) -> None:
        """Take what the ledger says of everything older than ``bound``; ``noted`` is in it now."""
        self._view, self._as_of, self._pending, self.was_asked = found, bound, pending, True
        for second, one in noted.items():
            rest = self._noted.pop(second, _NOTHING) - one
            self._here -= one
            if rest != _NOTHING:
                self._noted[second] = rest

    def state(self) -> BudgetState:
        """Return where the budget stands."""
        spent = self._view + self._here
        return BudgetState(
            limit_usd=self.budget.limit_usd,
            spent_usd=spent.total,
            unpriced=spent.unpriced,
            as_of=self._as_of,
            window=self._window,
            pending=self._pending,
        )

    def has_passed(self) -> bool:
        """Return whether a threshold was passed since this was asked last."""
        spent = (self._view + self._here).total
        limit = self.budget.limit_usd
        passed = {share for share in self.budget.thresholds if spent >= EXACT.multiply(share, limit)}
        news = passed - self._passed
        self._passed |= passed
        return bool(news)


def _spent_on(cost: Cost | None) -> _Spent:
    if cost is None or cost.total is None:
        return _Spent(unpriced=1)
    return _Spent(cost.total, 0 if cost.reason is None else 1)


def _call_back(budget: Budget, state: BudgetState) -> None:
    if budget.callback is None:
        return
    outcome = attempt(budget.callback, state)
    if outcome.error is not None:
        log_window.warn("budget", f"a budget's callback failed: {outcome.error!r}")
