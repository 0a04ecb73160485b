"""This module is where the numbers of a store are shown, and of the journals in which records wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from aicore_obs import plugins
from aicore_obs.cli import screen
from aicore_obs.cli.places import (
    DEFAULT_SCHEMA,
    JournalOption,
    SchemaOption,
    StoresArgument,
    addresses,
    journal_directories,
    state_journals,
)
from aicore_obs.errors import StoreError
from aicore_obs.model.filter import Filter
from aicore_obs.pipeline.dead_letters import DeadLetters
from aicore_obs.pipeline.survey import OwnerLook, survey
from aicore_obs.protocols import Address

_COLUMNS = ("timestamp", "status", "total_tokens")
_BATCH_ROWS = 50_000


class StoreNumbers(msgspec.Struct, kw_only=True):
    """The counts of one store. ``tokens`` sums what is known; ``without_tokens`` says how many reported none."""

    store: str
    operations: int = 0
    errors: int = 0
    tokens: int = 0
    without_tokens: int = 0
    first: str | None = None
    last: str | None = None
    problem: str | None = None


def stats(
    stores: StoresArgument = None,
    journal: JournalOption = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="The journals of every process of this user on this machine, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Show the counts of a store, and what waits in its journals."""
    places = addresses(stores or [], db_schema)
    numbers = [] if journal is not None else [numbers_of(place) for place in places]
    directories = journal_directories(places, journal)
    if everything:
        directories += [one for one in state_journals() if one not in directories]
    if as_json:
        screen.say_json(
            {"stores": msgspec.to_builtins(numbers), "journals": [_journal_as_data(one) for one in directories]}
        )
    else:
        _show_stores(numbers)
        for directory in directories:
            _show_journal(directory)
    if any(one.problem for one in numbers):
        raise typer.Exit(1)


def numbers_of(place: Address) -> StoreNumbers:
    """Count one store, in batches; a store that cannot be read says why."""
    numbers = StoreNumbers(store=place.name)
    try:
        for frame in plugins.reader(place).batches(Filter.of(), _COLUMNS, batch_rows=_BATCH_ROWS):
            numbers.operations += frame.height
            numbers.errors += int(frame["status"].eq("error").sum())
            numbers.tokens += int(frame["total_tokens"].sum())
            numbers.without_tokens += frame["total_tokens"].null_count()
            # They come in the order of time.
            times = [frame.item(0, "timestamp"), frame.item(-1, "timestamp")] if frame.height else []
            numbers.first = numbers.first or next(map(screen.when, times), None)
            numbers.last = screen.when(times[-1]) if times else numbers.last
    except StoreError as error:
        numbers.problem = str(error)
    return numbers


def _show_stores(numbers: Sequence[StoreNumbers]) -> None:
    readable = [one for one in numbers if one.problem is None]
    if readable:
        columns = ("store", "operations", "errors", "tokens", "without tokens", "first", "last")
        rows = (
            (one.store, one.operations, one.errors, one.tokens, one.without_tokens, one.first, one.last)
            for one in readable
        )
        screen.show(columns, rows, numbers=columns[1:5])
    for one in numbers:
        if one.problem is not None:
            screen.complain(one.problem)


def _show_journal(directory: Path) -> None:
    looks, letters = survey(directory), len(DeadLetters(directory).all())
    screen.say(f"\nJournal {directory}: {screen.counted(letters, 'dead letter')}")
    columns = ("owner", "state", "pid", "host", "created", "bytes", "pending")
    screen.show(columns, map(_row, looks), numbers=("pid", "bytes"))


def _row(look: OwnerLook) -> tuple[Any, ...]:
    header = look.header
    pending = ", ".join(f"{sink}: {count}" for sink, count in look.pending.items())
    return (
        look.path.name,
        _state(look),
        header.pid if header else "",
        header.host if header else "",
        header.created[:19] if header else "",
        screen.size(look.bytes),
        pending or "nothing yet",
    )


def _state(look: OwnerLook) -> str:
    if look.alive:
        return "alive"
    return "dead, of a newer version" if look.is_newer else "dead"


def _journal_as_data(directory: Path) -> dict[str, Any]:
    owners = [
        {
            "owner": look.path.name,
            "alive": look.alive,
            "newer": look.is_newer,
            "pid": look.header.pid if look.header else None,
            "host": look.header.host if look.header else None,
            "created": look.header.created if look.header else None,
            "sinks": list(look.sinks),
            "bytes": look.bytes,
            "pending": look.pending,
        }
        for look in survey(directory)
    ]
    letters = len(DeadLetters(directory).all())
    return {"directory": str(directory), "dead_letters": letters, "owners": owners}
