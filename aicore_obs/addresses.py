"""This module is where paths and URLs that users give become checked addresses; nothing is touched or created here."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from aicore_obs.errors import ConfigurationError, StoreDamagedError
from aicore_obs.plugins import load, third_parties
from aicore_obs.protocols import Address, StoreOptions

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
    if scheme in third_parties("aicore_obs.sinks"):
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
    return _sqlite_file(Path(place), options)


def without_password(url: str) -> str:
    """Return a URL that may be printed."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    shown = f"{user.split(':', 1)[0]}@{host}" if at else host
    return f"{scheme}{separator}{shown}{slash}{path.split('?', 1)[0]}"


def check_place(address: Address) -> None:
    """Say at once, and not from the writer's thread later, that a file store cannot work where it is.

    Raises:
        StoreDamagedError: a file is there and is not what its name says.
        ConfigurationError: the file could not be written.
    """
    path = address.path
    if path is None:
        return
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder; a file is needed")
    if path.exists():
        _check_start(address, path)
    folder = next(parent for parent in (path, *path.parents) if parent.exists())
    if not os.access(folder, os.W_OK):
        raise ConfigurationError(
            f"{path} cannot be written: there is no right to write to {folder}; give it, or name another place"
        )


def _check_start(address: Address, path: Path) -> None:
    if address.kind == "sqlite":
        if not load("aicore_obs.stores.sql.probe:is_database")(path):
            raise StoreDamagedError(f"{path} is no SQLite database; name another file, or move this one away")
        return
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    bare = start.lstrip()
    if address.kind == "json" and bare and not bare.startswith(b"["):
        raise StoreDamagedError(f"{path} holds no JSON array; name another file, or end its name in .jsonl for lines")
    if address.kind == "jsonl" and bare and not bare.startswith(b"{"):
        raise StoreDamagedError(f"{path} holds no lines of JSON objects; name another file")


def _sqlite_address(url: str, options: StoreOptions) -> Address:
    given = url.split(":", 1)[1].split("?", 1)[0]
    path = unquote(given.removeprefix("///")) if given.startswith("///") else ""
    if not path or path == ":memory:":
        raise ConfigurationError(
            f"db_url={url!r}: a file is needed, for example sqlite:///llm_metrics.db (relative) or "
            "sqlite:////var/lib/app/llm.db (absolute); a database in memory could not be read back"
        )
    return _sqlite_file(Path(path), options)


def _sqlite_file(path: Path, options: StoreOptions) -> Address:
    absolute = path.expanduser().absolute()
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
