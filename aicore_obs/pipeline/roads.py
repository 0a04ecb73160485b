"""This module is where the roads of one process are shared: collectors that name the same sinks use one."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from aicore_obs.pipeline.forks import ForkLock
from aicore_obs.pipeline.road import Road
from aicore_obs.pipeline.stats import FlushResult

_lock = ForkLock()
_shared: dict[Hashable, tuple[Road, int]] = {}


def acquire(key: Hashable, build: Callable[[], Road]) -> Road:
    """Return the road of ``key``, built if there is none; each ``acquire`` wants one :func:`release`."""
    with _lock.here:
        road, users = _shared.get(key, (None, 0))
        if road is None:
            road = build()
        _shared[key] = (road, users + 1)
        return road


def release(key: Hashable, timeout_s: float) -> FlushResult:
    """Give a road back: it is flushed, and closed when nobody else uses it."""
    with _lock.here:
        road, users = _shared[key]
        if users > 1:
            _shared[key] = (road, users - 1)
        else:
            del _shared[key]
    return road.flush(timeout_s) if users > 1 else road.close(timeout_s)


def writing_to(sink: str) -> list[Road]:
    """Return the open roads of this process that lead to a sink."""
    with _lock.here:
        return [road for road, _ in _shared.values() if sink in road.sink_names]
