"""This module is where stored operations, or their content, are deleted by hand, after a look at how many they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from aicore_obs.cli import screen
from aicore_obs.cli.places import DEFAULT_SCHEMA, SchemaOption, StoreArgument, address
from aicore_obs.cli.tail import filters_of
from aicore_obs.model.deletion import Pruned
from aicore_obs.pruning import prune as delete

_NAMES = {
    "operations": "operations",
    "payloads": "requests and responses",
    "flags": "flags",
    "cost_revisions": "cost revisions",
    "scores": "scores",
    "records": "other records",
    "dead_letters": "dead letters",
}


def prune(  # noqa: PLR0913 - an option of the command is a parameter here
    store: StoreArgument = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="AGE", help="90d, 12h, 30m or 4w.", show_default=False),
    ] = None,
    user_id: Annotated[
        list[str] | None,
        typer.Option("--user-id", metavar="ID", help="Of this user; may be given again.", show_default=False),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "-w",
            "--where",
            metavar="NAME=VALUE",
            help="A filter of the readers, as in `tail`; start_date=… and end_date=…, too.",
            show_default=False,
        ),
    ] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option(
            "--max-bytes",
            metavar="SIZE",
            help="Of a SQLite store: the oldest go first, until the rest fits, such as 2GB.",
            show_default=False,
        ),
    ] = None,
    *,
    content_only: Annotated[
        bool,
        typer.Option(
            "--content-only",
            help="Only requests, responses, and messages and stacks of errors; usage, costs and names stay.",
        ),
    ] = False,
    everything: Annotated[bool, typer.Option("--everything", help="Needed where nothing else says what.")] = False,
    vacuum: Annotated[
        bool, typer.Option("--vacuum", help="Of a SQLite store: give back all free space; writers wait meanwhile.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Delete stored operations that match, with all that hangs on them, and print a receipt.

    What was deleted does not come back: a record that waits in a journal, or among dead letters, is dropped when it
    comes. Programs may go on writing. May be stopped and run again. Copies, exports, archives and backups are not
    touched.
    """
    filters = filters_of([*(where or []), *(f"user_id={one}" for one in user_id or [])])
    asked = {**filters, "store": address(store, db_schema), "older_than": older_than, "everything": everything}
    asked["content_only"] = content_only
    counted = None if max_bytes is not None else delete(**asked, dry_run=True)
    if dry_run and counted is not None:
        _answer(counted, as_json=as_json)
        return
    if not yes:
        typer.confirm(_question(counted, content_only=content_only), abort=True, err=True)
    with _progress(counted) as tell:
        found = delete(**asked, dry_run=dry_run, max_bytes=max_bytes, vacuum=vacuum, tell=tell)
    _answer(found, as_json=as_json)


def _question(counted: Pruned | None, *, content_only: bool) -> str:
    what = "the oldest operations" if counted is None else screen.counted(counted.operations, "operation")
    return f"Delete {'the content of ' if content_only else ''}{what} for good?"


@contextmanager
def _progress(counted: Pruned | None) -> Iterator[Callable[[int], object]]:
    """Show a bar while operations go, where somebody can see it."""
    columns = (TextColumn("deleting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen.err, disable=not screen.err.is_terminal) as progress:
        task = progress.add_task("", total=None if counted is None else counted.operations)
        yield lambda done: progress.update(task, completed=done)


def _answer(found: Pruned, *, as_json: bool) -> None:
    if as_json:
        screen.say_json(msgspec.to_builtins(found))
        return
    verb = "Would delete" if found.dry_run else "Deleted"
    of = ", the content only" if found.content_only else ""
    screen.say(f"{verb} from {', '.join(found.stores)}{of}:")
    screen.show(("what", "count"), _rows(found), numbers=("count",))
    if found.bytes_before is not None and found.bytes_after is not None and not found.dry_run:
        screen.say(f"Size: {screen.size(found.bytes_before)} before, {screen.size(found.bytes_after)} now")
    for note in found.notes:
        screen.say(f"Note: {note}")
    if not found.dry_run:
        for archive in found.archives:
            screen.say(f"Not touched: the archive {screen.plain(archive)}")
        screen.say("Not touched: copies, exports, archives and backups of this store.")


def _rows(found: Pruned) -> Iterator[tuple[str, Any]]:
    for name, shown in _NAMES.items():
        # Records of other kinds are counted only as they go.
        if not (found.dry_run and name == "records"):
            yield shown, f"{getattr(found, name):,}"
    yield "text of requests and responses", screen.size(found.payload_bytes)
