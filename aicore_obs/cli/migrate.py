"""This module is where a database's schema is brought up to date, taken back, or printed for a DBA."""

from __future__ import annotations

from typing import Annotated, cast

import typer

from aicore_obs import plugins
from aicore_obs.cli import screen
from aicore_obs.cli.places import (
    DATABASES,
    DEFAULT_SCHEMA,
    SchemaOption,
    StoreArgument,
    address,
    ask,
    upkeep,
)
from aicore_obs.errors import ConfigurationError
from aicore_obs.protocols import Address, Store


def migrate(  # noqa: PLR0913 - an option of the command is a parameter here
    store: StoreArgument = None,
    to: Annotated[
        int | None,
        typer.Option("--to", metavar="N", min=0, help="Go back to this version.", show_default=False),
    ] = None,
    start: Annotated[
        int, typer.Option("--from", metavar="N", min=0, help="With --sql: the version that is there.")
    ] = 0,
    *,
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements for a DBA and touch nothing.")] = False,
    major: Annotated[
        bool, typer.Option("--major", help="Take a major step too, after which older programs cannot write.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Bring a database's schema up to date; records that are waiting are not touched."""
    place = address(store, db_schema)
    if place.kind not in DATABASES:
        raise ConfigurationError(f"{place.name} is no database: only databases have a schema")
    if sql:
        screen.say(upkeep("ddl")(place, start=start).rstrip())
        return
    before = ask(place, _version)
    after = ask(place, _upgrade, major) if to is None else _go_back(place, before, to, yes=yes)
    changed = f"version {before} → {after}" if before != after else f"version {after} already"
    screen.say(f"{place.name}: {changed}")


def _go_back(place: Address, before: int, to: int, *, yes: bool) -> int:
    if to >= before:
        raise ConfigurationError(f"--to {to}: the schema is at version {before}; --to goes back, no --to goes up")
    if not yes:
        question = f"{place.name}: go back from version {before} to {to}? What only newer versions can hold is lost."
        typer.confirm(question, abort=True, err=True)
    version: int = ask(place, upkeep("downgrade"), to)
    return version


async def _version(place: Address) -> int:
    return await cast("Store", plugins.sink(place)).schema_version()


async def _upgrade(place: Address, major: bool) -> int:
    return await cast("Store", plugins.sink(place)).migrate(allow_major=major)
