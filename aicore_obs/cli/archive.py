"""This module is where old operations are moved into an archive of Parquet files, with a bar and a receipt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from aicore_obs.archiving import Tell, before_of
from aicore_obs.archiving import archive as move
from aicore_obs.cli import screen
from aicore_obs.cli.places import DEFAULT_SCHEMA, SchemaOption, StoreArgument, address
from aicore_obs.model.archive import Archived
from aicore_obs.model.filter import Filter
from aicore_obs.protocols import Address
from aicore_obs.query.costs import sum_costs

_STEPS = ("archiving", "deleting")


def archive(
    store: StoreArgument = None,
    *,
    before: Annotated[
        str,
        typer.Option(
            "--before", metavar="DATE", help="A date or a time, or an age: 90d, 12h, 30m or 4w.", show_default=False
        ),
    ],
    to: Annotated[
        Path, typer.Option("--to", metavar="DIR", help="The archive; made where there is none.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Move the operations of before a time into a directory of Parquet files, and print a receipt.

    Each goes with its request and response, its flags, its scores and every revision of its cost. It leaves the store
    when its file was read back and is the same by count and checksum. May be killed and run again at any time. Reports
    take `--archive DIR`, programs `aicore_obs.scan(…, archive=DIR)`; any program reads the files.
    """
    place, until = address(store, db_schema), before_of(before)
    with _progress(place, Filter(end=until, end_exclusive=True)) as tell:
        found = move(place, before=until, to=to, tell=tell)
    _answer(found, as_json=as_json)


@contextmanager
def _progress(place: Address, query: Filter) -> Iterator[Tell]:
    """Show a bar for each step, where somebody can see it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen.err, disable=not screen.err.is_terminal) as bar:
        counted = None if bar.disable else sum_costs(place, query)
        total = None if counted is None else counted.priced + counted.unpriced
        tasks = {words: bar.add_task(words, total=total) for words in _STEPS}
        yield lambda words, done: bar.update(tasks[words], completed=done)


def _answer(found: Archived, *, as_json: bool) -> None:
    if as_json:
        screen.say_json(msgspec.to_builtins(found))
        return
    operations = screen.counted(found.operations, "operation")
    files = screen.counted(found.files, "file")
    screen.say(f"Archived from {found.store}, before {found.before:%Y-%m-%d %H:%M:%S} UTC:")
    screen.say(f"{operations} in {files}, {screen.size(found.size_bytes)}, read back and the same: {found.path}")
    screen.say(f"{screen.counted(found.deleted, 'operation')} left the store.")
    if found.bytes_before is not None and found.bytes_after is not None:
        screen.say(f"Size: {screen.size(found.bytes_before)} before, {screen.size(found.bytes_after)} now")
    for note in found.notes:
        screen.say(f"Note: {note}")
