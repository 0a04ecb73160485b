"""This module is where what a user types becomes a place: a store's address, a journal's directory, a sink."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast
from urllib.parse import quote

import typer

from aicore_obs import plugins
from aicore_obs.addresses import address_of
from aicore_obs.assembly import SCHEMA_TIMEOUT_S
from aicore_obs.collector import LlmOperationCollector
from aicore_obs.errors import AicoreObsError, StoreError
from aicore_obs.guard import attempt
from aicore_obs.pipeline.portal import run_apart
from aicore_obs.protocols import Address
from aicore_obs.waiting import FILE_STORES
from aicore_obs.waiting import beside as beside
from aicore_obs.waiting import journal_directories as journal_directories
from aicore_obs.waiting import state_journals as state_journals

T = TypeVar("T")
DATABASES = frozenset({"sqlite", "postgresql"})
_STORE_HELP = "A URL, or the path of a .json, .jsonl or SQLite file. Default: AICORE_OBS_DB_URL, else ./aicore_obs.db."

StoreArgument = Annotated[str | None, typer.Argument(metavar="[STORE]", help=_STORE_HELP, show_default=False)]
StoresArgument = Annotated[list[str] | None, typer.Argument(metavar="[STORE]...", help=_STORE_HELP, show_default=False)]
SchemaOption = Annotated[
    str, typer.Option("--db-schema", metavar="NAME", help="The PostgreSQL schema in which the tables live.")
]
JournalOption = Annotated[
    Path | None,
    typer.Option("--journal", metavar="DIR", help="A journal's directory, instead of the stores'.", show_default=False),
]
DEFAULT_SCHEMA = "aicore_obs"


def addresses(stores: Sequence[str | None], db_schema: str = DEFAULT_SCHEMA) -> list[Address]:
    """Return the addresses of stores; of none: those of a collector that is made without arguments.

    Raises:
        ConfigurationError: a URL or a path that cannot work; no password is in the message.
    """
    given = [store for store in stores if store is not None]
    # Made, never opened: so that the command and the collector cannot differ in what a store is called.
    return LlmOperationCollector(sinks=given, db_schema=db_schema, enabled=False).addresses


def address(store: str | None, db_schema: str = DEFAULT_SCHEMA) -> Address:
    """Return the address of one store; of none: the database of a collector that is made without arguments."""
    found = addresses([store], db_schema)
    return next((one for one in found if one.kind in DATABASES), found[0])


def sink_address(name: str, known: Iterable[Address]) -> Address | None:
    """Return the address of a sink by its name: one of ``known``, or a file, whose name is all that it takes.

    None for a database that nobody gave a URL for: names hold no credentials.
    """
    stores = list(known)
    found = next((one for one in stores if one.name == name), None)
    kind, _, path = name.partition(":")
    if found is not None or kind not in FILE_STORES or not stores:
        return found
    return address_of(path if kind != "sqlite" else f"sqlite:///{quote(path)}", stores[0].options)


def ask(store: Address, work: Callable[..., Awaitable[T]], *arguments: Any, timeout_s: float = SCHEMA_TIMEOUT_S) -> T:
    """Await ``work(store, *arguments)`` on a loop of its own.

    Raises:
        AicoreObsError: what went wrong, in one line without credentials; a StoreError when it is not one of ours.
    """

    async def asked() -> T:
        return await work(store, *arguments)

    outcome = attempt(run_apart, asked, timeout_s)
    if outcome.error is None:
        return cast("T", outcome.value)
    if isinstance(outcome.error, AicoreObsError):
        raise outcome.error
    said = " ".join(str(outcome.error).split()) or type(outcome.error).__name__
    raise StoreError(f"{store.name}: {said}") from outcome.error


def upkeep(name: str) -> Any:
    """Return a function of the SQL stores' upkeep."""
    return plugins.load(f"aicore_obs.stores.sql.upkeep:{name}")
