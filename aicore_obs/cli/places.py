"""This module is where what a user types becomes a place: a store's address, a journal's directory, a sink."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast
from urllib.parse import quote

import typer

from aicore_obs import plugins
from aicore_obs.addresses import address_of
from aicore_obs.assembly import SCHEMA_TIMEOUT_S
from aicore_obs.collector import LlmOperationCollector
from aicore_obs.errors import AicoreObsError, ConfigurationError, StoreError
from aicore_obs.guard import attempt
from aicore_obs.pipeline.dead_letters import DeadLetters
from aicore_obs.pipeline.portal import run_apart
from aicore_obs.pipeline.survey import survey
from aicore_obs.protocols import Address
from aicore_obs.settings import state_directories

T = TypeVar("T")
DATABASES = frozenset({"sqlite", "postgresql"})
FILE_STORES = frozenset({"json", "jsonl", "sqlite"})
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


def journal_directories(stores: Sequence[Address], journal: Path | None = None) -> list[Path]:
    """Return the directories in which records for these stores may wait; only those that are there.

    Raises:
        ConfigurationError: the directory in ``journal`` is not there.
    """
    if journal is not None:
        directory = journal.expanduser().absolute()
        if not directory.is_dir():
            raise ConfigurationError(f"{journal} is no directory; a journal's directory is needed")
        return [directory]
    names = {one.name for one in stores}
    return [one for one in beside(stores) if one.is_dir()] + [
        one for one in state_journals() if names & _sinks_named_in(one)
    ]


def beside(stores: Iterable[Address]) -> list[Path]:
    """Return the journals' directories of file stores, there or not."""
    files = [one.path for one in stores if one.kind in FILE_STORES and one.path is not None]
    return [path.with_name(path.name + ".journal") for path in files]


def state_journals() -> list[Path]:
    """Return the journals' directories in the state directories of this user: those of stores that are no files."""
    found = []
    for state in state_directories():
        # One that is another user's holds nothing for us.
        with suppress(OSError):
            found += sorted(path for path in state.iterdir() if path.is_dir())
    return found


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


def _sinks_named_in(directory: Path) -> set[str]:
    named = {sink for look in survey(directory) for sink in look.sinks}
    return named | {letter.sink for letter in DeadLetters(directory).all()}
