"""This module is where a process forks while another thread of it stands at a chosen line of the package.

``python -m tests.faults.fork_steps KIND ARGUMENTS POINTS`` with the collector's arguments as JSON. In each life the
writer's thread, or one that records, is stopped at one line of a step with whatever locks it holds; the main thread
forks; the parent goes on, the child must record, deliver and close. Ids go to the standard
output; at the end a line of the standard error says how many forks there were at which step, and in how many of them
the journal's lock, as it was before the fork, was held for ever in the child.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from tests.faults.recorder import said
from tests.faults.steps import LIFE_S, STEPS, Arguments, Step, elsewhere, forked, leave, live, opened, traced, warm_up

CHILD_RECORDS = 3
FORKED = "when this process was forked"
# What runs on the main thread alone is no state that one can fork in.
ON_THE_MAIN_THREAD = ("a new journal", "closing")


def counted_life(arguments: Arguments, step: Step, output: int) -> None:
    """Tell how many lines of the step other threads than the main one have."""
    count = [0]

    def seen() -> None:
        count[0] += threading.current_thread() is not threading.main_thread()

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    traced(step, seen)
    thread = threading.Thread(target=live, args=(arguments,))
    thread.start()
    thread.join()
    os.write(output, str(count[0]).encode())


def life_with_a_fork(arguments: Arguments, step: Step, at: int, output: int) -> None:
    """Fork while another thread is at line number ``at`` of the step; tell whether the journal's lock was held."""
    left = [at]
    there, gone_on = threading.Event(), threading.Event()

    def seen() -> None:
        if threading.current_thread() is threading.main_thread():
            return
        left[0] -= 1
        if left[0] == -1:
            there.set()
            gone_on.wait(LIFE_S)

    traced(step, seen)
    collector = opened(arguments)
    journal_lock = collector._road._journal._lock  # type: ignore[union-attr]
    thread = threading.Thread(target=live, args=(arguments,))
    thread.start()
    while thread.is_alive() and not there.wait(0.01):
        pass

    def child() -> None:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        os.write(output, b"1" if journal_lock.locked() else b"0")
        assert collector.stats().accepted == 0
        for number in range(CHILD_RECORDS):
            said(collector.record_completion({"child": number}))
        # In the middle of a write into SQLite the child must leave the file alone, and says so.
        while not (flushed := collector.flush(0.5)) and FORKED not in str(collector.stats().sinks):
            pass
        collector.close(LIFE_S if flushed else 0.1)

    code = forked(child, meanwhile=gone_on.set)
    thread.join()
    collector.flush(LIFE_S)
    collector.close(LIFE_S)
    assert code == 0, code


def lines_of(arguments: Arguments, step: Step) -> int:
    """Return how many lines of the step other threads than the main one have in one life."""
    read, write = os.pipe()
    assert forked(lambda: counted_life(arguments, step, write)) == 0
    os.close(write)
    with os.fdopen(read) as file:
        return int(file.read())


def main(kind: str, arguments: Arguments, points: int) -> dict[str, int]:
    """Fork at every step; return how many forks there were at each, and with the journal's lock held."""
    forks: dict[str, int] = {}
    read, write = os.pipe()
    for step in (one for one in STEPS if kind in one.kinds and one.name not in ON_THE_MAIN_THREAD):
        lines = lines_of(elsewhere(kind, arguments) if step.name == "migration" else arguments, step)
        assert lines, step.name
        for number in range(min(points, lines)):
            forked(lambda: leave(arguments))
            at = (number * lines + lines // 2) // min(points, lines)
            code = forked(lambda at=at, step=step: life_with_a_fork(arguments, step, at, write))  # type: ignore[misc]
            assert code == 0, (step.name, at, code)
            forks[step.name] = forks.get(step.name, 0) + 1
    os.close(write)
    with os.fdopen(read) as file:
        forks["with the journal's lock held"] = file.read().count("1")
    return forks


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    warm_up()
    os.write(2, json.dumps(main(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]))).encode())
