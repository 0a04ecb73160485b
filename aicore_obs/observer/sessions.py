"""This module is where sessions are kept: which one this task or thread is in, and what it will export.

What a session has seen goes the road at once; beside that its lines are kept for the next export, up to a bound.
Beyond the bound the export says how many it lacks; the store has them all.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import msgspec

from aicore_obs import context
from aicore_obs.capture.plain import printable
from aicore_obs.model.ids import new_id, utc_now
from aicore_obs.observer.labels import of_system
from aicore_obs.pipeline.forks import ForkLock

MAX_KEPT_BYTES = 64 * 1024 * 1024
MAX_ENDED_SESSIONS = 1000

_current: ContextVar[Session | None] = ContextVar("aicore_obs_session", default=None)
# The sessions that are open in this process; what is asked on the path of every call is whether there are any.
OPEN: list[Session] = []


class Session:
    """One use of the application. ``labels`` are the user's; ``outer`` is the session in which it was opened."""

    def __init__(self, name: str | None, labels: dict[str, str], outer: Session | None) -> None:
        self.id = new_id()
        self.name = name
        self.labels = labels
        self.system_labels = of_system()
        self.outer = outer
        self.started_at = utc_now()
        self.ended_at: datetime | None = None
        self.meta = {"pid": os.getpid(), "cwd": _working_directory()}
        self.lines: list[bytes] = []
        self.left_out = 0
        # A thread that knows no session looks for one of the main thread.
        self.is_of_main = threading.current_thread() is threading.main_thread()
        self.is_of_task = _in_task()
        self.before = context.EMPTY

    @property
    def all_labels(self) -> dict[str, str]:
        """Return the user's labels and the system's."""
        return {**self.labels, **self.system_labels}

    @property
    def is_open(self) -> bool:
        """Return whether it has not ended."""
        return self.ended_at is None

    def is_inside(self, other: Session) -> bool:
        """Return whether this is ``other`` or was opened in it."""
        one: Session | None = self
        while one is not None and one is not other:
            one = one.outer
        return one is other


class _Kept:
    """What the next export will tell of, and how many bytes that is."""

    def __init__(self) -> None:
        self.lock = ForkLock()
        self.sessions: list[Session] = []
        self.bytes = 0
        self.sessions_left_out = 0


_kept = _Kept()


class Taken(msgspec.Struct, frozen=True):
    """What one export tells of: sessions with the lines that each had; and how many ended sessions it lacks."""

    sessions: list[tuple[Session, list[bytes]]]
    sessions_left_out: int


def current() -> Session | None:
    """Return the session of this task or thread; for a thread without one, the main thread's where it is clear."""
    session = own()
    if session is None and threading.current_thread() is not threading.main_thread():
        return _of_main_thread()
    return session


def own() -> Session | None:
    """Return the innermost open session of this context."""
    session = _current.get()
    while session is not None and not session.is_open:
        session = session.outer
    return session


def _of_main_thread() -> Session | None:
    """Return the main thread's open session; None where it has several side by side, such as one for each request."""
    candidates = [one for one in list(OPEN) if one.is_of_main]
    lasting = [one for one in candidates if not one.is_of_task]
    for group in (lasting, candidates):
        if group:
            innermost = group[-1]
            return innermost if all(innermost.is_inside(one) for one in group) else None
    return None


def opened(name: str | None, labels: dict[str, str]) -> Session:
    """Open a session in this context."""
    session = Session(name, labels, own())
    session.before = context.current()
    _current.set(session)
    context.enter(_inside(session))
    with _kept.lock.here:
        OPEN.append(session)
        _kept.sessions.append(session)
    return session


def relabelled(session: Session, labels: dict[str, str]) -> None:
    """Give a session other labels; what is recorded from now on has them."""
    session.labels = labels
    if context.current().session_id == session.id:
        context.enter(_inside(session))


def _inside(session: Session) -> context.Context:
    """Return the context of now, in a session."""
    return msgspec.structs.replace(
        context.current(), session_id=session.id, labels={**session.before.labels, **session.labels}
    )


def ended(session: Session) -> None:
    """End a session; where this context is in it, the outer one is back."""
    with _kept.lock.here:
        if not session.is_open:
            return
        session.ended_at = utc_now()
        OPEN.remove(session)
        _forget_the_oldest()
    if _current.get() is session:
        _current.set(session.outer)
    now = context.current()
    if now.session_id == session.id:
        before = session.before
        context.enter(msgspec.structs.replace(now, session_id=before.session_id, labels=before.labels))


def keep(session: Session | None, line: bytes) -> None:
    """Keep one record's line for the next export. Takes no lock: it may be called while garbage is collected."""
    if session is None:
        return
    if _kept.bytes + len(line) > MAX_KEPT_BYTES:
        session.left_out += 1
        return
    _kept.bytes += len(line)
    session.lines.append(line)


def take() -> Taken:
    """Return what the next export tells of; :func:`clear` forgets it."""
    with _kept.lock.here:
        return Taken([(one, list(one.lines)) for one in _kept.sessions], _kept.sessions_left_out)


def clear(taken: Taken) -> None:
    """Forget what was exported; open sessions go on."""
    with _kept.lock.here:
        for session, lines in taken.sessions:
            del session.lines[: len(lines)]
            session.left_out = 0
            _kept.bytes -= sum(map(len, lines))
        gone = {id(session) for session, _ in taken.sessions if not session.is_open and not session.lines}
        _kept.sessions = [one for one in _kept.sessions if id(one) not in gone]
        _kept.sessions_left_out = 0


def _forget_the_oldest() -> None:
    done = [one for one in _kept.sessions if not one.is_open]
    for one in done[: max(0, len(done) - MAX_ENDED_SESSIONS)]:
        _kept.sessions.remove(one)
        _kept.bytes -= sum(map(len, one.lines))
        _kept.sessions_left_out += 1


def _in_task() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def _working_directory() -> str | None:
    try:
        return printable(os.getcwd())
    except OSError:
        return None


def _begin_again() -> None:
    """In a forked child: what was seen before the fork, the parent exports."""
    for session in _kept.sessions:
        session.lines = []
    _kept.sessions = [one for one in _kept.sessions if one.is_open]
    _kept.bytes = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_again)


def context_of(session: Session | None, **ids: Any) -> context.Context:
    """Return the context of now with these ids, and in a session where there is one."""
    now = context.current()
    if session is not None and now.session_id != session.id:
        now = msgspec.structs.replace(now, session_id=session.id, labels={**now.labels, **session.labels})
    elif session is not None and session.labels:
        now = msgspec.structs.replace(now, labels={**now.labels, **session.labels})
    return msgspec.structs.replace(now, **ids)
