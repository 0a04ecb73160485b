"""This module is where files of an export are written: whole or not at all, with what a manifest says of them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec


class Written(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file of an export, as its manifest says it."""

    name: str
    rows: int
    bytes: int
    sha256: str
    split: str | None = None


class WholeFile:
    """A file that is there when the block has ended well, and as it was before when it has not."""

    def __init__(self, path: str | Path, *, split: str | None = None) -> None:
        self.path = Path(path)
        self._part = self.path.with_name(f"{self.path.name}.part")
        self._split = split
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None
        self.rows = 0
        self.size = 0

    def add(self, data: bytes, *, rows: int = 1) -> None:
        """Write so many rows."""
        if self._file is None:
            raise AssertionError("a file is written within its block")
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)
        self.rows += rows

    @property
    def written(self) -> Written:
        """What was written."""
        return Written(
            name=self.path.name, rows=self.rows, bytes=self.size, sha256=self._hash.hexdigest(), split=self._split
        )

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("wb")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if error is None:
            os.replace(self._part, self.path)
        else:
            self._part.unlink(missing_ok=True)
