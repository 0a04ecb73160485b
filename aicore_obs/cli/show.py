"""This module is where an operation, a conversation or a trace is shown by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from aicore_obs.cli import screen
from aicore_obs.cli.places import DEFAULT_SCHEMA, SchemaOption, StoreArgument, address
from aicore_obs.errors import ConfigurationError
from aicore_obs.showing import show as show_anything
from aicore_obs.showing import show_conversation, show_trace

if TYPE_CHECKING:
    from aicore_obs.display.shown import Shown

_ID = "An id or its beginning, of four characters or more"
FullOption = Annotated[bool, typer.Option("--full", help="Show long texts and large trees whole.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: everything, amounts as text.")]
HtmlOption = Annotated[
    bool, typer.Option("--html", help="A page of its own, for a browser; it runs and loads nothing.")
]


def show(
    id: Annotated[str, typer.Argument(metavar="ID", help=f'{_ID}; "last" is the newest operation.')],  # noqa: A002
    store: StoreArgument = None,
    *,
    full: FullOption = False,
    as_json: JsonOption = False,
    as_html: HtmlOption = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Show what has an id: an operation, the tree of a trace, or the conversation of a session or a run."""
    _tell(show_anything(id, address(store, db_schema), full=full), as_json=as_json, as_html=as_html)


def conversation(
    id: Annotated[str, typer.Argument(metavar="ID", help=f"{_ID}: of a session, run, trace or operation.")],  # noqa: A002
    store: StoreArgument = None,
    *,
    full: FullOption = False,
    as_json: JsonOption = False,
    as_html: HtmlOption = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Show the operations of a session, a run or a trace as one conversation, without what each request repeats."""
    _tell(show_conversation(id, address(store, db_schema), full=full), as_json=as_json, as_html=as_html)


def trace(
    id: Annotated[str, typer.Argument(metavar="ID", help=f"{_ID}: of a trace, session, run or operation.")],  # noqa: A002
    store: StoreArgument = None,
    *,
    full: FullOption = False,
    as_json: JsonOption = False,
    as_html: HtmlOption = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Show what called what: steps and operations with times, tokens, costs and errors."""
    _tell(show_trace(id, address(store, db_schema), full=full), as_json=as_json, as_html=as_html)


def _tell(shown: Shown[Any], *, as_json: bool, as_html: bool) -> None:
    if as_json and as_html:
        raise ConfigurationError("--json and --html: one of the two")
    if as_json:
        screen.say_raw(shown.to_json() + "\n")
    elif as_html:
        screen.say_raw(shown.to_html())
    else:
        screen.out.print(shown)
