"""This module is where it is found out what a source is, by its content, and where its rows are read.

A source is a database (SQLite or PostgreSQL), a Parquet file, JSON (an array, one object or lines), or a folder of JSON
files. A JSON array is held in memory as text; everything else is read as it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import tzinfo
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec

from aicore_obs import plugins
from aicore_obs.addresses import without_password
from aicore_obs.errors import ConfigurationError, StoreNotFoundError
from aicore_obs.guard import attempt
from aicore_obs.importing import aicore, exported, litellm, oplogger, otlp
from aicore_obs.importing.made import BadRow
from aicore_obs.model.record import Record

Row = Mapping[str, Any]
# Yields where a row is, for people, and what makes its records: called once, it may raise BadRow.
Rows = Iterator[tuple[str, Callable[[], Iterator[Record]]]]
_JSON = (exported, litellm, otlp, aicore)
FORMATS = ("aicore", "export", "litellm", "oplogger", "otlp")
# Where an API wraps its list.
_WRAPS = ("data", "logs", "rows")
_OURS = {"kind", "id", "timestamp", "v"}
# How many elements are looked at for one that tells the format.
_LOOKED_AT = 20


class Source(msgspec.Struct, frozen=True):
    """What a source was found to be: its format, and its rows."""

    format: str
    rows: Rows


def source_of(place: Path | str, wanted: str | None, tz: tzinfo) -> Source:
    """Return a source, a path or a database's URL, told by its content, or as ``wanted`` says.

    Raises:
        ConfigurationError: no format of that name, or nothing that is known.
        StoreNotFoundError: there is nothing.
        StoreDamagedError: it cannot be read as what it is.
    """
    if wanted is not None and wanted not in FORMATS:
        raise ConfigurationError(f"format {wanted!r}: formats are {', '.join(FORMATS)}")
    if isinstance(place, str):
        return _database(_Database(place, without_password(place), "aicore_obs.stores.sql.foreign_postgres"), tz)
    path = place
    if not path.exists():
        raise StoreNotFoundError(f"there is nothing at {path}")
    if path.is_file() and path.suffix.lower() == ".parquet":
        found: Iterator[Row] = plugins.load("aicore_obs.query.exported:parquet_rows")(path)
        return Source(exported.name, _numbered(path.name, found, partial(exported.records, tz=tz)))
    if path.is_file() and plugins.load("aicore_obs.stores.sql.probe:is_database")(path) and path.stat().st_size:
        return _database(_Database(path, path.name, "aicore_obs.stores.sql.foreign"), tz)
    return _json(path, wanted, tz)


class _Database(msgspec.Struct, frozen=True):
    """A database of another program: where it is, what it is called, and the module that reads it."""

    place: Path | str
    name: str
    reader: str

    def columns(self) -> Mapping[str, frozenset[str]]:
        """Return its tables with the names of their columns."""
        found: Mapping[str, frozenset[str]] = plugins.load(f"{self.reader}:columns")(self.place)
        return found

    def rows(self, sql: str) -> Iterator[Row]:
        """Yield the rows of a statement."""
        found: Iterator[Row] = plugins.load(f"{self.reader}:rows")(self.place, sql)
        return found


def _database(database: _Database, tz: tzinfo) -> Source:
    tables = database.columns()
    if set(aicore.TABLES) <= tables.keys():
        return Source(aicore.name, _numbered(database.name, database.rows(aicore.SQL), partial(aicore.records, tz=tz)))
    if "aicore_obs_operations" in tables:
        raise ConfigurationError(f"{database.name} is a store of ours: `aicore-obs copy` takes all of it along")
    if {"operation", "inputs", "outputs"} <= tables.get("operations", frozenset()):
        found = _numbered(database.name, database.rows(oplogger.SQL), partial(oplogger.records, tz=tz))
        runs = _runs(database, tz) if oplogger.RUNS in tables else iter(())
        return Source(oplogger.name, chain(found, runs))
    raise ConfigurationError(
        f"{database.name}: nothing is known of a database with the tables {', '.join(sorted(tables)) or '(none)'}"
    )


def _runs(database: _Database, tz: tzinfo) -> Rows:
    members: dict[str, list[str]] = {}
    for row in database.rows(oplogger.MEMBERS_SQL):
        try:
            members.setdefault(row["run_id"], []).append(oplogger.member_id(row, tz))
        except BadRow:
            # Told where the row itself is read.
            continue
    for number, row in enumerate(database.rows(oplogger.RUNS_SQL), 1):
        yield f"{database.name}, run {number}", partial(oplogger.run_records, row, members.get(row["id"], ()), tz)


def _json(path: Path, wanted: str | None, tz: tzinfo) -> Source:
    elements = _elements(path)
    first = list(islice(elements, _LOOKED_AT))
    module = next((one for one in _JSON if one.name == wanted), None) or _told(path, first)
    return Source(module.name, _json_rows(chain(first, elements), module, tz))


def _told(path: Path, elements: list[tuple[str, bytes]]) -> Any:
    for _, element in elements:
        row = _decoded(element)
        if row is None:
            continue
        if row.keys() >= _OURS:
            raise ConfigurationError(f"{path} is a store of ours: `aicore-obs copy` takes all of it along")
        for module in _JSON:
            if module.fits(row):
                return module
    raise ConfigurationError(f"{path}: its content is of no format that is known: {', '.join(FORMATS)}")


def _json_rows(elements: Iterator[tuple[str, bytes]], module: Any, tz: tzinfo) -> Rows:
    for place, element in elements:
        # Ours may hold lone surrogates, which only what carries texts along unread can take.
        row = attempt(exported.decoded, element).value if module is exported else _decoded(element)
        if row is None:
            yield place, _no_object
        elif module is otlp:
            spans = enumerate(otlp.spans(row), 1)
            yield from ((f"{place}, span {number}", partial(otlp.records, span, tz)) for number, span in spans)
        else:
            yield place, partial(module.records, row, tz)


def _no_object() -> Iterator[Record]:
    raise BadRow("no JSON object")


def _numbered(name: str, rows: Iterator[Row], read: Callable[[Row], Iterator[Record]]) -> Rows:
    for number, row in enumerate(rows, 1):
        yield f"{name}, row {number}", partial(read, row)


def _decoded(element: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(element)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _elements(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the elements of a JSON file, or of all in a folder, with their places."""
    if path.is_dir():
        for one in sorted(path.rglob("*.json")):
            yield from _elements(one)
        return
    with path.open("rb") as file:
        start = file.read(1)
        while start and start.isspace():
            start = file.read(1)
        file.seek(0)
        first = file.readline()
        is_lines = start == b"{" and _decoded(first) is not None and bool(file.read(1))
    yield from _lines(path) if is_lines else _whole(path, start)


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield f"{path.name}, line {number}", line


def _whole(path: Path, start: bytes) -> Iterator[tuple[str, bytes]]:
    data = path.read_bytes()
    try:
        if start == b"{":
            members = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
            wrapped = next((members[name] for name in _WRAPS if bytes(members.get(name, b""))[:1] == b"["), None)
            if wrapped is None:
                yield path.name, data
                return
            data = bytes(wrapped)
        found = msgspec.json.decode(data, type=list[msgspec.Raw])
    except (ValueError, RecursionError):
        yield f"{path.name} as a whole", b""
        return
    for number, element in enumerate(found, 1):
        yield f"{path.name}, element {number}", bytes(element)
