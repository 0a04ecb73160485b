"""This module is where the journals of others are taken on: of dead processes, and of living ones without a writer.

A folder whose lock is free belongs to the dead: whoever gets the lock delivers it. A folder of a process with
``writer="external"``, dead or alive, is delivered by whoever holds the role of delivery (see :mod:`.role`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from aicore_obs.guard import attempt, log_window
from aicore_obs.model.record import CODEC_VERSION
from aicore_obs.pipeline.cursor import Cursor
from aicore_obs.pipeline.delivery import Delivery
from aicore_obs.pipeline.journal import LeftJournal
from aicore_obs.pipeline.living import LivingJournal
from aicore_obs.pipeline.owners import FILE_MODE, START, Owner, Position, SinkPosition, owner_folders, segment_numbers
from aicore_obs.pipeline.role import DELIVERY, SEAT, Role, is_held
from aicore_obs.pipeline.segment import SEGMENT_FORMAT, SegmentHeader, read_header


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Whose records one writer takes on. ``follow``: also those of living processes that have no writer.

    ``gives_way``: no longer when an ``aicore-obs drain --watch`` is there for that.
    """

    directory: Path | None
    fingerprint: str
    file_mode: int = FILE_MODE
    follow: bool = True
    gives_way: bool = True


class Adopted:
    """The journal of somebody else, while we deliver it."""

    def __init__(
        self, owner: Owner, journal: LeftJournal | LivingJournal, positions: dict[str, SinkPosition], *, external: bool
    ) -> None:
        self.owner = owner
        self.journal = journal
        self.positions = positions
        self.external = external
        self.lives = isinstance(journal, LivingJournal)

    @property
    def is_delivered(self) -> bool:
        """Return whether nothing is left here and nothing will come."""
        end = self.journal.end()
        return not self.lives and all(position.at >= end for position in self.positions.values())

    def save(self) -> None:
        """Keep the positions, for the case that we die too."""
        self.owner.save_positions(self.positions)

    def trim(self) -> None:
        """Delete what every sink has and the owner has left."""
        if self.lives:
            self.journal.trim(min(position.at for position in self.positions.values()))

    def bury(self) -> bool:
        """Take the folder for our own if its owner has died; return whether it has."""
        if isinstance(self.journal, LivingJournal) and (not self.owner.path.is_dir() or self.owner.claim()):
            self.journal.finish()
            self.lives = False
        return not self.lives


class Others:
    """What one writer delivers for others, beside its own journal. On the writer's loop only."""

    def __init__(self, reach: Reach, deliveries: Sequence[Delivery], ring: Callable[[], None]) -> None:
        self._reach = reach
        self._deliveries = deliveries
        self._ring = ring
        self._adopted: dict[Path, Adopted] = {}
        self._role: Role | None = None
        # Records that only a newer program can read.
        self.newer = 0

    @property
    def is_following(self) -> bool:
        """Return whether somebody lives whose records we deliver."""
        return any(one.lives for one in self._adopted.values())

    def look(self, *, thoroughly: bool = False) -> None:
        """Take on every folder that is for us to take; ``thoroughly``: with everything that is in it now."""
        newer = 0
        for path in owner_folders(self._reach.directory) if self._reach.directory is not None else ():
            # What another disk, another user or another program has done to a folder must not stop our own road.
            found = attempt(self._look_at, path)
            newer += found.value or 0
            if found.error is not None:
                log_window.warn(f"adopt {path}", f"{path} cannot be looked at: {found.error}")
        self.newer = newer
        self.follow(thoroughly=thoroughly)
        attempt(self._give_way)
        self.let_go_of_delivered()
        self._ring()

    def follow(self, *, thoroughly: bool = False) -> None:
        """Take in what living processes have appended since."""
        more = [attempt(self._take_in, one, thoroughly=thoroughly) for one in self._living()]
        for path, found in zip([one.owner.path for one in self._living()], more, strict=True):
            if found.error is not None:
                log_window.warn(f"follow {path}", f"{path} cannot be read: {found.error}")
        if any(found.value for found in more):
            self._ring()

    def _living(self) -> list[Adopted]:
        return [one for one in self._adopted.values() if one.lives]

    def let_go_of_delivered(self) -> None:
        """Delete the folders in which nothing is left."""
        for path, adopted in list(self._adopted.items()):
            if adopted.is_delivered:
                self._detach(path)
                adopted.owner.remove()

    def release(self) -> None:
        """Leave everything to whoever comes next."""
        for adopted in self._adopted.values():
            adopted.owner.release()
        if self._role is not None:
            self._role.release()

    # -- taking on -------------------------------------------------------------------------------------------------

    def _look_at(self, path: Path) -> int:
        """Take one folder on, if it is ours to take; return how many records in it only a newer program reads."""
        known = self._adopted.get(path)
        if known is not None:
            if known.lives and known.bury():
                self._take_in(known, thoroughly=True)
            return 0
        header = journal_header(path)
        if header is not None and not self._is_for_us(header):
            return 0
        owner = Owner.take(path, file_mode=self._reach.file_mode)
        if owner is None:
            if header is not None and header.external and self._reach.follow and not _is_newer(header):
                self._begin_to_follow(path)
            return 0
        try:
            return self._take_over(owner)
        except OSError:
            owner.release()
            raise

    def _is_for_us(self, header: SegmentHeader) -> bool:
        return header.fingerprint == self._reach.fingerprint and (not header.external or self._have_role())

    def _have_role(self) -> bool:
        directory, fingerprint = self._reach.directory, self._reach.fingerprint
        if directory is not None and self._role is None and not self._somebody_sits(directory):
            self._role = Role.take(DELIVERY, directory, fingerprint, file_mode=self._reach.file_mode)
        return self._role is not None

    def _somebody_sits(self, directory: Path) -> bool:
        return self._reach.gives_way and bool(is_held(SEAT, directory, self._reach.fingerprint))

    def _take_over(self, owner: Owner) -> int:
        # Once more: its owner may have written and died since.
        header = journal_header(owner.path)
        if owner.is_empty():
            owner.remove()
        elif header is None:
            # Not a segment of ours, or damaged from its first byte on: `doctor` shows it, nobody guesses.
            log_window.warn(f"foreign {owner.path}", f"no readable journal segment in {owner.path}; left alone")
            owner.release()
        elif not self._is_for_us(header):
            owner.release()
        elif _is_newer(header):
            newer = count_after(LeftJournal(owner), {"": SinkPosition()})[""]
            log_window.warn(f"newer {owner.path}", f"{owner.path} was written by a newer version; left alone")
            owner.release()
            return newer
        else:
            self._deliver_for(owner, header)
        return 0

    def _deliver_for(self, owner: Owner, header: SegmentHeader) -> None:
        positions = owner.load_positions([delivery.name for delivery in self._deliveries])
        adopted = Adopted(owner, LeftJournal(owner), positions, external=header.external)
        counts = count_after(adopted.journal, positions)
        self._attach(adopted)
        for delivery in self._deliveries:
            delivery.adopted += counts[delivery.name]

    def _begin_to_follow(self, path: Path) -> None:
        owner = Owner.of_another(path, file_mode=self._reach.file_mode)
        positions = owner.load_positions([delivery.name for delivery in self._deliveries])
        journal = LivingJournal(owner, min(position.at for position in positions.values()))
        self._attach(Adopted(owner, journal, positions, external=True), noted_until=LeftJournal(owner).end())

    def _attach(self, adopted: Adopted, noted_until: Position | None = None) -> None:
        self._adopted[adopted.owner.path] = adopted
        for delivery in self._deliveries:
            position = adopted.positions[delivery.name]
            cursor = Cursor(adopted.journal, position, ours=False, save=adopted.save, passed=adopted.trim)
            cursor.noted_until = noted_until
            delivery.cursors.append(cursor)

    def _take_in(self, adopted: Adopted, *, thoroughly: bool) -> bool:
        """Count what an owner has appended since the last look; return whether there is anything."""
        if not isinstance(adopted.journal, LivingJournal):
            return False
        ends = adopted.journal.look_through() if thoroughly else adopted.journal.look()
        for delivery in self._deliveries:
            at = adopted.positions[delivery.name].at
            delivery.adopted += sum(end > at for end in ends)
        return bool(ends)

    # -- giving up -------------------------------------------------------------------------------------------------

    def _give_way(self) -> None:
        """Leave the processes without a writer to a drain that is there for them, when no batch is on its way."""
        if self._role is None or self._reach.directory is None or not self._somebody_sits(self._reach.directory):
            return
        external = {path: one for path, one in self._adopted.items() if one.external}
        cursors = [cursor for one in external.values() for _, cursor in self._cursors_of(one)]
        for cursor in cursors:
            cursor.retired = True
        if any(cursor.busy for cursor in cursors):
            return
        for path, adopted in external.items():
            left = count_after(adopted.journal, adopted.positions)
            for delivery in self._deliveries:
                delivery.adopted -= left[delivery.name]
            self._detach(path)
            adopted.owner.release()
        self._role.release()
        self._role = None

    def _detach(self, path: Path) -> None:
        adopted = self._adopted.pop(path)
        for delivery, cursor in list(self._cursors_of(adopted)):
            delivery.cursors = [one for one in delivery.cursors if one is not cursor]

    def _cursors_of(self, adopted: Adopted) -> Iterator[tuple[Delivery, Cursor]]:
        for delivery in self._deliveries:
            yield from ((delivery, one) for one in delivery.cursors if one.source is adopted.journal)


def journal_header(path: Path) -> SegmentHeader | None:
    """Return the header of the first readable segment in an owner's folder."""
    for number in segment_numbers(path):
        try:
            header = read_header(path / f"{number:010d}.seg")
        except OSError:
            continue
        if header is not None:
            return header
    return None


def _is_newer(header: SegmentHeader) -> bool:
    return header.codec > CODEC_VERSION or header.format > SEGMENT_FORMAT


def count_after(journal: LeftJournal | LivingJournal, positions: dict[str, SinkPosition]) -> dict[str, int]:
    """Return how many records (or damaged pieces) each sink has not had yet."""
    counts = dict.fromkeys(positions, 0)
    at: Position = min((position.at for position in positions.values()), default=START)
    while at < journal.end():
        chunk = journal.read(at, 1024 * 1024)
        for name, position in positions.items():
            counts[name] += chunk.count_after(position.at)
        at = chunk.next
        time.sleep(0)
    return counts
