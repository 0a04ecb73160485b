"""This module is where an operation is scored from the shell, and a score is taken away."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from aicore_obs.cli import screen
from aicore_obs.cli.flag import opened
from aicore_obs.cli.places import DEFAULT_SCHEMA, SchemaOption, StoreArgument, address
from aicore_obs.errors import StoreError
from aicore_obs.guard import attempt
from aicore_obs.protocols import Address
from aicore_obs.query.rows import read_rows

_WORDS = {"true": True, "false": False}

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The operation's id, as `tail` shows it.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What is scored, such as helpful.")]


def score(
    operation_id: IdArgument,
    name: NameArgument,
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="A number, true or false, or another word: a category.")
    ],
    store: StoreArgument = None,
    comment: Annotated[
        str | None, typer.Option("--comment", metavar="TEXT", help="Kept with the score.", show_default=False)
    ] = None,
    *,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Score an operation of a store under a name: min_score.NAME=NUMBER and scored=NAME find it again.

    Under one name the newest score counts. A negative number stands after `--`. A score is a record like others.
    """
    place = address(store, db_schema)
    _look_for(place, operation_id)
    with opened(place) as tracer:
        tracer.db.score(operation_id, name, _meant(value), comment)
    screen.say(f"Scored: {screen.plain(name)} {screen.plain(value)}")


def unscore(
    operation_id: IdArgument,
    name: NameArgument,
    store: StoreArgument = None,
    *,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Take the score of a name from an operation of a store."""
    place = address(store, db_schema)
    _look_for(place, operation_id)
    with opened(place) as tracer:
        tracer.db.unscore(operation_id, name)
    screen.say(f"Score taken away: {screen.plain(name)}")


def _look_for(place: Address, operation_id: str) -> None:
    """Raise :class:`StoreError` where a store has no such operation: what somebody types may be wrong."""
    if not list(read_rows(place, {"operation_id": operation_id}, ("operation_id",))):
        raise StoreError(f"{place.name} has no operation {operation_id!r}")


def _meant(word: str) -> bool | float | str:
    if word in _WORDS:
        return _WORDS[word]
    number = attempt(float, word).value
    return word if number is None or not math.isfinite(number) else number
