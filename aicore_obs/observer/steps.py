"""This module is where one call of an observed function is followed, from its beginning to its record."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextvars import Token
from typing import Any

import msgspec

from aicore_obs import context
from aicore_obs.callsite import CallSite
from aicore_obs.capture.plain import snapshot
from aicore_obs.capture.redaction import without_secrets
from aicore_obs.capture.steps import Step
from aicore_obs.default import get_collector
from aicore_obs.guard import attempt, log_window
from aicore_obs.model.ids import new_id, utc_now
from aicore_obs.observer import outers, sessions, tracing
from aicore_obs.observer.enhancing import Enhancing
from aicore_obs.observer.events import function_event

FUNCTION = "function"
MAX_ITEMS = 100
enhancing = Enhancing()


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a function when it is decorated."""

    name: str
    module: str
    qualified_name: str
    defined_at: CallSite | None
    parameters: tuple[str, ...]
    is_method: bool
    capture_args: bool
    capture_result: bool
    enh_prompt: bool
    auto_enhance_after: int | None


class FollowedStep:
    """One call in progress. Its context is entered and left: for a generator, around each of its steps."""

    def __init__(self, observed: Observed, session: sessions.Session, args: Sequence[Any], kwargs: Mapping[str, Any]):
        self._observed = observed
        self._session = session
        # Taken now: where garbage is collected, nothing may be asked that takes a lock.
        self._collector = get_collector()
        self._arguments = _arguments(observed, args, kwargs) if observed.capture_args else None
        self._context = tracing.context_in(session, outers.around())
        self._token: Token[context.Context] | None = None
        self._items: list[Any] = []
        self._item_count: int | None = None
        self._started_at = utc_now()
        self._started = time.perf_counter()

    def enter(self) -> None:
        """Enter the step's context; what is recorded now is inside of it."""
        self._token = context.enter(self._context)

    def leave(self) -> None:
        """Leave it again."""
        token, self._token = self._token, None
        if token is not None:
            # Where a generator is closed elsewhere, that context has never entered.
            attempt(context.leave, token)

    def add(self, item: Any) -> None:
        """Keep an item that a generator gave; the first ones, and the number of all."""
        self._item_count = (self._item_count or 0) + 1
        if self._observed.capture_result and len(self._items) < MAX_ITEMS:
            self._items.append(item)

    def fail(self, error: BaseException) -> None:
        """Record a step that raised, or that nobody reads on; never raises."""
        is_given_up = isinstance(error, GeneratorExit)
        self.end(error=None if is_given_up else error, is_late=is_given_up)

    def end(self, result: Any = None, *, error: BaseException | None = None, is_late: bool = False) -> None:
        """Record the step; never raises."""
        duration_ms = (time.perf_counter() - self._started) * 1000
        outcome = attempt(self._record, result, error, duration_ms, is_late)
        if outcome.error is not None:
            log_window.warn("observe", f"a call of {self._observed.name} was not recorded: {outcome.error!r}")

    def _record(self, result: Any, error: BaseException | None, duration_ms: float, is_late: bool) -> None:
        observed = self._observed
        details: dict[str, Any] = {"type": FUNCTION, "module": observed.module, "callsite": observed.defined_at}
        if self._item_count is not None:
            details["items"] = self._item_count
            result = self._items
        if is_late:
            details["stream_state"] = "abandoned"
        if observed.enh_prompt:
            details |= {"enh_prompt_id": new_id(), "auto_enhance_after": observed.auto_enhance_after}
        step = Step(
            name=observed.name,
            started=self._started_at,
            duration_ms=duration_ms,
            error=error,
            arguments=self._arguments,
            result=result if observed.capture_result else None,
            details=details,
        )
        token = context.enter(self._context)
        try:
            collector = self._collector if is_late else get_collector()
            captured = collector.watching.step(step, is_late=is_late)
        finally:
            context.leave(token)
        if captured is None:
            return
        sessions.keep(self._session, captured.line)
        if observed.enh_prompt and observed.auto_enhance_after is not None and not is_late:
            enhancing.add(observed.qualified_name, observed.auto_enhance_after, function_event(captured.line))


class _Unfollowed:
    """Stands for a call that nobody follows."""

    def enter(self) -> None: ...

    def leave(self) -> None: ...

    def add(self, item: Any) -> None: ...

    def fail(self, error: BaseException) -> None: ...

    def end(self) -> None: ...


UNFOLLOWED = _Unfollowed()


def begun(observed: Observed, args: Sequence[Any], kwargs: Mapping[str, Any]) -> FollowedStep | None:
    """Return a call to follow; None where no session is open here, or where following it fails."""
    session = sessions.current()
    if session is None or context.is_suppressed():
        return None
    outcome = attempt(FollowedStep, observed, session, args, kwargs)
    if outcome.value is None:
        log_window.warn("observe", f"a call of {observed.name} is not recorded: {outcome.error!r}")
    return outcome.value


def _arguments(observed: Observed, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments without secrets, which are told by the names of parameters; without ``self``."""
    names = observed.parameters
    places = [names[place] if place < len(names) else f"_{place}" for place in range(len(args))]
    named = dict(zip(places, args, strict=True))
    if observed.is_method:
        named.pop(names[0], None)
    # As they are now, whatever the function does to them.
    plain = without_secrets(snapshot({"named": named, "kwargs": dict(kwargs)}))
    return {"args": list(plain["named"].values()), "kwargs": plain["kwargs"]}
