"""This module is where the caller's frame is found: the line of the application that made a call, cheaply.

What lies in an installed package or in the standard library is not the application, and neither are we. An application
that is itself installed has no frame anywhere else: then its nearest frame outside the called package is taken.
"""

from __future__ import annotations

import asyncio
import site
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import msgspec

from aicore_obs.guard import attempt

_OURS = str(Path(__file__).parent)
# Frames looked at; a deeper stack than this has its application's frame nearer than that.
_MAX_FRAMES = 200
_MAX_KNOWN = 10_000
_known: dict[CodeType, bool] = {}
# What calls SDKs for applications, in packages of many names.
_FRAMEWORKS = ("langchain", "langgraph", "langsmith")
# Whoever runs the loop has not made the call that a task makes.
_TASKS = asyncio.Handle._run.__code__  # noqa: SLF001 - the frame below every task


class CallSite(msgspec.Struct, frozen=True):
    """A place in a program."""

    file: str
    line: int
    function: str


def call_site(*, outside: str = "", around: CallSite | None = None) -> CallSite | None:
    """Return the application's frame that led here, never one of ``outside`` (the top name of the called package).

    ``around``: the site of what stands around the call. It is taken where no frame here is the application's, since a
    framework calls on threads and in tasks of its own.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - inspect.currentframe() is the same, ten times dearer
    nearest: FrameType | None = None
    for _ in range(_MAX_FRAMES):
        if frame is None or frame.f_code is _TASKS:
            break
        if _is_application(frame.f_code):
            return _site(frame)
        if nearest is None and not _is_of(frame, outside):
            nearest = frame
        frame = frame.f_back
    if around is not None:
        return around
    return None if nearest is None else _site(nearest)


def defined_at(function: Callable[..., Any]) -> CallSite | None:
    """Return where a function was defined, None where it was not written in Python."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return None
    return CallSite(code.co_filename, code.co_firstlineno, getattr(function, "__qualname__", code.co_name))


def is_in(package: str, *, above: str = "") -> bool:
    """Return whether a function of a package is among the callers, as far as one looks.

    Functions of the module ``above`` do not count.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as above
    beginning = package + "."
    for _ in range(_MAX_FRAMES):
        if frame is None:
            return False
        name = str(frame.f_globals.get("__name__", ""))
        if (name == package or name.startswith(beginning)) and name not in (above, __name__, attempt.__module__):
            return True
        frame = frame.f_back
    return False


def is_called_by(package: str) -> bool:
    """Return whether a package has made this call itself: no function of an application stands between.

    Of what lies in other installed packages it is not known whose it is, and it is passed over.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as above
    for _ in range(_MAX_FRAMES):
        if frame is None:
            return False
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] == package:
            return True
        if frame.f_code is _TASKS or _is_application(frame.f_code):
            return False
        frame = frame.f_back
    return False


def _site(frame: FrameType) -> CallSite:
    code = frame.f_code
    return CallSite(code.co_filename, frame.f_lineno, code.co_qualname)


def _is_application(code: CodeType) -> bool:
    known = _known.get(code)
    if known is None:
        known = not code.co_filename.startswith(("<frozen", _OURS, *_LIBRARIES))
        if len(_known) < _MAX_KNOWN:
            _known[code] = known
    return known


def _is_of(frame: FrameType, package: str) -> bool:
    if frame.f_code.co_filename.startswith((_OURS, "<frozen")):
        return True
    top = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    named = ("wrapt", "asyncio", "contextlib", "concurrent", "threading", package)
    return top in named or top.startswith(_FRAMEWORKS)


def _libraries() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    found = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    found |= set(attempt(site.getsitepackages).value or ())
    found.add(attempt(site.getusersitepackages).value or "")
    return tuple(sorted(path for path in found if path))


_LIBRARIES = _libraries()
