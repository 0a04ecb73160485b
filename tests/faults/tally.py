"""This module is where the fault tests count records: tried, lost and doubled, by fault and store; kills; forks.

The table is printed at the end of the run (see ``conftest.py``); ``docs/faults.md`` has it with the measured numbers.
"""

from __future__ import annotations

import os
from collections import Counter

_counts: dict[tuple[str, str], Counter[str]] = {}


def count(store: str, **numbers: int) -> None:
    """Add numbers (``tried``, ``lost``, ``twice``, ``kills``, ``forks``) to the line of this test and this store."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "?").split(" ")[0]
    fault = test.rpartition("::")[2].partition("[")[0].removeprefix("test_").replace("_", " ")
    _counts.setdefault((fault, store), Counter()).update({"runs": 1, **numbers})


def table() -> list[str]:
    """Return the lines of the table; none when nothing was counted."""
    if not _counts:
        return []
    columns = ("runs", "kills", "forks", "tried", "lost", "twice")
    width = max(len(fault) for fault, _ in _counts)
    total: Counter[str] = sum(_counts.values(), Counter())
    lines = [f"{'fault':{width}}  {'store':10}" + "".join(f"{name:>9}" for name in columns)]
    for (fault, store), numbers in [*sorted(_counts.items()), (("all", ""), total)]:
        lines.append(f"{fault:{width}}  {store:10}" + "".join(f"{numbers[name]:>9,}" for name in columns))
    return lines


def counted() -> list[tuple[str, str, dict[str, int]]]:
    """Return what was counted, in words that one process can send to another."""
    return [(fault, store, dict(numbers)) for (fault, store), numbers in _counts.items()]


def add(lines: list[tuple[str, str, dict[str, int]]]) -> None:
    """Take on what another process of this run has counted."""
    for fault, store, numbers in lines:
        _counts.setdefault((fault, store), Counter()).update(numbers)
