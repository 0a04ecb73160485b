"""This module is where law 2 is written down once, for every test that breaks something."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from aicore_obs.pipeline.stats import Stats

POLL_S = 0.01


def assert_nothing_lost(stats: Stats) -> None:
    """Nothing is lost in silence: every record that was offered is somewhere, for every sink."""
    assert stats.offered == stats.accepted + sum(stats.refused.values()), stats
    for name, sink in stats.sinks.items():
        somewhere = sink.stored + sink.pending + sink.dead_lettered + sum(sink.dropped.values())
        assert stats.accepted + sink.adopted == somewhere, (name, stats)


def wait_until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Wait until ``condition`` holds; fail after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    never = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain"
        never.wait(POLL_S)
