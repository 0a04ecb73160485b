"""This module is where a journal's directory is looked at from outside: nothing is delivered, adopted or changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from filelock import FileLock

from aicore_obs.model.record import CODEC_VERSION
from aicore_obs.pipeline import dead_letters
from aicore_obs.pipeline.journal import LeftJournal
from aicore_obs.pipeline.owners import LOCK_NAME, POSITIONS_NAME, SEGMENT_SUFFIX, START, Owner, bytes_in, owner_folders
from aicore_obs.pipeline.segment import SegmentHeader
from aicore_obs.pipeline.writer import journal_header

_CHUNK_BYTES = 1024 * 1024
# What a crash may leave beside the file that it was about to replace.
_DRAFT_SUFFIX = ".new"
_SEGMENT_NAME = re.compile(r"\d{10}" + re.escape(SEGMENT_SUFFIX))
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
    pieces) that each sink does not have yet.
    """

    path: Path
    alive: bool
    header: SegmentHeader | None
    bytes: int
    pending: dict[str, int]

    @property
    def is_newer(self) -> bool:
        """Return whether a newer program wrote it, so that it must be left alone."""
        return self.header is not None and self.header.codec > CODEC_VERSION

    @property
    def sinks(self) -> tuple[str, ...]:
        """Return the sinks that its records are for; none when nothing says so."""
        return self.header.sinks if self.header is not None else ()

    @property
    def waiting(self) -> int:
        """Return how many records at least one sink does not have yet."""
        return max(self.pending.values(), default=0)


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
        elif path.name not in _OURS_IN_DIRECTORY:
            yield path


def _look(path: Path) -> OwnerLook:
    header = journal_header(path)
    return OwnerLook(
        path=path,
        alive=_is_alive(path),
        header=header,
        bytes=bytes_in(path),
        pending=_pending(path, header) if header is not None else {},
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


def _pending(path: Path, header: SegmentHeader) -> dict[str, int]:
    """Count what is left for each sink. The owner may be at work: a segment that goes meanwhile has been delivered."""
    owner = Owner(path, FileLock(path / LOCK_NAME))
    counts = dict.fromkeys(header.sinks, 0)
    try:
        journal = LeftJournal(owner)
        positions = owner.load_positions(header.sinks)
        at = min((position.at for position in positions.values()), default=START)
        while at < journal.end():
            chunk = journal.read(at, _CHUNK_BYTES)
            for name, position in positions.items():
                counts[name] += chunk.count_after(position.at)
            at = chunk.next
    except FileNotFoundError:
        return counts
    return counts
