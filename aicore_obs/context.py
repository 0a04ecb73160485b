"""This module is where the caller's context is kept: session, run, span, labels and whatever a block was bound to.

Context is per task and per thread (``contextvars``); it is read on the caller's thread, before a record travels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from contextvars import ContextVar, Token, copy_context
from functools import wraps
from typing import Any, ParamSpec, Self, TypeVar

import msgspec

from aicore_obs.errors import UnknownParameterError
from aicore_obs.guard import as_text, attempt

P = ParamSpec("P")
T = TypeVar("T")


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a block of the program is bound to; a record takes from it whatever it was not given itself."""

    project: str | None = None
    session_id: str | None = None
    run_id: str | None = None
    experiment_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    parent_id: str | None = None
    workspace: str | None = None
    agent_id: str | None = None
    action_id: str | None = None
    user_id: str | None = None
    labels: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    extras: dict[str, Any] = {}


EMPTY = Context()
_current: ContextVar[Context] = ContextVar("aicore_obs_context", default=EMPTY)
_suppressed: ContextVar[bool] = ContextVar("aicore_obs_suppressed", default=False)


def current() -> Context:
    """Return the context of this task or thread."""
    return _current.get()


def is_suppressed() -> bool:
    """Return whether recording is off here: we are inside our own delivery, or inside :func:`suppress`."""
    return _suppressed.get()


def enter(context: Context) -> Token[Context]:
    """Make ``context`` that of this task or thread; for doors, which leave it again with :func:`leave`."""
    return _current.set(context)


def leave(token: Token[Context]) -> None:
    """Bring back the context that was there before :func:`enter`."""
    _current.reset(token)


def carried(work: Callable[P, T]) -> Callable[P, T]:
    """Return ``work`` as a function that runs in the context of now, on whatever thread it is called.

    For threads and executors, which start without one: ``pool.submit(carried(work), …)``.
    """
    context = copy_context()

    @wraps(work)
    def in_context(*args: P.args, **kwargs: P.kwargs) -> T:
        # A copy each time: one context cannot be entered by two threads at once.
        return context.copy().run(work, *args, **kwargs)

    return in_context


@contextmanager
def suppress() -> Iterator[None]:
    """Record nothing in this block."""
    token = _suppressed.set(True)
    try:
        yield
    finally:
        _suppressed.reset(token)


class bind(AbstractContextManager["bind"], AbstractAsyncContextManager["bind"]):  # noqa: N801 - used as a verb
    """Give everything that is recorded in a block the same ids, labels, tags and extras.

    Works with ``with`` and ``async with``. Blocks nest: labels, tags and extras add up, ids replace the outer ones,
    and the outer context is back when the block ends.

    Raises:
        UnknownParameterError: a name that a context does not have; the message lists the right ones.
    """

    def __init__(self, **values: Any) -> None:
        wrong = sorted(set(values) - set(Context.__struct_fields__))
        if wrong:
            names = ", ".join(Context.__struct_fields__)
            raise UnknownParameterError(f"bind() does not take {', '.join(map(repr, wrong))}; it takes: {names}")
        self._values = {name: _checked(name, value) for name, value in values.items() if value is not None}
        self._tokens: list[Token[Context]] = []

    def __enter__(self) -> Self:
        self._tokens.append(_current.set(merged(_current.get(), self._values)))
        return self

    def __exit__(self, *_: object) -> None:
        _current.reset(self._tokens.pop())

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()


def _checked(name: str, value: Any) -> Any:
    """Return a value as a record holds it: ids and tags as text, labels as text by text, extras as a dict."""
    if name == "tags":
        items = [value] if isinstance(value, str) else attempt(lambda: list(value)).value
        return tuple(map(as_text, [value] if items is None else items))
    if name not in ("labels", "extras"):
        return as_text(value)
    # What is no mapping is kept all the same.
    pairs = attempt(lambda: dict(value)).value if isinstance(value, Mapping) else None
    pairs = {"value": value} if pairs is None else pairs
    return pairs if name == "extras" else {as_text(key): as_text(text) for key, text in pairs.items()}


def merged(outer: Context, values: Mapping[str, Any]) -> Context:
    """Return a context with more said: labels, tags and extras add up, ids replace the outer ones."""
    changes = dict(values)
    for name in ("labels", "extras"):
        if changes.get(name):
            changes[name] = {**getattr(outer, name), **changes[name]}
    if changes.get("tags"):
        changes["tags"] = tuple(dict.fromkeys((*outer.tags, *changes["tags"])))
    return msgspec.structs.replace(outer, **changes)
