"""This module is where the journal is played against a model: any order of appends, deliveries, crashes and damage."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from aicore_obs.pipeline.owners import POSITIONS_NAME, owner_folders, segment_numbers
from aicore_obs.pipeline.segment import MAGIC, frame
from tests.faults import tally
from tests.faults.model_process import KEYED, NOTED, SINKS, STOPS, Process, Stop
from tests.left_behind import ids, line

T = TypeVar("T")
MOST_PROCESSES = 3
TEARS = ("cut", "half a frame", "an empty segment", "half a segment's start")
CUT_BYTES = 9
# How many records, and how many deliveries after them, again and again.
DAYS = st.lists(st.tuples(st.sampled_from((1, 4, 12)), st.sampled_from((1, 4))), min_size=2, max_size=6)


class Expected:
    """What the model knows of one owner's folder: its records in order, and how far each sink's position is.

    ``damaged``: bytes of it were hit, so that only its whole records are counted on.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.passed = dict.fromkeys(SINKS, 0)
        self.damaged = False

    def left(self, sink: str) -> list[str]:
        """Return the ids behind a sink's position."""
        return self.ids[self.passed[sink] :]


class Journals(RuleBasedStateMachine):
    """Some processes that share a journal's directory and two stores."""

    processes: Bundle[Process] = Bundle("processes")
    steps = 0
    crashes = 0

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.directory = Path(self.folder.name) / "journal"
        self.stores: dict[str, list[str]] = {name: [] for name in SINKS}
        self.alive: list[Process] = []
        self.expected: dict[Path, Expected] = {}
        # Accepted, and then hit by what no journal can mend: for these sinks they need not arrive.
        self.hit: dict[str, set[str]] = {name: set() for name in SINKS}
        # Those of them whose bytes are still in a segment, but no longer whole.
        self.changed: set[str] = set()
        self.accepted: list[str] = []
        self.number = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the one loop."""
        return self.loop.run_until_complete(work)

    # -- processes -----------------------------------------------------------------------------------------------------

    @initialize(target=processes)
    def first(self) -> Process:
        """There is a process."""
        return self._started(5)

    @rule(target=processes, batch_records=st.sampled_from((1, 3, 9)))
    def start(self, batch_records: int) -> Any:
        """A process begins, if there are few."""
        return self._started(batch_records) if len(self.alive) < MOST_PROCESSES else multiple()

    def _started(self, batch_records: int) -> Process:
        async def make() -> Process:
            return Process(self.directory, self.stores, batch_records=batch_records)

        process = self.run(make())
        self.alive.append(process)
        self.expected[process.folder] = Expected()
        return process

    @rule(process=processes, count=st.sampled_from((1, 5, 40)), size=st.sampled_from((0, 200, 3000)))
    def append(self, process: Process, count: int, size: int) -> None:
        """Records are offered; the segment may rotate, the cap be reached."""
        if process not in self.alive:
            return
        for _ in range(count):
            self.number += 1
            if process.append(line(self.number, completion_args={"text": "x" * size})) is None:
                self.expected[process.folder].ids += ids([self.number])
                self.accepted += ids([self.number])

    @rule(process=processes, batches=DAYS)
    def a_usual_day(self, process: Process, batches: list[tuple[int, int]]) -> None:
        """Appends and deliveries by turns, one sink a little behind the other, so that segments come and go."""
        for count, steps in batches:
            self.append(process, count, 200)
            for step in range(steps):
                self.deliver(process, SINKS[step % 3 % 2])

    @rule(process=processes)
    def sync(self, process: Process) -> None:
        """durability="disk": what was appended is brought to the disk."""
        if process in self.alive:
            assert process.journal.sync() is None

    @rule(process=processes, sink=st.sampled_from(SINKS))
    def deliver(self, process: Process, sink: str) -> None:
        """One batch is written, its position saved, and segments that all have passed are deleted."""
        if process in self.alive:
            self._delivered(process, sink)

    @rule(process=processes, sink=st.sampled_from(SINKS), stop=st.sampled_from(STOPS))
    def crash_in_a_write(self, process: Process, sink: str, stop: Stop) -> None:
        """The process dies before, in the middle of, or after a commit that no position knows of."""
        if process in self.alive:
            self._delivered(process, sink, stop)

    def _delivered(self, process: Process, sink: str, stop: Stop | None = None) -> bool:
        """Let one step be taken, and compare it with the model; return whether there was anything to do."""
        whose, given, crashed = self.run(process.deliver(sink, stop))
        if whose is None:
            return False
        expected = self.expected[whose]
        left = expected.left(sink)
        if expected.damaged:
            # In order, none twice, and only damage lies between.
            assert given == [one for one in left if one in set(given)]
        else:
            assert given == left[: len(given)]
        if crashed:
            self._die(process)
        elif given:
            expected.passed[sink] += left.index(given[-1]) + 1
        return True

    def _deliver_all(self, process: Process) -> None:
        for sink in SINKS:
            while self._delivered(process, sink):
                pass

    @rule(process=processes)
    def adopt(self, process: Process) -> None:
        """A process takes over everything that the dead have left, and nothing of the living."""
        if process not in self.alive:
            return
        held = {path for one in self.alive for path in one.adopted()} | {one.folder for one in self.alive}
        dead = set(self.expected) - held
        process.writer._others.look()
        taken = set(process.adopted())
        assert taken - held <= dead
        for path in dead - taken:
            # Everything in it had arrived: it was removed.
            assert not path.exists()
            whole = [one for name in SINKS for one in self.expected[path].left(name) if one not in self.hit[name]]
            assert whole == []
            del self.expected[path]

    @rule(process=consumes(processes))
    def close(self, process: Process) -> None:
        """A process ends as it should: everything it has is delivered, and its folder goes."""
        if process not in self.alive:
            return
        self._deliver_all(process)
        process.close()
        self.alive.remove(process)
        assert not process.folder.exists()
        del self.expected[process.folder]

    # -- faults --------------------------------------------------------------------------------------------------------

    @rule(process=consumes(processes), then=st.sampled_from(("nothing", "positions", *TEARS)))
    def crash(self, process: Process, then: str) -> None:
        """A process is killed, or the machine stops: then what was written last is torn, in one of these ways."""
        if process not in self.alive:
            return
        self._die(process)
        expected = self.expected[process.folder]
        if then == "positions":
            self._lose_positions(process.folder, expected)
        elif then != "nothing":
            self._tear(process.folder, expected, then)

    def _tear(self, folder: Path, expected: Expected, how: str) -> None:
        numbers = segment_numbers(folder)
        if not numbers:
            return
        last, after = (folder / f"{numbers[-1] + more:010d}.seg" for more in (0, 1))
        if how == "an empty segment":
            after.touch()
        elif how == "half a segment's start":
            after.write_bytes(MAGIC + frame(b'{"format":1}')[:-CUT_BYTES])
            expected.damaged = True
        elif how == "half a frame":
            with last.open("ab") as file:
                file.write(frame(line(0))[:-CUT_BYTES])
            expected.damaged = True
        elif expected.ids and expected.ids[-1].encode() in last.read_bytes():
            os.truncate(last, last.stat().st_size - CUT_BYTES)
            self._hit(expected, expected.ids[-1])

    def _lose_positions(self, folder: Path, expected: Expected) -> None:
        """Leave positions that cannot be read: whatever is still in the segments is looked at again."""
        (folder / POSITIONS_NAME).write_bytes(b"\x00torn")
        there = b"".join((folder / f"{number:010d}.seg").read_bytes() for number in segment_numbers(folder))
        deleted = [n for n, one in enumerate(expected.ids) if one.encode() not in there and one not in self.changed]
        expected.passed = dict.fromkeys(SINKS, max(deleted, default=-1) + 1)

    @rule(data=st.data())
    def flip_a_bit(self, data: st.DataObject) -> None:
        """A record of a dead process is hit on the disk: it, and no other, is lost."""
        held = {path for one in self.alive for path in one.adopted()} | {one.folder for one in self.alive}
        for path in sorted(set(self.expected) - held):
            expected = self.expected[path]
            left = [one for one in expected.left(KEYED) if one in expected.left(NOTED)]
            if not left:
                continue
            victim = data.draw(st.sampled_from(left))
            for number in segment_numbers(path):
                segment = path / f"{number:010d}.seg"
                content = bytearray(segment.read_bytes())
                at = content.find(victim.encode())
                if at >= 0:
                    content[at] ^= 1
                    segment.write_bytes(content)
                    self._hit(expected, victim)
            return

    @rule(process=processes)
    def delete_under(self, process: Process) -> None:
        """Somebody deletes the segments of a living process: what was in them may be lost, what comes is not."""
        if process not in self.alive:
            return
        expected = self.expected[process.folder]
        for number in segment_numbers(process.folder):
            (process.folder / f"{number:010d}.seg").unlink()
        process.journal.heal()
        for name in SINKS:
            self.hit[name] |= set(expected.left(name))
        expected.damaged = True

    def _hit(self, expected: Expected, victim: str) -> None:
        expected.damaged = True
        self.changed.add(victim)
        for name in SINKS:
            self.hit[name].add(victim)

    def _die(self, process: Process) -> None:
        type(self).crashes += 1
        process.die()
        self.alive.remove(process)

    # -- what always holds ---------------------------------------------------------------------------------------------

    @invariant()
    def nothing_twice_and_nothing_invented(self) -> None:
        """A store has each record once, and none that nobody recorded."""
        type(self).steps += 1
        for name in SINKS:
            assert len(self.stores[name]) == len(set(self.stores[name]))
            assert set(self.stores[name]) <= set(self.accepted)

    @invariant()
    def the_numbers_are_the_models(self) -> None:
        """What a living process says is pending, held and appended is what the model says."""
        for process in self.alive:
            own = self.expected[process.folder]
            sizes = [(process.folder / f"{n:010d}.seg").stat().st_size for n in segment_numbers(process.folder)]
            assert process.journal.bytes == sum(sizes)
            assert process.journal.mark()[1] == len(own.ids)
            known = [own, *(self.expected[path] for path in process.adopted())]
            if not any(one.damaged for one in known):
                for name in SINKS:
                    assert process.pending(name) == sum(len(one.left(name)) for one in known)

    @invariant()
    def nobody_keeps_what_all_have_passed(self) -> None:
        """Segments before every sink's position are gone."""
        for process in self.alive:
            first = min(position.at[0] for position in process.writer._positions.values())
            assert all(number >= first for number in segment_numbers(process.folder))

    def teardown(self) -> None:
        """Everybody dies; one more process delivers what is left: every record that was not hit is there once."""
        for process in list(self.alive):
            self._die(process)
        last = self._started(2)
        self.adopt(last)
        self._deliver_all(last)
        last.writer._others.look()
        assert list(owner_folders(self.directory)) == [last.folder]
        for name in SINKS:
            assert set(self.accepted) - self.hit[name] <= set(self.stores[name])
            assert last.pending(name) == 0
            missing = set(self.accepted) - self.hit[name] - set(self.stores[name])
            twice = len(self.stores[name]) - len(set(self.stores[name]))
            tally.count(name, tried=len(self.accepted) - len(self.hit[name]), lost=len(missing), twice=twice)
        last.close()
        self.loop.close()
        self.folder.cleanup()


def play(examples: int, steps: int) -> None:
    """Play so many games of so many steps."""
    Journals.steps = Journals.crashes = 0
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Journals,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    tally.count("journal", kills=Journals.crashes)
    print(f"{Journals.steps} steps, {Journals.crashes} crashes")


def test_the_journal_does_as_its_model() -> None:
    """A few hundred steps of append, rotate, deliver, crash, tear, adopt and delete, in any order."""
    play(examples=20, steps=30)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_journal_does_as_its_model_for_long() -> None:
    """Tens of thousands of steps of the same."""
    play(examples=1000, steps=60)
