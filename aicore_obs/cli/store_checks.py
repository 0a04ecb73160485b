"""This module is where `doctor` examines a store: file, rights, lock, schema, torn ends, room on the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aicore_obs import plugins
from aicore_obs.addresses import check_place
from aicore_obs.cli.findings import Finding, finding
from aicore_obs.cli.places import DATABASES, ask, beside, upkeep
from aicore_obs.cli.screen import size
from aicore_obs.errors import AicoreObsError, ConfigurationError, SchemaError, StoreDamagedError
from aicore_obs.model.filter import Filter
from aicore_obs.protocols import Address

LARGE_WAL_BYTES = 256 * 1024 * 1024
# Less free space than the larger of these, and a burst or a checkpoint may not fit.
LOW_SPACE_BYTES = 512 * 1024 * 1024
LOW_SPACE_SHARE = 50
_TAIL_BYTES = 64
_BESIDE_SQLITE = ("-wal", "-shm")


def check_store(store: Address) -> Iterator[Finding]:
    """Yield what is wrong with one store."""
    if store.path is None:
        yield from _check_database(store)
        return
    yield from _check_disk(store.path)
    yield from check_modes(_files_of(store, store.path), store.options.file_mode)
    if not store.path.exists():
        yield from _check_missing(store, store.path)
        return
    findings = list(_check_file(store, store.path))
    yield from findings
    if not findings:
        yield from _check_content(store, store.path)


def check_modes(paths: list[Path], file_mode: int) -> Iterator[Finding]:
    """Yield the files that more accounts may open than the settings say."""
    if os.name != "posix":
        return
    wide = [path for path in paths if path.is_file() and path.stat().st_mode & 0o777 & ~file_mode]
    if wide:
        names = ", ".join(f"{path} ({path.stat().st_mode & 0o777:04o})" for path in wide[:3])
        more = f" and {len(wide) - 3} more" if len(wide) > 3 else ""
        yield finding(
            "open-files",
            wide[0].parent,
            f"others may open {names}{more}",
            f"chmod {file_mode:04o} them, or set AICORE_OBS_FILE_MODE if that is meant",
        )


def _files_of(store: Address, path: Path) -> list[Path]:
    suffixes = ("", *_BESIDE_SQLITE) if store.kind == "sqlite" else ("", ".torn")
    return [path.with_name(path.name + suffix) for suffix in suffixes]


def _check_disk(path: Path) -> Iterator[Finding]:
    folder = next(parent for parent in (path, *path.parents) if parent.exists())
    usage = shutil.disk_usage(folder)
    if usage.free < max(LOW_SPACE_BYTES, usage.total // LOW_SPACE_SHARE):
        yield finding(
            "disk-low",
            folder,
            f"{size(usage.free)} of {size(usage.total)} are free; a journal takes at most a tenth of what is free",
            "make room, or move the store",
        )


def _check_missing(store: Address, path: Path) -> Iterator[Finding]:
    try:
        check_place(store)
    except ConfigurationError as error:
        yield finding("not-writable", path, str(error), "the account that records needs that right")
    waiting = any(one.is_dir() for one in beside([store]))
    way_out = "`aicore-obs drain` makes it of what waits" if waiting else "record something, or check the path"
    yield finding("missing", path, "there is no such file", way_out)


def _check_file(store: Address, path: Path) -> Iterator[Finding]:
    try:
        check_place(store)
    except StoreDamagedError as error:
        yield finding("damaged", path, str(error), "restore it from a copy; records go on waiting in the journal")
        return
    except ConfigurationError as error:
        yield finding("not-writable", path, str(error), "the account that records needs that right")
        return
    for one in (path, path.parent):
        if not os.access(one, os.W_OK):
            yield finding("not-writable", one, "this account may not write here", "give it the right to")


def _check_content(store: Address, path: Path) -> Iterator[Finding]:
    if store.kind in DATABASES:
        # Before the database is opened: whoever closes it last empties the log.
        yield from _check_wal(path)
        yield from _check_database(store)
    else:
        yield from _check_torn(store, path)
        yield from _check_reading(store)


def _check_database(store: Address) -> Iterator[Finding]:
    try:
        state = ask(store, upkeep("examine"))
    except StoreDamagedError as error:
        yield finding("damaged", store.name, str(error), "restore it from a copy; records go on waiting in the journal")
    except SchemaError as error:
        yield finding("rights", store.name, str(error), "have the right granted; records go on waiting in the journal")
    except AicoreObsError as error:
        way_out = (
            "end the program that holds it, or wait; records go on waiting in the journal"
            if store.path is not None
            else "check that the server runs and takes this user and this database; records wait in the journal"
        )
        yield finding("unreachable", store.name, str(error), way_out)
    else:
        yield from _check_schema(store, state)
        yield from _check_reading(store)


def _check_schema(store: Address, state: Any) -> Iterator[Finding]:
    versions = f"the schema is at version {state.version}, this program makes version {state.program_version}"
    by_itself = store.options.migrate == "auto" and not state.needs_major
    if state.is_too_new:
        yield finding("program-too-old", store.name, versions, "run `pip install -U aicore-obs` on this machine")
    elif state.version == 0 and by_itself:
        yield finding("no-schema", store.name, "no schema yet", "the first record makes it", urgent=False)
    elif state.is_behind and by_itself:
        yield finding("schema-behind", store.name, versions, "the next writer takes the step by itself", urgent=False)
    elif state.is_behind:
        command = "aicore-obs migrate --major" if state.needs_major else "aicore-obs migrate"
        yield finding("schema-behind", store.name, versions, f"run `{command}`; until then records wait in the journal")


def _check_wal(path: Path) -> Iterator[Finding]:
    wal = path.with_name(path.name + "-wal")
    held = wal.stat().st_size if wal.exists() else 0
    if held > max(LARGE_WAL_BYTES, path.stat().st_size // 2):
        yield finding(
            "large-wal",
            wal,
            f"the write-ahead log holds {size(held)}: some reader has kept one transaction open for long",
            "end that reader; the next writer then empties the log",
        )


def _check_torn(store: Address, path: Path) -> Iterator[Finding]:
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - _TAIL_BYTES))
        tail = file.read()
    whole = tail.endswith(b"\n") if store.kind == "jsonl" else tail.rstrip().endswith(b"]")
    if length and not whole:
        yield finding(
            "torn", path, "the last line is not whole: a writer died", "the next writer repairs it; nothing else to do"
        )
    torn = path.with_name(path.name + ".torn")
    if torn.exists():
        way_out = "look whether something in it is missed (its records come again from the journal), then delete it"
        yield finding("torn-kept", torn, f"{size(torn.stat().st_size)} of torn lines were kept at a repair", way_out)


def _check_reading(store: Address) -> Iterator[Finding]:
    """Read one record, as a program would."""
    try:
        for _ in plugins.reader(store).batches(Filter.of(limit=1), ("operation_id",), batch_rows=1):
            pass
    except AicoreObsError as error:
        yield finding("unreadable", store.name, str(error), "restore it, or name another one")
