"""This module is where it is kept beside a JSON file what was deleted from it; whoever holds the file's lock may look.

One JSON line a deletion, in ``<file>.deletions``. What left it for an archive is no deletion; ``<file>.archives`` names
the archives.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path

import msgspec

from aicore_obs.errors import SinkUnavailable
from aicore_obs.model.deletion import Deletion

SUFFIX = ".deletions"
ARCHIVES_SUFFIX = ".archives"
_lines = msgspec.json.Decoder(Deletion)


def kept_beside(path: Path) -> list[Deletion]:
    """Return what was deleted from a file.

    Raises:
        SinkUnavailable: that is kept, and cannot be read: nothing may come back.
    """
    beside = path.with_name(path.name + SUFFIX)
    try:
        return [_lines.decode(line) for line in beside.read_bytes().splitlines()]
    except FileNotFoundError:
        return []
    except msgspec.DecodeError as error:
        raise SinkUnavailable(
            f"{beside} cannot be read ({error}); restore it, or run `aicore-obs prune` again"
        ) from error


def is_as_written(path: Path) -> bool:
    """Return whether nothing ever left a file, so that everything in it lies where it was written."""
    return not any(path.with_name(path.name + suffix).exists() for suffix in (SUFFIX, ARCHIVES_SUFFIX))


def keep_beside(path: Path, deletion: Deletion, *, file_mode: int) -> None:
    """Keep a deletion, in the place of those that it replaces."""
    kept = [one for one in kept_beside(path) if not deletion.replaces(one)]
    text = b"".join(msgspec.json.encode(one) + b"\n" for one in (*kept, deletion))
    replace(path.with_name(path.name + SUFFIX), [text], file_mode=file_mode)


def ids_of(deletions: Sequence[Deletion]) -> Mapping[str, Set[str]]:
    """Return the operations of each deletion that is by id."""
    return {one.id: frozenset(one.operation_ids) for one in deletions}


def replace(path: Path, pieces: Iterable[bytes], *, file_mode: int) -> None:
    """Put another content in a file's place: the old one or the new one is there, whenever the machine stops."""
    draft = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(draft, flags, file_mode), "wb") as file:
        if path.exists():
            shutil.copymode(path, draft)
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
