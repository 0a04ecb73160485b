"""This module is where it is decided which store a question goes to, and that one reads one's own writes.

The readers themselves are reached by name, so that whoever only writes loads no Polars.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from aicore_obs import plugins
from aicore_obs.addresses import address_of, database_address
from aicore_obs.errors import ConfigurationError
from aicore_obs.guard import log_window
from aicore_obs.pipeline import roads
from aicore_obs.protocols import Address, StoreOptions
from aicore_obs.settings import DEFAULT_DATABASE, from_environment

P = ParamSpec("P")
T = TypeVar("T")
FLUSH_TIMEOUT_S = 30.0
# How long a reader waits for somebody to deliver what this process only appends, when nobody is there who does.
PATIENCE_S = 1.0
DATABASES = frozenset({"sqlite", "postgresql"})


class Writes(Protocol):
    """Whoever writes to stores: an open collector."""

    @property
    def addresses(self) -> Sequence[Address]: ...


# Weak: whom nobody holds any more, nobody means by "the open collectors". Its road is flushed and closed all the same.
open_collectors: weakref.WeakSet[Writes] = weakref.WeakSet()


class OnClassOrInstance(Generic[P, T]):
    """A method that is given the instance, or None when it is called on the class."""

    def __init__(self, method: Callable[Concatenate[Any, P], T]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, instance: object | None, owner: type) -> Callable[P, T]:
        return self._method.__get__(instance if instance is not None else NOBODY, owner)  # type: ignore[no-any-return]


class _Nobody:
    """Stands for the instance where a method is called on the class."""

    addresses: Sequence[Address] = ()


NOBODY = _Nobody()


def ask(question: str, address: Address, *args: Any, **options: Any) -> Any:
    """Return what the function at ``module:name`` says of a store, told what it must know of this process's writers."""
    answer = plugins.load(question)
    is_ours = bool(roads.writing_to(address.name))
    return answer(address, *args, before=lambda: flush_writers_to(address), is_ours=is_ours, **options)


def flush_writers_to(address: Address) -> bool:
    """Flush every road of this process that leads to a store; return whether everything is in it."""
    results = [road.flush(FLUSH_TIMEOUT_S, patience_s=PATIENCE_S) for road in roads.writing_to(address.name)]
    for result in results:
        if not result.ok:
            log_window.warn("read", f"reading {address.name} while {result.pending} records are not in it yet")
    return all(result.ok for result in results)


def pending_to(address: Address) -> int:
    """Return how many records of this process are on their way to a store."""
    return sum(road.stats().sinks[address.name].pending for road in roads.writing_to(address.name))


def place_to_read(asker: Writes, db_url: str | None = None) -> Address:
    """Return the store that is meant: ``db_url``, else the asker's own, else the one database that is open here.

    Raises:
        ConfigurationError: several databases are open, and which one is meant was not said.
    """
    if db_url is not None:
        return address_of(db_url, StoreOptions())
    if asker.addresses:
        return ([one for one in asker.addresses if one.kind in DATABASES] or asker.addresses)[0]
    found = {one.name: one for collector in list(open_collectors) for one in collector.addresses}
    databases = [one for one in found.values() if one.kind in DATABASES]
    if len(databases) > 1:
        names = ", ".join(sorted(one.name for one in databases))
        raise ConfigurationError(f"several databases are open ({names}): name one with db_url=, or ask its collector")
    if databases:
        return databases[0]
    url = from_environment().db_url
    return database_address(url or f"sqlite:///{DEFAULT_DATABASE}", StoreOptions())


def place_of(source: Any) -> Address:
    """Return the store that users mean by an address, a collector, a URL or a path; of None the one that is open here.

    Raises:
        ConfigurationError: it is none of these, or several databases are open.
    """
    if isinstance(source, Address):
        return source
    if source is None or hasattr(source, "addresses"):
        return place_to_read(NOBODY if source is None else source)
    if isinstance(source, str | Path):
        return address_of(str(source), StoreOptions())
    raise ConfigurationError(
        f"{type(source).__name__} is no source: a collector, or a store's URL or path is needed; of a report, a "
        "Polars frame will do, too"
    )
