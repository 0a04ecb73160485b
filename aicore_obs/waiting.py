"""This module is where it is known in which directories records wait for a store, in journals or as dead letters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from aicore_obs.errors import ConfigurationError
from aicore_obs.pipeline.dead_letters import DeadLetters
from aicore_obs.pipeline.survey import survey
from aicore_obs.protocols import Address
from aicore_obs.settings import MIRROR_SUFFIX, state_directories

FILE_STORES = frozenset({"json", "jsonl", "sqlite"})


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
            found += sorted(path for path in state.iterdir() if path.is_dir() and path.suffix != MIRROR_SUFFIX)
    return found


def _sinks_named_in(directory: Path) -> set[str]:
    named = {sink for look in survey(directory) for sink in look.sinks}
    return named | {letter.sink for letter in DeadLetters(directory).all()}
