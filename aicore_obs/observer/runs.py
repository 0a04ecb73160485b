"""This module is where a framework's runs are kept from their beginning to their end, whatever the framework."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec

from aicore_obs import context
from aicore_obs.callsite import call_site
from aicore_obs.capture.plain import snapshot
from aicore_obs.capture.record import Captured
from aicore_obs.capture.redaction import without_secrets
from aicore_obs.capture.steps import Step
from aicore_obs.collector import LlmOperationCollector
from aicore_obs.default import get_collector
from aicore_obs.descriptions import described
from aicore_obs.guard import as_text
from aicore_obs.model.ids import utc_now
from aicore_obs.observer import outers, sessions, tracing
from aicore_obs.observer.outers import Outer

CHAIN, TOOL, RETRIEVER = "chain", "tool", "retriever"
# Runs that have begun: beyond this many the oldest are forgotten, and never recorded. Of those that have ended so many
# are known as parents of what is still to come.
_MOST_OPEN = 10_000
_MOST_ENDED = 1_000
# Tags and metadata that the framework writes itself.
_OWN_TAGS = ("seq:step", "map:key", "graph:step", "langsmith:", "condition:", "branch:")
_OWN_METADATA = ("ls_", "lc_", "langgraph_", "checkpoint", "__")
# Names under which programs say who and what for, by LangSmith's and LangGraph's custom.
_SESSION = ("session_id", "conversation_id", "thread_id")
_USER, _AGENT = "user_id", "lc_agent_name"
# A pause that LangGraph raises is no failure.
_PAUSE = "GraphBubbleUp"
# Whose SDKs everybody uses for servers of their own: that these are spoken to says nothing about who answers.
_COMMON = frozenset({"openai", "anthropic"})


class Begun(msgspec.Struct, frozen=True):
    """What is known of a run at its beginning; ``told`` is in the framework's words."""

    kind: str
    name: str
    told: dict[str, Any]
    parent: Run | None
    collector: LlmOperationCollector


class Run(Outer):
    """One run, with the context in which it began."""

    def __init__(self, begun: Begun, arguments: Any, *, is_step: bool) -> None:
        told, parent = begun.told, begun.parent
        self._collector = begun.collector
        # In a thread that has no context what is told by its parent goes on.
        lost = parent if context.current() is context.EMPTY else None
        self.session: sessions.Session | None = sessions.current() or (None if lost is None else lost.session)
        around = tuple(one for one in outers.around() if not isinstance(one, Run))
        around = around if parent is None else (*around, parent)
        ids = tracing.span_ids(around)
        super().__init__(ids["trace_id"], ids["span_id"] if is_step else ids["parent_id"], around)
        self.parent = parent
        # Of models and retrievers: what is around where this has ended in another context than it began in.
        self.before: Run | None = None
        self.says = _said(told)
        self.provider = _provider(told)
        self.site = call_site(outside="concurrent", around=None if parent is None else parent.site)
        now = sessions.context_of(self.session, **ids)
        self.base: context.Context = now if lost is None else msgspec.structs.replace(lost.base, **ids)
        self._context = super().dressed(self.base)
        self._kind = begun.kind
        self._name = begun.name
        self._is_step = is_step
        # As they are now, whatever becomes of them.
        self._arguments = None if arguments is None else without_secrets(snapshot(arguments))
        self._started_at = utc_now()
        self._started = time.perf_counter()

    def dressed(self, now: context.Context) -> context.Context:
        """Return a context with what is said of this run; in a thread that has no context, with that of the run."""
        if context.current() is context.EMPTY:
            ids = {"trace_id": now.trace_id, "span_id": now.span_id, "parent_id": now.parent_id}
            now = msgspec.structs.replace(self.base, **ids)
        return super().dressed(now)

    def is_in(self, other: Run) -> bool:
        """Return whether this run began inside of another."""
        run = self.parent
        while run is not None and run is not other:
            run = run.parent
        return run is other

    def end(self, result: Any, error: BaseException | None, *, inputs: Any = None, is_late: bool = False) -> None:
        """Record the run as a step, where it is one."""
        ended = time.perf_counter()
        self.is_open = False
        if self._is_step:
            # A stream knows at its end what it was asked.
            given = self._arguments
            if given is not None and self._kind == CHAIN and inputs is not None:
                given = without_secrets(snapshot({"args": [inputs], "kwargs": {}}))
            self._record_step(given, result, error, (ended - self._started) * 1000, is_late=is_late)
        self._forget()

    def _forget(self) -> None:
        """Keep no more than a later child needs."""
        self._arguments = None
        self.outers = ()

    def _record_step(
        self, arguments: Any, result: Any, error: BaseException | None, duration_ms: float, *, is_late: bool
    ) -> None:
        details: dict[str, Any] = {"type": self._kind, "module": "langchain", "callsite": self.site}
        if isinstance(error, GeneratorExit):
            details["stream_state"], error = "abandoned", None
        elif error is not None and any(kind.__name__ == _PAUSE for kind in type(error).__mro__):
            details["is_paused"], error = True, None
        step = Step(
            name=self._name,
            started=self._started_at,
            duration_ms=duration_ms,
            error=error,
            arguments=arguments,
            result=result,
            details=details,
        )
        self._offer(lambda collector: collector.watching.step(step, is_late=is_late), is_late=is_late)

    def _offer(self, record: Callable[[LlmOperationCollector], Captured | None], *, is_late: bool) -> None:
        """Record something in the context of the beginning."""
        collector = self._collector if is_late or not self._collector.is_closed else get_collector()
        token = context.enter(self._context)
        try:
            captured = record(collector)
        finally:
            context.leave(token)
        if captured is not None:
            sessions.keep(self.session, captured.line)


class Runs:
    """The runs that have begun, and those that have ended lately. Without locks, as :class:`outers.Answers`."""

    def __init__(self) -> None:
        self._open: dict[UUID, Run] = {}
        self._ended: dict[UUID, Run] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def begin(self, run_id: UUID, run: Run) -> None:
        """Keep a run until its end."""
        self._open[run_id] = run
        _bound(self._open, _MOST_OPEN)

    def is_known(self, run_id: UUID) -> bool:
        """Return whether this run has begun."""
        return run_id in self._open

    def open_one(self, run_id: UUID | None) -> Run | None:
        """Return a run that has begun and not ended."""
        return None if run_id is None else self._open.get(run_id)

    def found(self, run_id: UUID | None) -> Run | None:
        """Return a run that has begun, also where it has ended."""
        return None if run_id is None else self._open.get(run_id) or self._ended.get(run_id)

    def end(self, run_id: UUID | None) -> Run | None:
        """Return a run that ends, the first time."""
        run = None if run_id is None else self._open.pop(run_id, None)
        if run_id is not None and run is not None:
            self._ended[run_id] = run
            _bound(self._ended, _MOST_ENDED)
        return run


begun_runs = Runs()


def _bound(kept: dict[UUID, Run], most: int) -> None:
    while len(kept) > most:
        oldest = kept.pop(next(iter(kept)), None)
        if oldest is not None:
            # Nothing is inside of it any more, wherever its end was missed.
            oldest.is_open = False


def _said(told: dict[str, Any]) -> dict[str, Any]:
    """Return what the program says of a run, as fields of a context: its tags and metadata, who, and what for."""
    metadata = told.get("metadata") or {}
    kept = {name: value for name, value in metadata.items() if not as_text(name).startswith(_OWN_METADATA)}
    tags = tuple(tag for tag in map(as_text, told.get("tags") or ()) if not tag.startswith(_OWN_TAGS))
    session = next((metadata[name] for name in _SESSION if metadata.get(name) is not None), None)
    ids = {"session_id": session, "user_id": metadata.get(_USER), "agent_id": metadata.get(_AGENT)}
    said: dict[str, Any] = {name: as_text(value) for name, value in ids.items() if value is not None}
    if tags:
        said["tags"] = tags
    if kept:
        said["extras"] = {"metadata": snapshot(kept)}
    return said


def _provider(told: dict[str, Any]) -> str | None:
    found = described(as_text((told.get("metadata") or {}).get("ls_provider")))
    return None if found is None or found.name in _COMMON else found.name
