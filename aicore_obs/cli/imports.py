"""This module is where what other programs kept is brought into a store, and where it is shown what was."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from aicore_obs.cli import screen
from aicore_obs.cli.places import DEFAULT_SCHEMA, SchemaOption, address
from aicore_obs.cli.progress import progress
from aicore_obs.exchange import import_records
from aicore_obs.importing.run import Imported
from aicore_obs.importing.sources import FORMATS


def import_(  # noqa: PLR0913 - an option of the command is a parameter here
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="A file, a folder of AiCore's JSON chunks, or a PostgreSQL URL.")
    ],
    target: Annotated[
        str | None,
        typer.Option("--to", metavar="STORE", help="Where to. Default: as of other commands.", show_default=False),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME", help=f"{', '.join(FORMATS)}. Default: by the content.", show_default=False
        ),
    ] = None,
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="Whose time it is where the source names no zone.")
    ] = "UTC",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read and count.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Import what AiCore, oplogger, LiteLLM or a tracer (OTLP/JSON) kept, or an export of our own.

    Ids are made of the source's, so that importing twice stores once. The exit code is 0 when every row was taken.
    """
    place = address(target, db_schema)
    with progress("importing") as tell:
        done = import_records(source, place, format=file_format, timezone=timezone, dry_run=dry_run, tell=tell)
    if as_json:
        screen.say_json({"ok": done.ok, **msgspec.to_builtins(done)})
    else:
        _show(done, place.name)
    if not done.ok:
        raise typer.Exit(1)


def _show(done: Imported, target: str) -> None:
    screen.show(("kind", "records"), done.counts.items(), numbers=("records",))
    screen.say("")
    what = "Read only, nothing was stored" if done.dry_run else f"Stored in {target}, but for what was there already"
    screen.say(f"Format: {done.format}. {what}.")
    for reason, count in done.bad.items():
        screen.complain(screen.plain(f"Left out: {screen.counted(count, 'row')}: {reason}"))
    if done.rejected:
        screen.complain(f"Refused by the store: {screen.counted(done.rejected, 'record')}")
    for problem in done.problems:
        screen.complain(screen.plain(f"  {problem}"))
