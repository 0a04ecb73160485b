"""This module is where the numbers of a store are shown, and of the journals in which records wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

from aicore_obs import plugins
from aicore_obs.cli import screen
from aicore_obs.cli.metrics import metrics
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
from aicore_obs.pipeline.survey import JournalLook, OwnerLook, look_at
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


def stats(  # noqa: PLR0913 - a command has the options that it has
    stores: StoresArgument = None,
    journal: JournalOption = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="The journals of every process of this user on this machine, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    as_metrics: Annotated[
        bool, typer.Option("--prometheus", help="The journals as metrics in Prometheus' text format.")
    ] = False,
    max_age_s: Annotated[
        float | None,
        typer.Option(
            "--max-age",
            metavar="SECONDS",
            min=0,
            help="For probes: exit with 1 when a record has waited for longer than this.",
            show_default=False,
        ),
    ] = None,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Show the counts of a store, and what waits in its journals.

    Only the journals are looked at, and no store is opened, with --journal, --prometheus or --max-age, and with --all
    where no store is named.
    """
    places = addresses(stores or [], db_schema)
    only_journals = journal is not None or as_metrics or max_age_s is not None or (everything and not stores)
    numbers = [] if only_journals else [numbers_of(place) for place in places]
    directories = journal_directories(places, journal)
    if everything:
        directories += [one for one in state_journals() if one not in directories]
    looks = [look_at(directory) for directory in directories]
    if as_metrics:
        screen.say_raw(metrics(looks))
    elif as_json:
        screen.say_json({"stores": msgspec.to_builtins(numbers), **_journals_as_data(looks)})
    else:
        _show_stores(numbers)
        for look in looks:
            _show_journal(look)
    oldest = max((look.oldest_pending_s or 0.0 for look in looks), default=0.0)
    if any(one.problem for one in numbers) or (max_age_s is not None and oldest > max_age_s):
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


def _show_journal(look: JournalLook) -> None:
    room = f"{screen.size(look.bytes)} of {screen.size(look.max_bytes)}"
    screen.say(f"\nJournal {look.directory}: {room}, {screen.counted(look.dead_letters, 'dead letter')}")
    if look.drain_alive is False:
        screen.say("Processes that only append live here, and nobody delivers: is `aicore-obs drain --watch` running?")
    columns = ("owner", "state", "pid", "host", "created", "bytes", "pending", "oldest", "last error")
    screen.show(columns, map(_row, look.owners), numbers=("pid", "bytes", "oldest"))


def _row(look: OwnerLook) -> tuple[Any, ...]:
    header = look.header
    pending = ", ".join(f"{sink}: {count}" for sink, count in look.pending.items())
    errors = "; ".join(f"{sink}: {one.error}" for sink, one in look.positions.items() if one.error is not None)
    return (
        look.path.name,
        _state(look),
        header.pid if header else "",
        header.host if header else "",
        header.created[:19] if header else "",
        screen.size(look.bytes),
        pending or "nothing yet",
        "" if look.oldest_pending_s is None else f"{look.oldest_pending_s:.0f} s",
        errors,
    )


def _state(look: OwnerLook) -> str:
    if look.alive:
        return "alive, appends only" if look.is_external else "alive"
    return "dead, of a newer version" if look.is_newer else "dead"


def _journals_as_data(looks: Sequence[JournalLook]) -> dict[str, Any]:
    ages = [look.oldest_pending_s for look in looks if look.oldest_pending_s is not None]
    return {"oldest_pending_seconds": max(ages, default=None), "journals": [_journal_as_data(look) for look in looks]}


def _journal_as_data(look: JournalLook) -> dict[str, Any]:
    return {
        "directory": str(look.directory),
        "bytes": look.bytes,
        "max_bytes": look.max_bytes,
        "oldest_pending_seconds": look.oldest_pending_s,
        "drain_alive": look.drain_alive,
        "dead_letters": look.dead_letters,
        "owners": [_owner_as_data(one) for one in look.owners],
    }


def _owner_as_data(look: OwnerLook) -> dict[str, Any]:
    header, positions = look.header, look.positions.items()
    return {
        "owner": look.path.name,
        "alive": look.alive,
        "newer": look.is_newer,
        "writer": None if header is None else "external" if header.external else "internal",
        "pid": header.pid if header else None,
        "host": header.host if header else None,
        "created": header.created if header else None,
        "sinks": list(look.sinks),
        "bytes": look.bytes,
        "pending": look.pending,
        "oldest_pending_seconds": look.oldest_pending_s,
        "stored": {sink: one.stored for sink, one in positions},
        "dead_lettered": {sink: one.dead_lettered for sink, one in positions},
        "dropped": {sink: one.dropped for sink, one in positions},
        "last_error": {sink: one.error for sink, one in positions},
    }
