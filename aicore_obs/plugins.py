"""This module is where a name or a URL becomes an adapter: a store, a reader, a provider; and third parties' own.

Adapters are loaded when they are first needed, by import path. Third parties add theirs by entry points:
``aicore_obs.sinks`` (URL scheme → callable taking an ``Address``), ``aicore_obs.providers`` (name → module or object).
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import msgspec

from aicore_obs.errors import ConfigurationError
from aicore_obs.guard import attempt
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.protocols import Address, Provider, Reader, RequestFacts, ResponseFacts, Sink, StoreOptions

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
_FILE_KINDS = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_SQLITE_SCHEMES = frozenset({"sqlite", "sqlite+aiosqlite"})
_POSTGRES_SCHEMES = frozenset({"postgresql", "postgres", "postgresql+asyncpg"})


def file_address(path: str | Path, options: StoreOptions) -> Address:
    """Return the address of a JSON file; the ending tells which form.

    Raises:
        ConfigurationError: the ending is not one of ours.
    """
    absolute = Path(path).expanduser().absolute()
    kind = _FILE_KINDS.get(absolute.suffix.lower())
    if kind is None:
        raise ConfigurationError(f"storage_path={str(path)!r}: the file must end in {', '.join(_FILE_KINDS)}")
    return Address(kind=kind, name=f"{kind}:{absolute}", path=absolute, options=options)


def database_address(url: str, options: StoreOptions) -> Address:
    """Return the address of a database.

    Raises:
        ConfigurationError: the URL cannot work; the message has no password in it.
    """
    scheme = url.split("://", 1)[0].split(":", 1)[0].lower() if isinstance(url, str) else ""
    if scheme in _SQLITE_SCHEMES:
        return _sqlite_address(url, options)
    if scheme in _POSTGRES_SCHEMES:
        return _postgres_address(url, options)
    if scheme in _third_parties("aicore_obs.sinks"):
        return Address(kind=scheme, name=without_password(url), url=url, options=options)
    raise ConfigurationError(
        f"db_url={without_password(str(url))!r}: it starts with sqlite:/// or postgresql://, for example "
        "sqlite:///llm_metrics.db or postgresql://user:password@host/database"
    )


def address_of(place: str, options: StoreOptions) -> Address:
    """Return the address of a URL or of a path to a JSON file or a SQLite file."""
    if "://" in place:
        return database_address(place, options)
    if Path(place).suffix.lower() in _FILE_KINDS:
        return file_address(place, options)
    return database_address(f"sqlite:///{place}", options)


def without_password(url: str) -> str:
    """Return a URL that may be printed."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    shown = f"{user.split(':', 1)[0]}@{host}" if at else host
    return f"{scheme}{separator}{shown}{slash}{path.split('?', 1)[0]}"


def sink(address: Address) -> Sink:
    """Return a new sink for an address."""
    path = _SINKS.get(address.kind)
    build = load(path) if path else _third_parties("aicore_obs.sinks")[address.kind].load()
    return cast("Sink", build(address))


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
        return cast("Provider", importlib.import_module(_PROVIDERS[name]))
    theirs = _third_parties("aicore_obs.providers").get(name)
    return cast("Provider", theirs.load()) if theirs is not None else None


def derive(operation: Operation) -> Derived | None:
    """Read model, usage and the like out of an operation's payloads, by its provider or else by their shape."""
    known = provider(operation.provider)
    description = known or cast("Provider", provider(_COMMON_SHAPE))
    request = response = None
    if operation.completion_args is not msgspec.UNSET:
        request = attempt(description.read_request, bytes(operation.completion_args)).value
    if operation.response is not msgspec.UNSET:
        response = attempt(description.read_response, bytes(operation.response)).value
    request, response = request or RequestFacts(), response or ResponseFacts()
    found = response.usage_raw is not msgspec.UNSET
    derived = Derived(
        model=request.model or response.model,
        response_model=response.model,
        response_id=response.id,
        finish_reason=response.finish_reason,
        temperature=request.temperature,
        max_tokens=request.max_tokens,
        usage=response.usage,
        usage_source=(description.name if known else f"shape:{description.name}") if found else None,
        usage_raw=response.usage_raw,
    )
    return derived if derived != Derived() else None


def load(path: str) -> Any:
    """Return the object at ``module:name``."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _sqlite_address(url: str, options: StoreOptions) -> Address:
    given = url.split(":", 1)[1].split("?", 1)[0]
    path = unquote(given.removeprefix("///")) if given.startswith("///") else ""
    if not path or path == ":memory:":
        raise ConfigurationError(
            f"db_url={url!r}: a file is needed, for example sqlite:///llm_metrics.db (relative) or "
            "sqlite:////var/lib/app/llm.db (absolute); a database in memory could not be read back"
        )
    absolute = Path(path).expanduser().absolute()
    return Address(kind="sqlite", name=f"sqlite:{absolute}", path=absolute, options=options)


def _postgres_address(url: str, options: StoreOptions) -> Address:
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port or 5432
    except ValueError as error:
        raise ConfigurationError(f"db_url={without_password(url)!r}: {error}") from error
    database = unquote(parts.path.lstrip("/"))
    host = host or _host_parameter(parts) or "localhost"
    name = f"postgresql://{host}:{port}/{database or parts.username or ''}#{options.db_schema}"
    return Address(kind="postgresql", name=name, url=url, options=options)


def _host_parameter(parts: SplitResult) -> str | None:
    return parse_qs(parts.query).get("host", [None])[0]


@cache
def _third_parties(group: str) -> dict[str, Any]:
    return {point.name: point for point in entry_points(group=group)}
