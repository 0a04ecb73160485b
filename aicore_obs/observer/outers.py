"""This module is where it is known what stands around a call: a span of a tracer, a call or a run of a framework.

What is nearest to the wire makes the record, since it has the provider's own answer. Whoever begins to watch a call
says so to all that stands around it, and what was told so is no operation of its own: one request is one operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from types import MappingProxyType
from typing import Any

from aicore_obs import context
from aicore_obs.callsite import CallSite

_order = count()


class Outer:
    """Something around calls, from its beginning until its end.

    ``inside_id`` is the span that a call inside has as its parent. ``is_kept``: it leaves a record of its own, or the
    call inside stands for it; what is not kept here is known to somebody else's traces only. ``provider`` is who
    answers, where this is known better than by an SDK whose server has an unknown name. ``covered`` are the types of
    the calls that are recorded inside. ``says`` is what the program said of it, as fields of a context, and ``site``
    the application's line that began it; ``told`` is what the record of a call inside says besides, in the words of
    ``record_completion``.
    """

    says: Mapping[str, Any] = MappingProxyType({})
    site: CallSite | None = None

    def __init__(
        self,
        trace_id: str,
        inside_id: str | None,
        outers: tuple[Outer, ...],
        *,
        is_kept: bool = True,
        provider: str | None = None,
    ) -> None:
        self.trace_id = trace_id
        self.inside_id = inside_id
        self.is_kept = is_kept
        self.provider = provider
        self.told: dict[str, Any] = {}
        self.is_open = True
        # The step of ours in which it began: what began in it, and not around it, is nearer.
        self.own_span = context.current().span_id
        self.order = next(_order)
        self.outers = outers
        self.covered: set[str] = set()

    def cover(self, operation_type: str) -> None:
        """Hear that a call of this type is recorded inside."""
        waiting = [self]
        while waiting:
            one = waiting.pop()
            if operation_type not in one.covered:
                one.covered.add(operation_type)
                waiting.extend(one.outers)

    def dressed(self, now: context.Context) -> context.Context:
        """Return a context with what is said of this; what the program told us itself goes before it."""
        if not self.says:
            return now
        with_own = {name: value for name, value in self.says.items() if getattr(now, name) is None or name in _ADDED}
        found = context.merged(now, with_own)
        return context.merged(found, {"extras": now.extras}) if now.extras else found


# What adds up, where blocks nest.
_ADDED = frozenset({"tags", "extras"})

# Each says what of its kind stands around the caller; none as long as nobody listens to tracers or frameworks.
LISTENERS: list[Callable[[], Outer | None]] = []


def around() -> tuple[Outer, ...]:
    """Return what stands around the caller: of each kind the innermost."""
    found = (listener() for listener in LISTENERS)
    return tuple(one for one in found if one is not None and one.is_open)


def nearest(outers: tuple[Outer, ...]) -> Outer | None:
    """Return the one whose ids a call inside takes, None where a step of ours is nearer.

    What is kept goes before what is not: a parent that is in the store makes a tree there.
    """
    own = context.current().span_id
    if own is not None:
        outers = tuple(one for one in outers if one.is_kept and one.own_span == own)
    return max(outers, key=lambda one: (one.is_kept, one.order), default=None)


def told(outers: tuple[Outer, ...]) -> dict[str, Any]:
    """Return what all of them say of a call inside."""
    found: dict[str, Any] = {}
    for one in outers:
        extras = {**found.get("extras", {}), **one.told.get("extras", {})}
        found = {**found, **one.told, **({"extras": extras} if extras else {})}
    return found


class Answers:
    """Answers that were recorded lately, by the provider's id and by who saw them.

    A server that numbers its answers repeats itself, so that an id alone says nothing: it is the same answer when two
    saw it at the same time, each of them once. Without locks: a stream may end while the garbage is collected.
    """

    def __init__(self) -> None:
        self._seen: dict[str, list[_Answer]] = {}

    def is_known(self, answer_id: str, source: str, begin_s: float, end_s: float) -> bool:
        """Return whether another source has recorded this answer, and remember it otherwise."""
        seen = self._seen.setdefault(answer_id, [])
        mine = _Answer(source, begin_s, end_s)
        seen.append(mine)
        for one in seen[: seen.index(mine)]:
            overlaps = one.begin_s <= end_s and begin_s <= one.end_s
            if overlaps and one.sources.setdefault(source, mine) is mine:
                seen.remove(mine)
                return True
        del seen[:-_MOST_OF_ONE_ID]
        if len(self._seen) > _MOST_IDS:
            self._seen.pop(next(iter(self._seen)), None)
        return False


class _Answer:
    def __init__(self, source: str, begin_s: float, end_s: float) -> None:
        self.begin_s = begin_s
        self.end_s = end_s
        self.sources: dict[str, Any] = {source: self}


_MOST_IDS = 2_000
_MOST_OF_ONE_ID = 100
answers = Answers()
