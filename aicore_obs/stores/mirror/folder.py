"""This module is where the files of a mirror lie: parts that never change, and one list of those that count.

What a file holds is compared with its checksum whenever it is opened, and read through the handle that was checked. So
a file that was cut, changed or taken from elsewhere is never read, and one that is deleted meanwhile can still be.
"""

from __future__ import annotations

import io
import os
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
import polars as pl
from filelock import FileLock, Timeout

_LIST = "parts.json"
_LOCK = "lock"
_PART = ".parquet"
_DRAFT = ".draft"
_CHUNK_BYTES = 1 << 20


class Unwritable(Exception):  # noqa: N818 - a state, not a mistake
    """A file of a mirror cannot be written."""


class Damaged(Exception):  # noqa: N818 - a state, not a mistake
    """A file of a mirror is not what was written."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A file of rows; ``first`` and ``last`` are the times of its rows in microseconds."""

    name: str
    rows: int
    size: int
    crc: int
    first: int
    last: int


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The mirror of so many operations would not have fitted."""

    operations: int
    max_bytes: int


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """Which parts count, in their order, and of which moment of which database they are."""

    layout: str
    identity: str
    mark: str
    revisions: int = 0
    parts: tuple[Part, ...] = ()
    refused: Refused | None = None

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


class Folder:
    """The folder of one mirror."""

    def __init__(self, path: Path, *, file_mode: int) -> None:
        self.path = path
        self._mode = file_mode

    def make(self) -> None:
        """Make the folder, for whoever may read the files and nobody else. Raises :class:`Unwritable`."""
        if not self.path.is_dir():
            mode = self._mode | (self._mode & 0o444) >> 2
            with _translated():
                self.path.mkdir(mode=mode, parents=True, exist_ok=True)

    @contextmanager
    def locked(self, timeout_s: float) -> Iterator[bool]:
        """Keep other writers of the mirror away for a block; False: another one is at it."""
        lock = FileLock(self.path / _LOCK, timeout=timeout_s, thread_local=False, mode=self._mode)
        try:
            with _translated():
                lock.acquire()
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def listed(self) -> Listed | None:
        """Return the list, None when there is none that can be believed."""
        try:
            crc, _, text = (self.path / _LIST).read_bytes().partition(b"\n")
            return msgspec.json.decode(text, type=Listed) if int(crc, 16) == zlib.crc32(text) else None
        except (OSError, ValueError, msgspec.ValidationError):
            return None

    def put_on_list(self, listed: Listed) -> None:
        """Put a list in the place of the one before."""
        text = msgspec.json.encode(listed)
        draft = self.path / f"{uuid.uuid4().hex}{_DRAFT}"
        self._write(draft, [b"%08x\n" % zlib.crc32(text), text])
        with _translated():
            draft.replace(self.path / _LIST)

    def write(self, frame: pl.DataFrame) -> Part:
        """Write rows, which are in order, into a part that counts only when it is listed."""
        data = io.BytesIO()
        frame.write_parquet(data, compression="zstd")
        name = f"{uuid.uuid4().hex}{_PART}"
        self._write(self.path / name, [data.getbuffer()])
        times = frame["timestamp"].to_physical()
        return Part(
            name=name,
            rows=frame.height,
            size=data.getbuffer().nbytes,
            crc=zlib.crc32(data.getbuffer()),
            first=times[0],
            last=times[-1],
        )

    def read(self, part: Part) -> pl.DataFrame:
        """Return the rows of a part.

        Raises:
            Damaged: they are not what was written.
        """
        with self.opened([part]) as (file,):
            return pl.read_parquet(file)

    @contextmanager
    def opened(self, parts: Sequence[Part]) -> Iterator[list[BinaryIO]]:
        """Open parts for a block.

        Raises:
            Damaged: one of them is not what was written.
        """
        with ExitStack() as stack:
            yield self.open(parts, stack)

    def open(self, parts: Sequence[Part], stack: ExitStack) -> list[BinaryIO]:
        """Open parts; ``stack`` closes them. Raises as :meth:`opened` does."""
        try:
            files: list[BinaryIO] = [stack.enter_context((self.path / part.name).open("rb")) for part in parts]
            for part, file in zip(parts, files, strict=True):
                _check(part, file)
        except OSError as error:
            raise Damaged(str(error)) from error
        return files

    def sweep(self, kept: Iterable[Part]) -> bool:
        """Delete what does not count, and return whether all of it went; whoever has it open reads on."""
        names = {part.name for part in kept}
        left = [path for path in self.path.iterdir() if path.suffix in (_PART, _DRAFT) and path.name not in names]
        for path in left:
            # Where open files cannot be deleted, the next sweep takes it.
            with suppress(OSError):
                path.unlink()
        return not any(path.exists() for path in left)

    def remove(self) -> bool:
        """Delete what is in the mirror, and return whether all of it went; the lock stays, for those that wait."""
        with suppress(OSError):
            (self.path / _LIST).unlink(missing_ok=True)
            return self.sweep(())
        return not self.path.exists()

    def _write(self, path: Path, pieces: Iterable[bytes | memoryview]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with _translated(), os.fdopen(os.open(path, flags, self._mode), "wb") as file:
            for piece in pieces:
                file.write(piece)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Timeout:
        # It is an OSError, too.
        raise
    except OSError as error:
        raise Unwritable(str(error)) from error


def _check(part: Part, file: BinaryIO) -> None:
    crc = size = 0
    while chunk := file.read(_CHUNK_BYTES):
        crc = zlib.crc32(chunk, crc)
        size += len(chunk)
    if (crc, size) != (part.crc, part.size):
        raise Damaged(f"{part.name} is not what was written")
    file.seek(0)
