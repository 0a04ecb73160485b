"""This module is where an archive's manifest is kept: which files belong to it. What it does not name is never read.

``manifest.json`` lies at the top of the archive and is written anew as a whole; ``month=2026-01/`` beside it are the
Hive partitions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from hashlib import file_digest
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from aicore_obs.errors import ConfigurationError, StoreDamagedError, StoreError
from aicore_obs.model.ids import utc_now
from aicore_obs.model.record import CODEC_VERSION
from aicore_obs.stores.catalogue import Catalogue, catalogue_of
from aicore_obs.stores.json_deletions import replace

NAME = "manifest.json"
# Of the files and their columns; a reader that meets a higher one leaves the archive alone.
FORMAT = 1
_LOCK_TIMEOUT_S = 1.0


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file: where it is below the archive, the rows that it has and the times of its operations, first and last.

    ``checksum`` is the SHA-256 of its bytes, taken when its rows had been read back and were what the store had said.
    ``before`` is what was asked for.
    """

    path: str
    rows: int
    first: datetime
    last: datetime
    size_bytes: int
    checksum: str
    before: datetime
    verified_at: datetime


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to an archive: its id, the store that it is of, its files, and the keys of labels and extras."""

    id: str
    store: str
    format: int = FORMAT
    record_version: int = CODEC_VERSION
    created_at: datetime = msgspec.field(default_factory=utc_now)
    updated_at: datetime = msgspec.field(default_factory=utc_now)
    keys: dict[str, dict[str, list[str]]] = {}
    files: tuple[File, ...] = ()

    @property
    def catalogue(self) -> Catalogue:
        """The keys of labels and extras with their types."""
        return catalogue_of(_rows(self.keys))

    @property
    def last(self) -> datetime | None:
        """The time of the last operation; None where there is none."""
        return max((file.last for file in self.files), default=None)

    def within(self, first: datetime | None, last: datetime | None) -> list[File]:
        """Return the files that may have operations between two times, these included."""
        return [
            file
            for file in self.files
            if (first is None or file.last >= first) and (last is None or file.first <= last)
        ]

    def with_file(self, file: File) -> Manifest:
        """Return the manifest with one file more."""
        return msgspec.structs.replace(self, files=(*self.files, file), updated_at=utc_now())

    def with_keys(self, catalogue: Catalogue) -> Manifest:
        """Return the manifest with these keys besides."""
        both = united(self.catalogue, catalogue)
        keys = {field: {key: sorted(types) for key, types in sorted(both[field].items())} for field in sorted(both)}
        return msgspec.structs.replace(self, keys=keys)


def united(one: Catalogue, other: Catalogue) -> Catalogue:
    """Return the keys of two catalogues in one."""
    rows = (
        (field, key, kind)
        for catalogue in (one, other)
        for field, keys in catalogue.items()
        for key, types in keys.items()
        for kind in types
    )
    return catalogue_of(rows)


def read(archive: Path) -> Manifest:
    """Return the manifest of an archive.

    Raises:
        StoreDamagedError: there is none, or it cannot be read.
    """
    found = look(archive)
    if found is None:
        raise StoreDamagedError(f"{archive} has no {NAME}, so that it is no archive; name the directory of --to")
    return found


def look(archive: Path) -> Manifest | None:
    """Return the manifest of an archive, None where there is none; raises as :func:`read` does."""
    path = archive / NAME
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, OSError) as error:
        raise StoreDamagedError(f"{path} cannot be read ({error}); restore it from a backup") from error
    if found.format > FORMAT:
        raise StoreDamagedError(
            f"{path} is of format {found.format}, and this program knows {FORMAT}; run `pip install -U aicore-obs`"
        )
    return found


def write(archive: Path, manifest: Manifest, *, file_mode: int) -> None:
    """Put a manifest in the place of the one before: that one or this one is there, whenever the machine stops."""
    replace(archive / NAME, [msgspec.json.format(msgspec.json.encode(manifest), indent=2)], file_mode=file_mode)
    sync_folder(archive)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder survive the loss of power, where the system can."""
    if os.name == "posix":
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def checksum_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def check(archive: Path, file: File) -> None:
    """Look whether a file still is what was verified.

    Raises:
        StoreDamagedError: it is not there, or it is another one.
    """
    path = archive / file.path
    if not path.exists():
        raise StoreDamagedError(f"{path} is missing, and the manifest names it; restore it; nothing was deleted")
    if path.stat().st_size != file.size_bytes or checksum_of(path) != file.checksum:
        raise StoreDamagedError(f"{path} is not what was verified; restore it; nothing was deleted")


@contextmanager
def locked(archive: Path, *, file_mode: int) -> Iterator[None]:
    """Keep everybody else from archiving into a directory, which is made where there is none.

    Raises:
        ConfigurationError: it can be no directory.
        StoreError: somebody archives into it now.
    """
    try:
        archive.mkdir(parents=True, exist_ok=True, mode=file_mode | (file_mode & 0o444) >> 2)
        with FileLock(archive / ".lock", timeout=_LOCK_TIMEOUT_S, thread_local=False, mode=file_mode):
            yield
    except Timeout as error:
        raise StoreError(f"{archive}: another program archives into it; try again when it is done") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigurationError(f"{archive} is no directory; name one for the archive") from error


def _rows(keys: Mapping[str, Mapping[str, list[str]]]) -> Iterator[tuple[str, str, str]]:
    for field, types in keys.items():
        for key, kinds in types.items():
            yield from ((field, key, kind) for kind in kinds)
