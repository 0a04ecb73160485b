"""This module is where everything that is wrong with a store and its journals is told, each with the way out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from aicore_obs.cli import screen
from aicore_obs.cli.findings import Finding
from aicore_obs.cli.journal_checks import check_journal
from aicore_obs.cli.places import (
    DEFAULT_SCHEMA,
    JournalOption,
    SchemaOption,
    StoresArgument,
    addresses,
    journal_directories,
)
from aicore_obs.cli.store_checks import check_store
from aicore_obs.protocols import Address


def doctor(
    stores: StoresArgument = None,
    journal: JournalOption = None,
    *,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 when something needs attention.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Say what is wrong with a store and its journals, and what to do; change nothing."""
    places = addresses(stores or [], db_schema)
    found = list(_findings(places, journal))
    if as_json:
        screen.say_json(msgspec.to_builtins(found))
    else:
        _show(places, found)
    if check and any(one.urgent for one in found):
        raise typer.Exit(1)


def _findings(places: Sequence[Address], journal: Path | None) -> Iterator[Finding]:
    if journal is None:
        for place in places:
            yield from check_store(place)
    for directory in journal_directories(places, journal):
        yield from check_journal(directory, places[0].options.file_mode)


def _show(places: Sequence[Address], found: Sequence[Finding]) -> None:
    for one in found:
        mark = "!" if one.urgent else "-"
        screen.say(screen.plain(f"{mark} {one.place}: {one.what} → {one.way_out} [{one.code}]"))
    if not any(one.urgent for one in found):
        screen.say(f"{', '.join(place.name for place in places)}: nothing needs attention")
