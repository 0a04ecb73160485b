"""This module is where operations are exported into a file: JSON lines, CSV or Parquet, whole or not at all.

Rows are read batch by batch and written as they come, so that memory does not grow with the store. What is written is
exact: amounts are Decimal (text where the format has no Decimal), ``labels`` and ``extras`` the JSON that was stored.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import polars as pl
from polars.io.plugins import register_io_source

from aicore_obs.errors import ConfigurationError
from aicore_obs.model.filter import Filter
from aicore_obs.model.frame_columns import OPINION_COLUMNS
from aicore_obs.protocols import Address, Reader
from aicore_obs.query.reader import columns_of, open_reader

# Rows in memory at a time; each may carry texts of megabytes.
EXPORT_ROWS = 2_000
# Parquet's own default, a quarter of a million, holds as many prompts in memory until a group is full.
ROW_GROUP_ROWS = 10_000
_JSON_OBJECTS = ("labels", "extras", *OPINION_COLUMNS)
# Columns that are JSON text in a frame, and JSON itself in JSON lines.
_EMBEDDED = frozenset({*_JSON_OBJECTS, "completion_args", "response"})
_encoder = msgspec.json.Encoder()

Frames = Iterator[pl.DataFrame]
Schema = Mapping[str, pl.DataType]
# Writes frames of one schema into an open file.
Write = Callable[[BinaryIO, Frames, Schema], object]


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What an export came to: the file, its format, how many operations and bytes it has."""

    path: Path
    format: str
    operations: int
    size_bytes: int


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """Where to and how: ``format`` None is told by the file's ending; ``tell`` is called with the number of rows."""

    path: Path
    format: str | None = None
    overwrite: bool = False
    file_mode: int = 0o600
    tell: Callable[[int], object] | None = None


def export(
    address: Address,
    filters: Mapping[str, Any],
    to: Export,
    *,
    before: Callable[[], object] | None = None,
    is_ours: bool = False,
) -> Exported:
    """Write the operations of one store that match into a file, in the filter's order.

    The file has its name only when it is whole: until then it stands beside it under another one, which is removed
    when anything goes wrong. Other arguments as in :func:`~aicore_obs.query.reader.read_frame`.

    Raises:
        ConfigurationError: no format of that name, or the file is there already, or is the store itself.
        FilterError: a filter name or value that does not exist.
        StoreNotFoundError: there is no store.
    """
    name = _format_of(to)
    query = Filter.of(**filters)
    _check_place(address, to)
    reader = open_reader(address, is_ours=is_ours)
    if before is not None:
        before()
    rows = _Rows(reader, query, to.tell)
    with _whole_or_nothing(to) as file:
        FORMATS[name](file, rows.frames(), rows.schema)
        size = file.tell()
    return Exported(path=to.path, format=name, operations=rows.count, size_bytes=size)


class _Rows:
    """The rows to export, counted as they pass."""

    def __init__(self, reader: Reader, query: Filter, tell: Callable[[int], object] | None) -> None:
        self._reader = reader
        self._query = query
        self._tell = tell
        self._columns = columns_of(query)
        full = reader.schema()
        texts = dict.fromkeys(_JSON_OBJECTS, pl.String())
        self.schema = {name: texts.get(name, full[name]) for name in self._columns}
        self.count = 0

    def frames(self) -> Frames:
        asked = tuple(f"{name}_json" if name in _JSON_OBJECTS else name for name in self._columns)
        for frame in self._reader.batches(self._query, asked, batch_rows=EXPORT_ROWS):
            yield frame.rename(dict(zip(asked, self._columns, strict=True)))
            self.count += frame.height
            if self._tell is not None:
                self._tell(self.count)


def _json_lines(file: BinaryIO, frames: Frames, schema: Schema) -> None:
    """Write one JSON object a row; nulls are members too, so that every line has the same keys."""
    embedded = [name for name in schema if name in _EMBEDDED]
    # Python would write the smallest amounts with an exponent.
    amounts = [pl.col(name).cast(pl.String) for name, dtype in schema.items() if dtype.is_decimal()]
    for frame in frames:
        for row in frame.with_columns(amounts).iter_rows(named=True):
            for name in embedded:
                row[name] = None if row[name] is None else msgspec.Raw(_one_line(row[name]))
            file.write(_encoder.encode(row) + b"\n")


def _one_line(text: str) -> bytes:
    data = text.encode()
    return msgspec.json.format(data, indent=-1) if b"\n" in data else data


def _csv(file: BinaryIO, frames: Frames, schema: Schema) -> None:
    """Write a header, which an empty export has too, and rows; nothing is null, two quotes are empty text."""
    pl.DataFrame(schema={name: _flat(dtype) for name, dtype in schema.items()}).write_csv(file)
    lists = [name for name, dtype in schema.items() if isinstance(dtype, pl.List)]
    for frame in frames:
        texts = [
            pl.Series(name, [None if one is None else _encoder.encode(one.to_list()).decode() for one in frame[name]],
                      dtype=pl.String)
            for name in lists
        ]  # fmt: skip
        frame.with_columns(texts).write_csv(file, include_header=False, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")


def _flat(dtype: pl.DataType) -> pl.DataType:
    return pl.String() if isinstance(dtype, pl.List) else dtype


def _parquet(file: BinaryIO, frames: Frames, schema: Schema) -> None:
    """Write row groups as the rows come."""

    def source(*_pushed_down: object) -> Frames:
        yield from frames

    scan = register_io_source(source, schema=schema)
    scan.sink_parquet(file, compression="zstd", row_group_size=ROW_GROUP_ROWS, maintain_order=True)


# Name → how to write it; endings that say it without a name.
FORMATS: dict[str, Write] = {"jsonl": _json_lines, "csv": _csv, "parquet": _parquet}
ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}


def _format_of(to: Export) -> str:
    name = ENDINGS.get(to.path.suffix.lower()) if to.format is None else to.format
    if name is None:
        raise ConfigurationError(f"{to.path}: the file must end in {', '.join(ENDINGS)}, or its format be named")
    if name not in FORMATS:
        raise ConfigurationError(f"format {name!r}: formats are {', '.join(FORMATS)}")
    return name


def _check_place(address: Address, to: Export) -> None:
    if address.path is not None and to.path.absolute().resolve() == address.path.resolve():
        raise ConfigurationError(f"{to.path} is the store itself; name another file")
    if to.path.is_dir():
        raise ConfigurationError(f"{to.path} is a folder; a file is needed")
    if to.path.exists() and not to.overwrite:
        raise ConfigurationError(f"{to.path} is there already; name another file, or say overwrite=True (--overwrite)")


@contextmanager
def _whole_or_nothing(to: Export) -> Iterator[BinaryIO]:
    """Give a file that gets its name when the block ends well, and is removed otherwise."""
    beside = to.path.with_name(f".{to.path.name}.{os.getpid()}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    to.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(beside, flags, to.file_mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(to.path)
    finally:
        beside.unlink(missing_ok=True)
