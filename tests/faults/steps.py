"""This module is where a process is killed at a chosen line of the package: at each step of the road, one by one.

``python -m tests.faults.steps KIND ARGUMENTS POINTS`` with the collector's arguments as JSON. For every step the
program forks processes that live one short life each: adopt what the one before has left, record, deliver, close. One
life counts the lines of the step, each other one ends by SIGKILL at one of them: at ``POINTS`` lines, spread over all.
The kill is real and at an exact place, because the process sends it to itself out of its own trace function.

Every id goes to the standard output as it was given; ``ID poison`` is one that a processor refuses, so that it belongs
to the dead letters. At the end a line of the standard error says how many were killed at which step.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import msgspec

from aicore_obs import LlmOperationCollector, cost_of
from aicore_obs.model.record import Record
from aicore_obs.pipeline.portal import import_backend
from tests.faults.recorder import said

Arguments = dict[str, Any]
# Larger than half of the smallest segment, so that every second record begins another one.
LARGE = "x" * 40_000
SMALL_JOURNAL = {"journal_max_bytes": 4_000_000, "batch_bytes": 100_000, "batch_interval_s": 0.001}
LEFT = 3
SMALL, MANY = 4, 3
LIFE_S = 30.0
KILLED = -signal.SIGKILL


class Step(msgspec.Struct, frozen=True):
    """Lines of the package: the functions of these names in files whose paths have that in them."""

    name: str
    places: dict[str, tuple[str, ...]]
    kinds: tuple[str, ...] = ("sqlite", "json", "jsonl", "postgresql")

    def covers(self, code: CodeType) -> bool:
        """Return whether a function belongs to the step."""
        return any(file in code.co_filename and code.co_name in names for file, names in self.places.items())


DATABASES = ("sqlite", "postgresql")
FILES = ("json", "jsonl")
STEPS = (
    # First, while there is no schema yet: every process that dies there leaves the next one to make it.
    Step(
        "migration",
        {
            "migrations/migrator.py": ("upgrade", "_run", "_create_schema", "_write_log", "_lock"),
            "migrations/versions/v": ("upgrade",),
            "sql/schema.py": ("ensure", "migrate"),
        },
        DATABASES,
    ),
    Step("a new journal", {"pipeline/owners.py": ("create", "_locked"), "pipeline/road.py": ("_begin",)}),
    Step(
        "the journal's write",
        {
            "pipeline/journal.py": ("append",),
            "pipeline/appending.py": ("append", "_write"),
            "pipeline/road.py": ("append",),
        },
    ),
    Step("a new segment", {"pipeline/journal.py": ("_rotate",)}),
    Step("adopting", {"pipeline/others.py": ("_look_at", "_take_over", "_deliver_for", "let_go_of_delivered")}),
    Step("the role of delivery", {"pipeline/role.py": ("take", "release"), "pipeline/others.py": ("_have_role",)}),
    Step(
        "following the living",
        {
            "pipeline/others.py": ("_begin_to_follow", "_attach", "_take_in", "bury"),
            "pipeline/living.py": ("look", "_look_into", "trim"),
        },
    ),
    Step("mid-batch", {"stores/sql/sqlite.py": ("write", "_insert")}, ("sqlite",)),
    Step("mid-batch", {"sql/postgres.py": ("write", "_copy", "_others", "_insert", "_in_slices")}, ("postgresql",)),
    Step("mid-batch", {"json_file.py": ("_write", "_append", "_write_at", "_repaired_end", "_open", "_opened")}, FILES),
    Step("the note before a batch", {"pipeline/cursor.py": ("note",), "json_file.py": ("note",)}, FILES),
    Step(
        "between commit and checkpoint",
        {
            "pipeline/delivery.py": ("_settle", "_write", "_step"),
            "pipeline/cursor.py": ("advance",),
            "pipeline/owners.py": ("save_positions",),
        },
    ),
    Step("a dead letter", {"pipeline/dead_letters.py": ("add",), "pipeline/delivery.py": ("_to_dead_letters",)}),
    Step("deleting segments", {"pipeline/journal.py": ("trim",)}),
    Step("removing a journal", {"pipeline/owners.py": ("remove", "_delete_lock_and_folder")}),
    Step("closing", {"pipeline/road.py": ("close", "_ended"), "pipeline/journal.py": ("close", "seal")}),
)


def poisonous(record: Record) -> Record:
    """Refuse some records, so that there are dead letters."""
    if record.session_id == "poison":
        raise ValueError("poison")
    return record


def opened(arguments: Arguments, **options: Any) -> LlmOperationCollector:
    """Return a collector whose journal rotates early."""
    return LlmOperationCollector(**arguments, **SMALL_JOURNAL, processors=[poisonous], **options)


def leave(arguments: Arguments) -> None:
    """Record and die before anything is delivered, so that the next life has something to adopt."""
    collector = opened(arguments)
    collector._road._writes = False  # type: ignore[union-attr]
    appends = opened(arguments, writer="external")
    for number in range(LEFT):
        said(collector.record_completion({"left": number}))
        said(appends.record_completion({"left": number}))
    os._exit(0)


def live(arguments: Arguments) -> None:
    """Record small and large, deliver, for one that only appends too, go on, close."""
    collector = opened(arguments)
    appends = opened(arguments, writer="external")
    for _ in range(2):
        for number in range(SMALL):
            said(collector.record_completion({"small": number}))
        poison = collector.record_completion({"model": "poison"}, session_id="poison")
        said(poison and f"{poison} poison")
        for _ in range(MANY):
            said(collector.record_completion({"large": LARGE}))
            said(appends.record_completion({"large": LARGE}))
        collector.flush(LIFE_S)
    appends.close(LIFE_S)
    collector.close(LIFE_S)


def traced(step: Step, seen: Callable[[], None]) -> None:
    """Call ``seen`` at every line of the step and at every return from it, in whatever thread."""
    known: dict[CodeType, bool] = {}

    def lines(_: FrameType, event: str, __: object) -> Any:
        if event in ("line", "return"):
            seen()
        return lines

    def calls(frame: FrameType, _: str, __: object) -> Any:
        code = frame.f_code
        if code not in known:
            known[code] = step.covers(code)
        return lines if known[code] else None

    threading.settrace(calls)
    sys.settrace(calls)


def counted_life(arguments: Arguments, step: Step, output: int) -> None:
    """Live without being killed, and tell how many lines of the step there were; its ids go nowhere."""
    count = [0]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def seen() -> None:
        count[0] += 1

    traced(step, seen)
    live(arguments)
    sys.settrace(None)
    os.write(output, str(count[0]).encode())


def killed_life(arguments: Arguments, step: Step, at: int) -> None:
    """Live until line number ``at`` of the step."""
    left = [at]

    def seen() -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    traced(step, seen)
    live(arguments)


def forked(work: Callable[[], object], *, meanwhile: Callable[[], object] = lambda: None) -> int:
    """Run ``work`` in a forked child; return its exit code, negative when it was killed."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(int(LIFE_S))
        work()
        os._exit(0)
    meanwhile()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def lines_of(arguments: Arguments, step: Step) -> int:
    """Return how many lines of the step one life has."""
    read, write = os.pipe()
    assert forked(lambda: counted_life(arguments, step, write)) == 0
    os.close(write)
    with os.fdopen(read) as file:
        return int(file.read())


def main(kind: str, arguments: Arguments, points: int) -> dict[str, int]:
    """Kill processes at every step; return how many at each."""
    kills: dict[str, int] = {}
    for step in (one for one in STEPS if kind in one.kinds):
        lines = lines_of(elsewhere(kind, arguments) if step.name == "migration" else arguments, step)
        assert lines, step.name
        wanted = min(points, lines)
        for number in range(wanted):
            forked(lambda: leave(arguments))
            at = (number * lines + lines // 2) // wanted
            code = forked(lambda at=at, step=step: killed_life(arguments, step, at))  # type: ignore[misc]
            # Which thread comes how far differs a little from life to life: near the end, one may get away.
            assert code in (0, KILLED), (step.name, at, code)
            kills[step.name] = kills.get(step.name, 0) + (code == KILLED)
    return kills


def elsewhere(kind: str, arguments: Arguments) -> Arguments:
    """Return another store of the same kind, whose schema is still to be made; nobody asks for its records."""
    if kind == "postgresql":
        return {**arguments, "db_schema": "elsewhere"}
    return {"db_url": f"{arguments['db_url']}.elsewhere"}


def warm_up() -> None:
    """Import once, without a thread, what otherwise each life would import again."""
    import_backend()
    for name in ("json_file", "sql.postgres", "sql.sqlite"):
        importlib.import_module(f"aicore_obs.stores.{name}")
    answer = {"model": "gpt-4o", "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
    cost_of(answer, provider="openai")
    assert threading.active_count() == 1


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    warm_up()
    os.write(2, json.dumps(main(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]))).encode())
