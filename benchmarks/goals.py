"""This module is where the goals are kept that figures are held against."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from benchmarks.figures import Figure


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """A bound for figures of the cases that begin with ``case``: ``of`` their ``ratio`` to the floor, or ``value``."""

    group: str
    case: str
    what: str
    of: str
    bound: float

    def holds_for(self, figure: Figure) -> bool:
        """Return whether the figure is one that this goal is about."""
        return figure.group == self.group and figure.case.startswith(self.case) and figure.what == self.what


GOALS = (
    Goal(group="caller", case="sync, dict, tight loop", what="p50", of="ratio", bound=1.8),
    Goal(group="caller", case="sync, dict, 1 ms apart", what="p50", of="ratio", bound=1.3),
    Goal(group="caller", case="sync, dict", what="p99", of="ratio", bound=3.0),
    Goal(group="loop", case="", what="p99 above the floor", of="value", bound=1.0),
    Goal(group="end-to-end", case="SQLite", what="speed", of="ratio", bound=0.7),
    Goal(group="end-to-end", case="JSON lines", what="speed", of="ratio", bound=0.7),
    Goal(group="end-to-end", case="PostgreSQL", what="speed", of="ratio", bound=0.8),
    Goal(group="memory", case="", what="resident, highest above that", of="value", bound=30.0),
    Goal(group="replay", case="", what="speed", of="ratio", bound=1.0),
    *(
        Goal(group="peers", case=f"ours of {name}", what=f"{pace}, mean", of="value", bound=bound)
        for name, bound in (("OpenTelemetry", 0.2), ("Langfuse", 0.05))
        for pace in ("tight", "1 ms apart")
    ),
)
_MEASURED: dict[str, Callable[[Figure], float | None]] = {
    "ratio": lambda figure: figure.ratio,
    "value": lambda figure: figure.median,
}


def goal_of(figure: Figure) -> str:
    """Return the goal of a figure and whether it is met, in words; empty when it has none."""
    for goal in GOALS:
        measured = _MEASURED[goal.of](figure)
        if goal.holds_for(figure) and measured is not None:
            met = measured >= goal.bound if figure.more_is_better else measured <= goal.bound
            sign = "≥" if figure.more_is_better else "≤"
            return f"{sign} {goal.bound:g}: {'met' if met else 'not met'}"
    return ""
