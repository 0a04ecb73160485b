"""This module is where the observer's verbs are: sessions, labels, traces, the export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec

from aicore_obs.capture.plain import printable
from aicore_obs.context import carried
from aicore_obs.default import get_collector
from aicore_obs.errors import NotOpenError
from aicore_obs.guard import as_text, attempt, log_window
from aicore_obs.model.ids import new_id, utc_now
from aicore_obs.model.record import FIRST_VERSION
from aicore_obs.model.scope import Scope, ScopeChange
from aicore_obs.observer import labels as rules
from aicore_obs.observer import patching, sessions, tracing
from aicore_obs.observer.enhancing import Enhancer
from aicore_obs.observer.export import document
from aicore_obs.observer.exporters import Exporter, FileExporter
from aicore_obs.observer.sessions import Session
from aicore_obs.observer.steps import enhancing
from aicore_obs.pipeline.portal import in_thread
from aicore_obs.settings import from_environment

P = ParamSpec("P")
T = TypeVar("T")
FLUSH_TIMEOUT_S = 30.0


class Observer:
    """The door of sessions: ``observer.observe()``, calls of models and of ``@observe`` functions, ``observer.end()``.

    There is one, :data:`aicore_obs.observer.observer`. What it sees goes to the default collector at once; ``flush``
    writes an export beside that.
    """

    # -- sessions --------------------------------------------------------------------------------------------------

    def observe(self, session_name: str | None = None, *, labels: Mapping[str, str] | None = None) -> str | None:
        """Open a session in this task or thread, watch the SDKs that are installed, and return the session's id.

        Inside another session it nests. Returns None, and does nothing, where ``AICORE_OBS_ENABLED=0``.

        Raises:
            ValueError: a label breaks a rule.
        """
        checked = rules.checked(labels)
        if not from_environment().enabled:
            return None
        # Asked first: where no collector can be made, nothing is opened.
        get_collector()
        name = None if session_name is None else printable(as_text(session_name))
        session = sessions.opened(name, rules.with_environment(checked))
        patching.instrument_for_sessions()
        _tell(session, "opened")
        return session.id

    def end(self) -> None:
        """End the session of this task or thread; the outer one is back. Without one, nothing happens."""
        session = sessions.own()
        if session is not None:
            sessions.ended(session)
            _tell(session, "ended")

    def reset(self) -> None:
        """End every session, forget what was to be exported and the enhancer, and take the instrumentation away."""
        for session in reversed(list(sessions.OPEN)):
            sessions.ended(session)
            _tell(session, "ended")
        sessions.clear(sessions.take())
        enhancing.reset()
        patching.uninstrument()

    @property
    def session_id(self) -> str | None:
        """Return the id of the session that a call made here belongs to."""
        session = sessions.current()
        return None if session is None else session.id

    # -- labels ----------------------------------------------------------------------------------------------------

    def add_label(self, key: str, value: str) -> None:
        """Set one label of the session.

        Raises:
            ValueError: it breaks a rule.
            NotOpenError: no session is open here.
        """
        self.set_labels({key: value})

    def set_labels(self, labels: Mapping[str, str], merge: bool = True) -> None:
        """Set labels of the session; ``merge=False`` takes all others of the user away first.

        Raises:
            ValueError: one breaks a rule; then none is set.
            NotOpenError: no session is open here.
        """
        checked = rules.checked(labels)
        session = _needed()
        if session is None:
            return
        merged = {**session.labels, **checked} if merge else checked
        rules.check_count(merged)
        _relabel(session, merged)

    def remove_label(self, key: str) -> None:
        """Take one label of the session away; one that is not there is no mistake.

        Raises:
            ValueError: it is a system label, or can be no label's key.
            NotOpenError: no session is open here.
        """
        rules.check_key(key)
        session = _needed()
        if session is not None and key in session.labels:
            _relabel(session, {name: value for name, value in session.labels.items() if name != key})

    def get_labels(self) -> dict[str, str]:
        """Return the labels of the session, the system's included.

        Raises:
            NotOpenError: no session is open here.
        """
        session = _needed()
        return {} if session is None else session.all_labels

    # -- traces ----------------------------------------------------------------------------------------------------

    def traceparent(self) -> str | None:
        """Return the W3C ``traceparent`` header of the span that runs here, None outside of one."""
        return tracing.traceparent()

    def continued(self, traceparent: str | None) -> AbstractContextManager[None]:
        """Return a context manager in which the trace of a ``traceparent`` header goes on; a bad header is ignored."""
        return tracing.continued(traceparent)

    def carried(self, work: Callable[P, T]) -> Callable[P, T]:
        """Return a function for a thread or an executor, which runs in the session and the span of now."""
        return carried(work)

    def register_enhancer(self, enhancer: Enhancer) -> Enhancer:
        """Take the function, sync or async, that is called in the background with the traces of a prompt's function.

        It is called after every ``auto_enhance_after`` calls, in a thread of its own. Also as a decorator.
        """
        return enhancing.register(enhancer)

    # -- SDKs ------------------------------------------------------------------------------------------------------

    def register_provider(self, provider: object) -> None:
        """Record the calls of an SDK of your own; see :func:`aicore_obs.register_provider`."""
        patching.register_provider(provider)

    # -- export ----------------------------------------------------------------------------------------------------

    def flush(
        self,
        path: str | Path | None = None,
        *,
        include_trace_tree: bool = True,
        exporter: Exporter | None = None,
        timeout_s: float = FLUSH_TIMEOUT_S,
    ) -> Any:
        """Export what the sessions have seen since the last flush, and deliver it to the collector's stores.

        Written to ``path``, else to ``LLM_OBS_OUT``, else to ``./llm_observability.json``; or handed to ``exporter``.
        Returns the path, or what the exporter returned; None where ``AICORE_OBS_ENABLED=0``. What was exported is
        forgotten here and stays in the store. The stores are given ``timeout_s``; ``get_collector().flush()`` says
        how it went.

        Raises:
            OSError: the file cannot be written; the next flush exports the same again.
        """
        if not from_environment().enabled:
            return None
        enhancing.join(timeout_s)
        taken = sessions.take()
        target = exporter if exporter is not None else FileExporter(path)
        answer = target.export(document(taken, include_trace_tree=include_trace_tree))
        sessions.clear(taken)
        get_collector().flush(timeout_s)
        return answer

    async def aflush(
        self,
        path: str | Path | None = None,
        *,
        include_trace_tree: bool = True,
        exporter: Exporter | None = None,
        timeout_s: float = FLUSH_TIMEOUT_S,
    ) -> Any:
        """Do as :meth:`flush`; other tasks run meanwhile."""
        return await in_thread(
            self.flush, path, include_trace_tree=include_trace_tree, exporter=exporter, timeout_s=timeout_s
        )


observer = Observer()


def _needed() -> Session | None:
    """Return the session of here; None only where observing is switched off."""
    session = sessions.current()
    if session is None and from_environment().enabled:
        raise NotOpenError("no session is open here: call observer.observe() first")
    return session


def _relabel(session: Session, labels: dict[str, str]) -> None:
    sessions.relabelled(session, labels)
    _tell(session, "changed")


def _tell(session: Session, change: ScopeChange) -> None:
    """Record that a session was opened, changed or ended."""
    when = {"opened": session.started_at, "ended": session.ended_at}.get(change)
    body = {"labels": session.all_labels, "meta": session.meta}
    scope = Scope(
        id=new_id(),
        timestamp=when or utc_now(),
        v=FIRST_VERSION,
        session_id=session.id,
        parent_id=session.outer.id if session.outer is not None else None,
        labels=dict(session.labels),
        scope="session",
        change=change,
        scope_id=session.id,
        name=session.name,
        body=msgspec.Raw(msgspec.json.encode(body)),
    )
    outcome = attempt(lambda: get_collector().watching.record(scope))
    if outcome.error is not None:
        log_window.warn("session", f"that a session was {change} was not recorded: {outcome.error!r}")
