"""This module is where it is said what a finding of `doctor` is: what is wrong, where, and the way out."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was found. ``code`` is for programs; ``urgent`` False: worth knowing, and nothing is wrong."""

    code: str
    place: str
    what: str
    way_out: str
    urgent: bool = True


def finding(code: str, place: str | Path, what: str, way_out: str, *, urgent: bool = True) -> Finding:
    """Return a finding; every one has a way out."""
    # Errors of stores begin with the place, which is told anyway.
    told = what.removeprefix(f"{place}: ")
    return Finding(code=code, place=str(place), what=told, way_out=way_out, urgent=urgent)
