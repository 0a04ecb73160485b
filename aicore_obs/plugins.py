"""This module is where a name or a URL becomes an adapter: a store, a reader, a provider; and third parties' own.

Adapters are loaded when they are first needed, by import path. Third parties add theirs by entry points:
``aicore_obs.sinks`` (URL scheme → callable taking an ``Address``), ``aicore_obs.providers`` (name → module or object).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, cast

import msgspec

from aicore_obs.errors import ConfigurationError
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.pipeline.forks import ForkLock
from aicore_obs.protocols import Address, Provider, Reader, RequestFacts, ResponseFacts, Sink

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
_PROVIDERS = {"openai": "aicore_obs.providers.openai"}
# The shape that many servers answer in; read when a provider is not known by name.
_COMMON_SHAPE = "openai"


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


def reader(address: Address) -> Reader:
    """Return a reader for an address.

    Raises:
        ConfigurationError: what is there cannot be read back.
    """
    path = _READERS.get(address.kind)
    if path is None:
        raise ConfigurationError(f"{address.name} is a sink that cannot be read back")
    return cast("Reader", load(path)(address))


@cache
def provider(name: str | None) -> Provider | None:
    """Return a provider's description, None when there is none by that name."""
    if name is None:
        return None
    if name in _PROVIDERS:
        return cast("Provider", _module(_PROVIDERS[name]))
    theirs = third_parties("aicore_obs.providers").get(name)
    return cast("Provider", theirs.load()) if theirs is not None else None


def import_descriptions() -> None:
    """Import our providers' descriptions now: a fork in the middle of an import leaves a child with half a module."""
    for name in _PROVIDERS:
        provider(name)
    third_parties("aicore_obs.providers")


def derive(operation: Operation) -> Derived | None:
    """Read model, usage and the like out of an operation's payloads, by its provider or else by their shape."""
    known = provider(operation.provider)
    description = known or cast("Provider", provider(_COMMON_SHAPE))
    request, response = _NO_REQUEST, _NO_RESPONSE
    if operation.completion_args is not msgspec.UNSET:
        request = description.read_request(bytes(operation.completion_args))
    if operation.response is not msgspec.UNSET:
        response = description.read_response(bytes(operation.response), request)
    if request is _NO_REQUEST and response is _NO_RESPONSE:
        return None
    source = None
    if response.usage_raw is not msgspec.UNSET:
        source = description.name if known else f"shape:{description.name}"
    return Derived(
        model=request.model or response.model,
        response_model=response.model,
        response_id=response.id,
        finish_reason=response.finish_reason,
        temperature=request.temperature,
        max_tokens=request.max_tokens,
        usage=response.usage,
        usage_source=source,
        usage_raw=response.usage_raw,
    )


_NO_REQUEST = RequestFacts()
_NO_RESPONSE = ResponseFacts()


def load(path: str) -> Any:
    """Return the object at ``module:name``."""
    module, _, name = path.partition(":")
    return getattr(_module(module), name)


def _module(name: str) -> ModuleType:
    """Import one at a time: two threads inside one large package can each find the other's half of it unfinished."""
    with _importing.here:
        return importlib.import_module(name)


_importing = ForkLock()


@cache
def third_parties(group: str) -> dict[str, Any]:
    return {point.name: point for point in entry_points(group=group)}
