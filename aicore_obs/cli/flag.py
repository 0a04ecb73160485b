"""This module is where stored operations are flagged from the shell, and flags are taken away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from aicore_obs.addresses import place_of
from aicore_obs.cli import screen
from aicore_obs.cli.places import DEFAULT_SCHEMA, SchemaOption, StoreArgument, address
from aicore_obs.cli.tail import filters_of
from aicore_obs.errors import FilterError, StoreError
from aicore_obs.oplog.tracer import Tracer
from aicore_obs.protocols import Address
from aicore_obs.query.rows import read_rows

FLUSH_TIMEOUT_S = 60.0
_NAME = "A word such as training or review."

WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "-w",
        "--where",
        metavar="NAME=VALUE",
        help="Which operations: a filter of the readers, as in `tail`; operation_id=… and run_id=…, too.",
        show_default=False,
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Every operation of the store.")]


def flag(
    reason: Annotated[str, typer.Option("-r", "--reason", metavar="NAME", help=_NAME, show_default=False)],
    store: StoreArgument = None,
    where: WhereOption = None,
    note: Annotated[
        str | None, typer.Option("--note", metavar="TEXT", help="Kept with the flag.", show_default=False)
    ] = None,
    *,
    everything: AllOption = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Flag the operations of a store that match, for a reason: flagged_for=NAME finds them again.

    An operation can be flagged for several reasons. A flag is a record like others, and overwrites nothing.
    """
    place = address(store, db_schema)
    ids = _chosen(place, where or [], everything=everything)
    with opened(place) as tracer:
        count = tracer.db.flag(ids, reason=reason, note=note)
    screen.say(f"Flagged for {screen.plain(reason)}: {screen.counted(count, 'operation')}")


def unflag(
    store: StoreArgument = None,
    where: WhereOption = None,
    reason: Annotated[
        str | None,
        typer.Option(
            "-r", "--reason", metavar="NAME", help="Only the flag for this. Default: every flag.", show_default=False
        ),
    ] = None,
    *,
    everything: AllOption = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Take flags from the operations of a store that match."""
    place = address(store, db_schema)
    ids = _chosen(place, where or [], everything=everything)
    with opened(place) as tracer:
        count = tracer.db.unflag(ids, reason=reason)
    screen.say(f"Flags taken away: {screen.counted(count, 'operation')}")


def _chosen(place: Address, where: Sequence[str], *, everything: bool) -> list[str]:
    """Return the ids of the operations that are meant.

    Raises:
        FilterError: nothing says which.
    """
    filters: dict[str, Any] = filters_of(where)
    if bool(filters) == everything:
        raise FilterError("which operations? Give --where NAME=VALUE, such as -w run_id=…, or --all for every one")
    return [row[0] for row in read_rows(place, filters, ("operation_id",))]


@contextmanager
def opened(place: Address) -> Iterator[Tracer]:
    """Give a tracer on a store, and see to it that everything is there at the end.

    Raises:
        StoreError: not everything came into the store in time.
    """
    with Tracer(None, place_of(place), db_schema=place.options.db_schema, enabled=True) as tracer:
        yield tracer
        flushed = tracer.flush(timeout_s=FLUSH_TIMEOUT_S)
    if not flushed.ok:
        raise StoreError(
            f"{place.name}: accepted, but {flushed.pending} records are not stored yet and wait in the journal for the "
            "next collector, or `aicore-obs drain`"
        )
