"""This module is where records that a sink did not take are listed, and sent to it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from aicore_obs.cli import retry as again
from aicore_obs.cli import screen
from aicore_obs.cli.places import (
    DEFAULT_SCHEMA,
    JournalOption,
    SchemaOption,
    StoresArgument,
    address,
    addresses,
    journal_directories,
    sink_address,
)
from aicore_obs.errors import AicoreObsError
from aicore_obs.pipeline.dead_letters import DeadLetter, DeadLetters
from aicore_obs.protocols import Address

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="List records that were kept aside because a sink did not take them, and send them again.",
)


@app.command("list")
def list_letters(
    stores: StoresArgument = None,
    journal: JournalOption = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs; the records too.")] = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """List the dead letters of a store's journals: when, for which sink, why."""
    places = addresses(stores or [], db_schema)
    found = list(_letters(places, journal))
    if as_json:
        screen.say_json([_as_data(letter) for _, letter in found])
        return
    columns = ("at", "sink", "reason", "error", "id")
    screen.show(columns, [(one.at[:19], one.sink, one.reason, one.error, one.id) for _, one in found])
    for path in dict.fromkeys(path for path, _ in found):
        screen.complain(f"kept in {path}; `aicore-obs dead-letters retry` sends them again")


@app.command("retry")
def retry(
    stores: StoresArgument = None,
    journal: JournalOption = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="URL", help="The URL of a database: names hold no credentials.", show_default=False
        ),
    ] = None,
    *,
    unprocessed: Annotated[
        bool,
        typer.Option("--unprocessed", help="Also those that a processor of the application failed on, without it."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before sending to another sink.")] = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Send each dead letter to the sink that it names; the exit code is 0 when none remains.

    Letters leave the file when the sink has committed them, so that this may be killed and run again.
    """
    places = addresses(stores or [], db_schema)
    elsewhere = address(target, db_schema) if target is not None else None
    outcome = again.Retried()
    for directory, name, letters in _by_sink(_letters(places, journal)):
        sink = _sink_of(name, places, elsewhere, yes=yes)
        rows = again.rows_of(letters, outcome, unprocessed=unprocessed) if sink is not None else []
        if sink is None:
            outcome.left += len(letters)
            outcome.problems.append(f"{name}: give its URL with --to, names hold no credentials")
        elif rows:
            _send(sink, rows, DeadLetters(directory, file_mode=sink.options.file_mode), outcome)
    _tell(outcome)


def _send(sink: Address, rows: Sequence[again.Row], letters: DeadLetters, outcome: again.Retried) -> None:
    before = outcome.stored + outcome.rejected
    try:
        again.send(sink, rows, letters, outcome)
    except AicoreObsError as error:
        outcome.left += len(rows) - (outcome.stored + outcome.rejected - before)
        outcome.problems.append(str(error))


def _tell(outcome: again.Retried) -> None:
    screen.say(
        f"{screen.counted(outcome.stored, 'record')} stored, {outcome.rejected:,} rejected again, {outcome.left:,} left"
    )
    for problem in outcome.problems:
        screen.complain(problem)
    if outcome.rejected or outcome.left:
        raise typer.Exit(1)


def _sink_of(name: str, places: Sequence[Address], elsewhere: Address | None, *, yes: bool) -> Address | None:
    known = [*places, elsewhere] if elsewhere is not None else places
    found = sink_address(name, known)
    if found is not None or elsewhere is None:
        return found
    if not yes:
        typer.confirm(f"These records were accepted for {name}. Send them to {elsewhere.name}?", abort=True, err=True)
    return elsewhere


def _letters(places: Sequence[Address], journal: Path | None) -> Iterator[tuple[Path, DeadLetter]]:
    """Yield the letters with the file that each is in."""
    for directory in journal_directories(places, journal):
        letters = DeadLetters(directory)
        yield from ((letters.path, letter) for letter in letters.all())


def _by_sink(found: Iterable[tuple[Path, DeadLetter]]) -> Iterator[tuple[Path, str, list[DeadLetter]]]:
    for path, ours in groupby(found, key=lambda one: one[0]):
        letters = sorted((letter for _, letter in ours), key=attrgetter("sink"))
        for name, same in groupby(letters, key=attrgetter("sink")):
            yield path.parent, name, list(same)


def _as_data(letter: DeadLetter) -> dict[str, object]:
    # Through JSON text: the record in it is text already.
    return msgspec.json.decode(msgspec.json.encode(letter), type=dict[str, object])
