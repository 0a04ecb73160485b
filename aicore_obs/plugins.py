"""This module is where a name or a URL becomes an adapter: a store, a reader; and third parties' own.

Adapters are loaded when they are first needed, by import path. Third parties add theirs by entry points:
``aicore_obs.sinks`` (URL scheme → callable taking an ``Address``), ``aicore_obs.providers`` (name → module or object;
see :mod:`aicore_obs.descriptions`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, cast

from aicore_obs.errors import ConfigurationError
from aicore_obs.pipeline.forks import importing
from aicore_obs.protocols import Address, Origin, Pruner, Reader, Sink

_SINKS = {
    "json": "aicore_obs.stores.json_file:JsonFile",
    "jsonl": "aicore_obs.stores.json_file:JsonFile",
    "sqlite": "aicore_obs.stores.sql.sqlite:SqliteStore",
    "postgresql": "aicore_obs.stores.sql.postgres:PostgresStore",
}
_READERS = {
    "json": "aicore_obs.stores.json_reader:JsonReader",
    "jsonl": "aicore_obs.stores.json_reader:JsonReader",
    "sqlite": "aicore_obs.stores.sql.sqlite_reader:SqliteReader",
    "postgresql": "aicore_obs.stores.sql.postgres_reader:PostgresReader",
}
# The same, for databases that may have a mirror.
_MIRRORED = {
    "sqlite": "aicore_obs.stores.sql.sqlite_moment:SqliteSource",
    "postgresql": "aicore_obs.stores.sql.postgres_moment:PostgresSource",
}
_PRUNERS = {
    "json": "aicore_obs.stores.json_pruning:JsonPruner",
    "jsonl": "aicore_obs.stores.json_pruning:JsonPruner",
    "sqlite": "aicore_obs.stores.sql.pruning:SqlPruner",
    "postgresql": "aicore_obs.stores.sql.pruning:SqlPruner",
}
_ORIGINS = {
    "json": "aicore_obs.stores.json_archiving:JsonOrigin",
    "jsonl": "aicore_obs.stores.json_archiving:JsonOrigin",
    "sqlite": "aicore_obs.stores.sql.archiving:SqlOrigin",
    "postgresql": "aicore_obs.stores.sql.archiving:SqlOrigin",
}


def sink(address: Address) -> Sink:
    """Return a new sink for an address."""
    return sink_builder(address)()


def sink_builder(address: Address) -> Callable[[], Sink]:
    """Return what builds a sink, with everything imported that it needs.

    Called on the thread of whoever makes a collector, and never on the writer's: while one thread imports SQLAlchemy
    for the first time, the same import fails in another one (measured with 2.1.9), and that may be the application's.
    """
    path = _SINKS.get(address.kind)
    build = load(path) if path else third_parties("aicore_obs.sinks")[address.kind].load()
    return lambda: cast("Sink", build(address))


def reader(address: Address, *, mirrored: bool = False) -> Reader:
    """Return a reader for an address; ``mirrored``: one whose database can have a mirror.

    Raises:
        ConfigurationError: what is there cannot be read back, or has no mirror.
    """
    path = (_MIRRORED if mirrored else _READERS).get(address.kind)
    if path is None and mirrored:
        raise ConfigurationError(f"{address.name}: only SQLite and PostgreSQL have a mirror; leave mirror= out")
    if path is None:
        raise ConfigurationError(f"{address.name} is a sink that cannot be read back")
    return cast("Reader", load(path)(address))


def has_mirror(address: Address) -> bool:
    """Return whether what is there can have a mirror."""
    return address.kind in _MIRRORED


def pruner(address: Address) -> Pruner:
    """Return what deletes from a store.

    Raises:
        ConfigurationError: nothing can be deleted there.
    """
    path = _PRUNERS.get(address.kind)
    if path is None:
        raise ConfigurationError(f"{address.name} is a sink from which nothing can be deleted")
    return cast("Pruner", load(path)(address))


def origin(address: Address) -> Origin:
    """Return what gives operations of a store to archives.

    Raises:
        ConfigurationError: nothing can be archived from there.
    """
    path = _ORIGINS.get(address.kind)
    if path is None:
        raise ConfigurationError(f"{address.name} is a sink from which nothing can be archived")
    return cast("Origin", load(path)(address))


def load(path: str) -> Any:
    """Return the object at ``module:name``, or the module itself."""
    module, _, name = path.partition(":")
    found = _module(module)
    return getattr(found, name) if name else found


def _module(name: str) -> ModuleType:
    return importing(lambda: importlib.import_module(name))


@cache
def third_parties(group: str) -> dict[str, Any]:
    return {point.name: point for point in entry_points(group=group)}
