"""This module is where a journal's directory is looked at from outside: nothing is delivered, adopted or changed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from aicore_obs.guard import attempt
from aicore_obs.model.record import CODEC_VERSION
from aicore_obs.pipeline import dead_letters
from aicore_obs.pipeline.age import since
from aicore_obs.pipeline.allowance import Allowance
from aicore_obs.pipeline.journal import LeftJournal
from aicore_obs.pipeline.others import count_after, journal_header
from aicore_obs.pipeline.owners import (
    LOCK_NAME,
    POSITIONS_NAME,
    SEGMENT_SUFFIX,
    Owner,
    SinkPosition,
    bytes_in,
    owner_folders,
)
from aicore_obs.pipeline.role import DELIVERY, SEAT, SUFFIX, is_held
from aicore_obs.pipeline.segment import SegmentHeader

# A collector's default cap.
CAP_BYTES = 1024**3
# What a crash may leave beside the file that it was about to replace.
_DRAFT_SUFFIX = ".new"
_SEGMENT_NAME = re.compile(r"\d{10}" + re.escape(SEGMENT_SUFFIX))
_OUR_ROLE = re.compile(rf"[0-9a-f]{{16}}\.({DELIVERY}|{SEAT}){re.escape(SUFFIX)}")
_OUR_FOLDER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OURS_IN_OWNER = frozenset({LOCK_NAME, POSITIONS_NAME, str(Path(POSITIONS_NAME).with_suffix(_DRAFT_SUFFIX))})
_OURS_IN_DIRECTORY = frozenset(
    {
        dead_letters.FILE_NAME,
        dead_letters.LOCK_NAME,
        str(Path(dead_letters.FILE_NAME).with_suffix(_DRAFT_SUFFIX)),
    }
)


class OwnerLook(msgspec.Struct, frozen=True, kw_only=True):
    """One owner's folder as it was at one moment.

    ``alive``: its lock is held. ``header`` None: nothing in it says what it is. ``pending``: records (and damaged
    pieces) that each sink does not have yet; ``oldest_pending_s`` is the age of the oldest of them. ``positions`` have
    what became of the others, as far as whoever delivers has kept it.
    """

    path: Path
    alive: bool
    header: SegmentHeader | None
    bytes: int
    pending: dict[str, int]
    oldest_pending_s: float | None = None
    positions: dict[str, SinkPosition] = {}

    @property
    def is_newer(self) -> bool:
        """Return whether a newer program wrote it, so that it must be left alone."""
        return self.header is not None and self.header.codec > CODEC_VERSION

    @property
    def is_external(self) -> bool:
        """Return whether its process only appends, so that somebody else delivers while it lives."""
        return self.header is not None and self.header.external

    @property
    def sinks(self) -> tuple[str, ...]:
        """Return the sinks that its records are for; none when nothing says so."""
        return self.header.sinks if self.header is not None else ()

    @property
    def waiting(self) -> int:
        """Return how many records at least one sink does not have yet."""
        return max(self.pending.values(), default=0)


class JournalLook(msgspec.Struct, frozen=True, kw_only=True):
    """A journal's directory as it was at one moment.

    ``bytes`` are everything in it, ``max_bytes`` the cap that its processes were given, less where the disk is full.
    ``drain_alive``: somebody delivers for all the living processes that only append; None where there is none, or
    where we may not ask.
    """

    directory: Path
    owners: list[OwnerLook]
    dead_letters: int
    bytes: int
    max_bytes: int
    drain_alive: bool | None

    @property
    def oldest_pending_s(self) -> float | None:
        """Return the age of the oldest record that waits here."""
        return max((one.oldest_pending_s for one in self.owners if one.oldest_pending_s is not None), default=None)


def look_at(directory: Path) -> JournalLook:
    """Look at a journal's directory, and at everything in it."""
    owners = survey(directory)
    asked = max((one.header.max_bytes for one in owners if one.header is not None), default=0) or CAP_BYTES
    served = [
        is_held(DELIVERY, directory, one.header.fingerprint)
        for one in owners
        if one.alive and one.header is not None and one.header.external
    ]
    return JournalLook(
        directory=directory,
        owners=owners,
        dead_letters=len(dead_letters.DeadLetters(directory).all()),
        bytes=bytes_in(directory),
        max_bytes=Allowance(directory, asked).cap,
        drain_alive=None if not served or None in served else all(served),
    )


def survey(directory: Path) -> list[OwnerLook]:
    """Look at every owner's folder in a journal's directory, oldest first."""
    return [_look(path) for path in owner_folders(directory)]


def foreign_files(directory: Path) -> list[Path]:
    """Return what lies in a journal's directory and is nothing that this package puts there."""
    return sorted(_foreign(directory)) if directory.is_dir() else []


def _foreign(directory: Path) -> Iterator[Path]:
    for path in directory.iterdir():
        if path.is_dir() and _OUR_FOLDER.fullmatch(path.name):
            yield from (
                one
                for one in path.iterdir()
                if one.name not in _OURS_IN_OWNER and not _SEGMENT_NAME.fullmatch(one.name)
            )
        elif path.name not in _OURS_IN_DIRECTORY and not _OUR_ROLE.fullmatch(path.name):
            yield path


def _look(path: Path) -> OwnerLook:
    header = journal_header(path)
    alive, size = _is_alive(path), bytes_in(path)
    if header is None:
        return OwnerLook(path=path, alive=alive, header=None, bytes=size, pending={})
    owner = Owner.of_another(path)
    positions = owner.load_positions(header.sinks)
    # The owner may be at work: a segment that goes meanwhile has been delivered.
    journal = attempt(LeftJournal, owner).value
    recorded = since((journal, one.at) for one in positions.values()) if journal is not None else None
    return OwnerLook(
        path=path,
        alive=alive,
        header=header,
        bytes=size,
        pending=_pending(journal, positions),
        oldest_pending_s=max(0.0, time.time() - recorded) if recorded is not None else None,
        positions=positions,
    )


def _is_alive(path: Path) -> bool:
    if not (path / LOCK_NAME).exists():
        return False
    # Held for a moment: a neighbour that looks for the dead just now finds this one at its next look.
    owner = Owner.take(path)
    if owner is None:
        return True
    owner.release()
    return False


def _pending(journal: LeftJournal | None, positions: dict[str, SinkPosition]) -> dict[str, int]:
    """Count what is left for each sink."""
    if journal is None:
        return dict.fromkeys(positions, 0)
    return attempt(count_after, journal, positions).value or dict.fromkeys(positions, 0)
