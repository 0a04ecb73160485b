"""This module is where a statement's file becomes rows of a table or documents of JSON, whatever they mean.

UTF-8 with or without a byte order mark, UTF-16 with one; lines may end in CRLF. A table's values are separated by
commas, semicolons or tabs. JSON is one document, a list of pages, or one page per line.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from aicore_obs.errors import StatementError
from aicore_obs.query.statements.rows import Row

_SEPARATORS = (",", ";", "\t")


class Content(msgspec.Struct, frozen=True):
    """What a file holds: rows with their columns (CSV), or documents (JSON)."""

    file: str
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    documents: tuple[Any, ...] = ()

    def has(self, *columns: str) -> bool:
        """Return whether this is a table with these columns."""
        return set(columns) <= set(self.columns)

    def buckets(self, key: str) -> list[dict[str, Any]]:
        """Return the buckets of pages in which each has ``key``; none where this is not what the file holds."""
        found = [one for document in self.documents for one in _items(document)]
        fits = found and all(isinstance(one, dict) and key in one and _results(one) is not None for one in found)
        return found if fits else []


def results(content: Content, buckets: list[dict[str, Any]]) -> Iterator[tuple[Row, list[Row]]]:
    """Yield each bucket and its results as rows; results are numbered through the file, from 1.

    Raises:
        StatementError: a result that is no object.
    """
    number = 0
    for bucket in buckets:
        rows = []
        for result in _results(bucket) or ():
            number += 1
            if not isinstance(result, dict):
                raise StatementError(f"{content.file}, row {number}: {result!r}: an object is needed")
            rows.append(Row(content.file, number, result))
        # What is wrong with a bucket is found at its first result.
        yield Row(content.file, rows[0].number if rows else max(number, 1), bucket), rows


def load(path: str | Path) -> Content:
    """Read a file.

    Raises:
        StatementError: it is empty, no text, or neither a table nor JSON.
        OSError: it cannot be read.
    """
    file = Path(path)
    text = _decoded(file)
    if not text.strip():
        raise StatementError(f"{file} is empty")
    if text.lstrip()[0] in "{[":
        return Content(str(file), documents=tuple(_documents(file, text)))
    return _table(file, text)


def _decoded(file: Path) -> str:
    body = file.read_bytes()
    encoding = "utf-16" if body.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        raise StatementError(f"{file} is no text in {encoding.removesuffix('-sig').upper()}: {error.reason}") from error


def _table(file: Path, text: str) -> Content:
    header = text.lstrip().splitlines()[0]
    separator = max(_SEPARATORS, key=header.count)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise StatementError(f"{file} is neither JSON nor a table of comma-separated values: {error}") from error
    first = next((number for number, cells in enumerate(lines) if any(cells)), None)
    if first is None:
        raise StatementError(f"{file} has no column names: every cell of it is empty")
    columns = tuple(cell.strip().lower().replace(" ", "_") for cell in lines[first])
    rows = [
        _row(file, number, columns, cells)
        for number, cells in enumerate(lines[first + 1 :], start=first + 2)
        if any(cell.strip() for cell in cells)
    ]
    return Content(str(file), columns=columns, rows=tuple(rows))


def _row(file: Path, number: int, columns: tuple[str, ...], cells: list[str]) -> Row:
    if len(cells) != len(columns):
        raise StatementError(f"{file}, row {number}: {len(cells)} values for {len(columns)} columns")
    return Row(str(file), number, dict(zip(columns, cells, strict=True)))


def _documents(file: Path, text: str) -> list[Any]:
    try:
        return [_parsed(text)]
    except (ValueError, RecursionError) as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) == 1 or not lines[0].rstrip().endswith(("}", "]")):
            raise StatementError(f"{file} is no JSON: {error}") from error
    try:
        return [_parsed(line) for line in lines]
    except (ValueError, RecursionError) as error:
        raise StatementError(f"{file} is no JSON: {error}") from error


def _parsed(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_constant=_no_number)


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _items(document: Any) -> Iterator[Any]:
    """Yield what a page holds, or the pages of a list of pages."""
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        yield from document["data"]
    elif isinstance(document, list):
        for one in document:
            yield from _items(one)
    else:
        yield document


def _results(bucket: dict[str, Any]) -> list[Any] | None:
    # The reference of the Costs API has called it "result", too.
    found = bucket.get("results", bucket.get("result"))
    return found if isinstance(found, list) else None
