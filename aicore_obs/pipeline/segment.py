"""This module is where a file of the journal is framed and read back.

A segment is eight bytes of magic, one frame with a JSON header, then one frame for each record::

    frame = b"\\xff\\xfe" · length (u32, little endian) · CRC-32 of the text (u32) · text (UTF-8 JSON)

The two marker bytes never occur in UTF-8, so that a reader that meets damage finds the next frame by looking for them:
a flipped bit costs the frame that it hit and no neighbour.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import msgspec

MAGIC = b"AICOREJ1"
MARK = b"\xff\xfe"
_FRAME = struct.Struct("<2sII")
FRAME_BYTES = _FRAME.size
SEGMENT_FORMAT = 1


class SegmentHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who wrote a segment and where its records belong.

    ``sinks`` are names without credentials; ``processors`` are the names of the application's own steps, which nobody
    else can run. ``external``: the process only appends, and somebody else delivers while it lives. ``max_bytes`` is
    the cap that the process was given, 0 where that is not known.
    """

    format: int
    codec: int
    fingerprint: str
    sinks: tuple[str, ...]
    pid: int
    host: str
    created: str
    processors: tuple[str, ...] = ()
    external: bool = False
    max_bytes: int = 0


class Piece(msgspec.Struct, frozen=True, gc=False):
    """One stretch of a segment: a record's text, or (``line`` None) bytes that are no frame. ``end`` is its end."""

    line: bytes | None
    end: int
    damaged: bytes = b""


def frame(line: bytes) -> bytes:
    """Return ``line`` as one frame."""
    return _FRAME.pack(MARK, len(line), zlib.crc32(line)) + line


def segment_start(header: SegmentHeader) -> bytes:
    """Return the bytes that a new segment starts with."""
    return MAGIC + frame(msgspec.json.encode(header))


def read_header(path: Path) -> SegmentHeader | None:
    """Return a segment's header, None when the file is no segment (empty, foreign, torn at the very start)."""
    with path.open("rb") as file:
        start = file.read(64 * 1024)
    if not start.startswith(MAGIC):
        return None
    pieces = split(start[len(MAGIC) :], final=True)
    if not pieces or pieces[0].line is None:
        return None
    try:
        return msgspec.json.decode(pieces[0].line, type=SegmentHeader)
    except msgspec.DecodeError:
        return None


def holds_records(path: Path) -> bool:
    """Return whether anything stands behind a segment's header: only then does its owner write here for good."""
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC) + FRAME_BYTES)
            size = path.stat().st_size
    except OSError:
        return False
    if len(start) < len(MAGIC) + FRAME_BYTES:
        return False
    _, length, _ = _FRAME.unpack_from(start, len(MAGIC))
    return bool(size > len(start) + length)


def split(data: bytes, *, final: bool) -> list[Piece]:
    """Split bytes that start at a frame into pieces; ``end`` counts from the start of ``data``.

    An unfinished frame at the end is left out, unless ``final``: then nothing follows any more, and what is no frame
    is damage.
    """
    pieces: list[Piece] = []
    at = 0
    while at < len(data):
        line = _frame_at(data, at)
        if line is not None:
            at += FRAME_BYTES + len(line)
            pieces.append(Piece(line, at))
            continue
        if not final and _may_be_unfinished(data, at):
            break
        stop = _next_frame(data, at + 1)
        if stop < 0:
            if not final:
                break
            stop = len(data)
        pieces.append(Piece(None, stop, data[at:stop]))
        at = stop
    return pieces


def _frame_at(data: bytes, at: int) -> bytes | None:
    start = at + FRAME_BYTES
    if start > len(data):
        return None
    mark, length, crc = _FRAME.unpack_from(data, at)
    if mark != MARK or start + length > len(data):
        return None
    line = data[start : start + length]
    return line if zlib.crc32(line) == crc else None


def _may_be_unfinished(data: bytes, at: int) -> bool:
    """Return whether the bytes at ``at`` look like a frame whose end has not been read yet."""
    if len(data) - at < FRAME_BYTES:
        return True
    mark, length, _ = _FRAME.unpack_from(data, at)
    return bool(mark == MARK and at + FRAME_BYTES + length > len(data))


def _next_frame(data: bytes, at: int) -> int:
    """Return where the next whole frame starts, -1 when there is none."""
    while (at := data.find(MARK, at)) >= 0:
        if _frame_at(data, at) is not None:
            return at
        at += 1
    return -1
