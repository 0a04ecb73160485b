"""This module is where a journal is read by another process while its owner appends, rotates, stumbles and dies."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aicore_obs.pipeline.allowance import MIN_SEGMENT_BYTES, Allowance
from aicore_obs.pipeline.external import ExternalJournal
from aicore_obs.pipeline.journal import header_of
from aicore_obs.pipeline.living import LivingJournal
from aicore_obs.pipeline.owners import START, Owner, Position
from aicore_obs.pipeline.segment import frame


class OwnerAndReader(RuleBasedStateMachine):
    """What the owner appended comes to the reader once each and in order, whatever happens in between."""

    @initialize()
    def begin(self) -> None:
        """Make a journal with small segments, and a reader who knows nothing of its writer but the files."""
        self.folder = tempfile.TemporaryDirectory()
        directory = Path(self.folder.name) / "some.journal"
        self.owner = Owner.create(directory)
        self.journal = ExternalJournal(
            self.owner,
            header=header_of("0123456789abcdef", ["sqlite:/x.db"], external=True),
            allowance=Allowance(directory, 1024**3),
        )
        self.journal._segment_bytes = MIN_SEGMENT_BYTES
        self.appended: list[bytes] = []
        self.got: list[bytes] = []
        self.seen = 0
        self.at: Position = START
        self.torn = False
        self.come_back()

    def come_back(self) -> None:
        """Start a reader where the one before had got to."""
        self.reader = LivingJournal(Owner.of_another(self.owner.path), self.at)
        self.seen = len(self.got)

    @precondition(lambda self: not self.torn)
    @rule(size=st.sampled_from([1, 200, 5_000, 40_000, MIN_SEGMENT_BYTES * 3]), count=st.integers(1, 4))
    def append(self, size: int, count: int) -> None:
        """The owner records; now and then that begins a segment."""
        for _ in range(count):
            line = b'"%d%s"' % (len(self.appended), b"x" * size)
            assert self.journal.append(line) is None
            self.appended.append(line)

    @precondition(lambda self: not self.torn and self.journal._fd >= 0)
    @rule(part=st.floats(0.01, 0.99))
    def tear(self, part: float) -> None:
        """A record is only half written, as a full disk does it, or a reader who comes in the middle sees it."""
        data = frame(b'"half of this"')
        os.write(self.journal._fd, data[: max(1, int(len(data) * part))])
        self.torn = True

    @precondition(lambda self: self.torn)
    @rule()
    def cut(self) -> None:
        """The owner cuts it off again."""
        os.ftruncate(self.journal._fd, self.journal._size)
        self.torn = False

    @rule()
    def look(self) -> None:
        """The reader takes in what is there: every whole record, and never half of one."""
        self.seen += len(self.reader.look_through())
        assert self.seen == len(self.appended)

    @rule()
    def look_at_little(self) -> None:
        """The reader takes in a little of it."""
        self.seen += len(self.reader.look(max_bytes=1))
        assert self.seen <= len(self.appended)

    @rule(size=st.sampled_from([1, 10_000, 1_000_000]))
    def deliver(self, size: int) -> None:
        """The reader hands some of it on, keeps its place, and deletes what its owner has left."""
        chunk = self.reader.read(self.at, size)
        assert not chunk.damaged
        self.got += chunk.lines
        self.at = chunk.next if chunk.lines else self.at
        self.reader.trim(self.at)

    @rule()
    def die_and_come_back(self) -> None:
        """The reader dies, and another one goes on."""
        self.come_back()

    @precondition(lambda self: not self.torn)
    @rule()
    def leave_segment(self) -> None:
        """The owner looks around: what is delivered may go with the next record."""
        self.journal.leave_segment(self.at)

    @invariant()
    def in_order_and_once(self) -> None:
        """What the reader has is the beginning of what was appended."""
        assert self.got == self.appended[: len(self.got)]
        assert self.owner.segment(self.journal._number).exists() or not self.appended

    def teardown(self) -> None:
        """The owner dies, perhaps in the middle of a record; all that it had accepted comes through."""
        self.journal.close(remove=False)
        assert self.reader.owner.claim()
        self.reader.finish()
        damaged = 0
        while self.reader.look_through() or self.at < self.reader.end():
            chunk = self.reader.read(self.at, 1_000_000)
            self.got += chunk.lines
            damaged += len(chunk.damaged)
            self.at = chunk.next
        assert self.got == self.appended
        assert damaged == int(self.torn)
        self.reader.owner.release()
        self.folder.cleanup()


OwnerAndReader.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_owner_and_reader = OwnerAndReader.TestCase
