"""This module is where it is told since when the first record that a sink does not have yet has been waiting."""

from __future__ import annotations

import re
from collections.abc import Iterable

from aicore_obs.guard import attempt
from aicore_obs.pipeline.chunk import Source
from aicore_obs.pipeline.owners import Position

# A UUIDv7 begins with the milliseconds since 1970; it was made when the record was.
_START = 512
_ID = re.compile(rb'"id":"([0-9a-f]{8})-([0-9a-f]{4})-7')


def since(waiting: Iterable[tuple[Source, Position]]) -> float | None:
    """Return when the oldest of the records at these places was recorded, in seconds since 1970; None: none waits."""
    times = (attempt(_recorded_at, source, at).value for source, at in waiting if at < source.end())
    return min((time for time in times if time is not None), default=None)


def _recorded_at(source: Source, at: Position) -> float | None:
    lines = source.read(at, 1).lines
    found = _ID.search(lines[0][:_START]) if lines else None
    return int(found[1] + found[2], 16) / 1000 if found else None
