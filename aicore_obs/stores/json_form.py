"""This module is where it is said how elements stand in a JSON file, as an array or as lines, and where they end.

An array of ours is one element a line and closes with a bracket on a line of its own. One that another program has
laid out in its own way is parsed whole, until the first record of ours stands at its end.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from typing import Protocol

import msgspec

WINDOW = 64 * 1024
# A torn write leaves one line that is no element, lost power perhaps a few; after that a file is not ours.
_LINES_BACK = 100
_BETWEEN = re.compile(r"[\s,]*")


class Form(Protocol):
    """How the elements of a file are written and found. Offsets are in bytes; ``fd`` is open for reading."""

    name: str
    opening: bytes
    closing: bytes
    # What goes behind the last whole element of a torn file, before ``closing``.
    seam: bytes

    def joined(self, lines: Sequence[bytes], *, first: bool) -> bytes:
        """Return the bytes that put ``lines`` behind what is there."""

    def find_end(self, fd: int, size: int) -> int | None:
        """Return where the elements end, None when the file does not end as it should."""

    def end_of_whole(self, fd: int, size: int) -> int:
        """Return where the last whole element of a torn file ends."""


class _Record(msgspec.Struct):
    kind: str
    id: str


class ArrayForm:
    """A JSON array; new elements overwrite its closing bracket."""

    name = "array"
    opening = b"["
    closing = b"\n]\n"
    seam = b""

    def joined(self, lines: Sequence[bytes], *, first: bool) -> bytes:
        start = b"\n" if first else b",\n"
        return start + b",\n".join(lines) + self.closing

    def find_end(self, fd: int, size: int) -> int | None:
        tail = read(fd, max(0, size - WINDOW), min(size, WINDOW))
        bare = tail.rstrip()
        if not bare.endswith(b"]"):
            return None
        end = size - len(tail) + len(bare[:-1].rstrip())
        is_ours = bare.endswith(b"\n]") and _ends_with_record(fd, end)
        return end if is_ours or _is(read(fd, 0, size), list[msgspec.Raw]) else None

    def end_of_whole(self, fd: int, size: int) -> int:
        stop = size
        for _ in range(_LINES_BACK):
            start = _line_start(fd, stop)
            line = read(fd, start, stop - start).rstrip().removesuffix(b",")
            if _is(line, _Record):
                return start + len(line)
            if start == 0:
                break
            stop = start - 1
        return _end_by_parsing(read(fd, 0, size))


class LinesForm:
    """One JSON object a line. A damaged line among them is the reader's business; only the last can be torn."""

    name = "lines"
    opening = b""
    closing = b""
    seam = b"\n"

    def joined(self, lines: Sequence[bytes], *, first: bool) -> bytes:  # noqa: ARG002 - a duty of the protocol
        return b"".join(line + b"\n" for line in lines)

    def find_end(self, fd: int, size: int) -> int | None:
        return size if size == 0 or read(fd, size - 1, 1) == b"\n" else None

    def end_of_whole(self, fd: int, size: int) -> int:
        start = _line_start(fd, size)
        if _is(read(fd, start, size - start), dict[str, msgspec.Raw]):
            return size
        # The newline before the torn line is written again with the seam.
        return max(0, start - 1)


def read(fd: int, start: int, length: int) -> bytes:
    """Return so many bytes, or those that there are."""
    os.lseek(fd, start, os.SEEK_SET)
    parts: list[bytes] = []
    while length > 0:
        part = os.read(fd, length)
        if not part:
            break
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _ends_with_record(fd: int, end: int) -> bool:
    start = _line_start(fd, end)
    return _is(read(fd, start, end - start), _Record)


def _line_start(fd: int, stop: int) -> int:
    """Return where the line that ends before ``stop`` starts."""
    at = stop
    while at > 0:
        start = max(0, at - WINDOW)
        found = read(fd, start, at - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return 0


def _is(data: bytes, shape: object) -> bool:
    try:
        msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _end_by_parsing(data: bytes) -> int:
    """Return where the last whole element of an array ends, after its bracket when there is none."""
    text = data.decode("utf-8", "surrogateescape")
    decoder = json.JSONDecoder()
    end = text.index("[") + 1
    while between := _BETWEEN.match(text, end):
        try:
            _, at = decoder.raw_decode(text, between.end())
        except (ValueError, RecursionError):
            break
        if at == len(text) and text[-1] not in '"]}':
            # A number or a word at the very end may have lost its last characters.
            break
        end = at
    return len(text[:end].encode("utf-8", "surrogateescape"))
