"""This module is where the end of a process and its forks reach its roads."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

EXIT_TIMEOUT_S = 5.0


class Leaving(Protocol):
    """What wants to know."""

    @property
    def is_of_this_process(self) -> bool:
        """Return whether it has anything to lose here; false in a forked child that has not used it yet."""

    def part(self) -> None:
        """Before a fork: close what no child may inherit."""

    def rejoin(self) -> None:
        """After a fork, in the parent: go on."""

    def forget(self) -> None:
        """In a forked child: let go of what is the parent's."""

    def leave(self, timeout_s: float) -> object:
        """Deliver what there is; more may come."""

    def end(self, timeout_s: float) -> object:
        """Deliver what there is and end; what comes later still is only kept."""


def add(one: Leaving) -> None:
    """Tell ``one`` of forks and of the end, as long as somebody uses it."""
    _leaving.add(one)
    _install_hooks()


def discard(one: Leaving) -> None:
    """Tell ``one`` no more."""
    _leaving.discard(one)


_leaving: weakref.WeakSet[Leaving] = weakref.WeakSet()
_left_s = [EXIT_TIMEOUT_S]
_hooks: list[str] = []


def _install_hooks() -> None:
    """Once per process, its forked children included."""
    if _hooks:
        return
    _hooks.append("installed")
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_part_all, after_in_parent=_rejoin_all, after_in_child=_forget_all)
    # ``atexit`` runs after executors are shut, when a loop can no longer hand work to threads; what the standard
    # library's own executors use runs before. But then other threads may still record, and so may exit handlers: the
    # roads go on until ``atexit``. Children of multiprocessing skip that one, and end here.
    early: Callable[[Callable[[], None]], None] | None = getattr(threading, "_register_atexit", None)
    if early is not None:
        # It refuses once the interpreter is ending.
        with suppress(RuntimeError):
            early(_drain_all)
    atexit.register(_end_all)


def _part_all() -> None:
    for one in list(_leaving):
        one.part()


def _rejoin_all() -> None:
    for one in list(_leaving):
        one.rejoin()


def _forget_all() -> None:
    for one in list(_leaving):
        one.forget()


def _drain_all() -> None:
    _within_deadline(lambda one, timeout_s: one.leave(timeout_s))
    if _skips_exit_handlers():
        _end_all()


def _end_all() -> None:
    _within_deadline(lambda one, timeout_s: one.end(timeout_s))


def _within_deadline(end: Callable[[Leaving, float], object]) -> None:
    """Call each with what is left of the one deadline for the whole exit."""
    started = time.monotonic()
    for one in list(_leaving):
        if one.is_of_this_process:
            end(one, max(0.0, _left_s[0] - (time.monotonic() - started)))
    _left_s[0] -= time.monotonic() - started


def _skips_exit_handlers() -> bool:
    """Return whether this is a child of multiprocessing, without importing that."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None
