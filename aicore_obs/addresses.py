"""This module is where paths and URLs that users give become checked addresses; nothing is touched or created here."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from aicore_obs.errors import ConfigurationError, StoreDamagedError
from aicore_obs.plugins import load, third_parties
from aicore_obs.protocols import Address, StoreOptions
from aicore_obs.settings import absolute

_FILE_KINDS = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_SQLITE_SCHEMES = frozenset({"sqlite", "sqlite+aiosqlite"})
_POSTGRES_SCHEMES = frozenset({"postgresql", "postgres", "postgresql+asyncpg"})


def file_address(path: str | Path, options: StoreOptions) -> Address:
    """Return the address of a JSON file; the ending tells which form.

    Raises:
        ConfigurationError: the ending is not one of ours.
    """
    file = absolute("storage_path", path)
    kind = _FILE_KINDS.get(file.suffix.lower())
    if kind is None:
        raise ConfigurationError(f"storage_path={str(path)!r}: the file must end in {', '.join(_FILE_KINDS)}")
    return Address(kind=kind, name=f"{kind}:{file}", path=file, options=options)


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


def place_of(address: Address) -> str:
    """Return what a user would type for an address; it may hold a password."""
    if address.kind == "sqlite":
        return f"sqlite:///{quote(str(address.path))}"
    return address.url or str(address.path)


def without_password(url: str) -> str:
    """Return a URL that may be printed; in a malformed one, all that could be a password goes."""
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    place = rest.split("?", 1)[0]
    user, at, host = (rest if _cuts_through_password(rest) else place).rpartition("@")
    shown = f"{user.split(':', 1)[0]}@{host}" if at else host
    return f"{scheme}{separator}{shown.split('?', 1)[0]}"


def _cuts_through_password(rest: str) -> bool:
    """Whether the first "?" is within a password: names of parameters hold no "@"."""
    return "@" in rest.partition("?")[2].split("=", 1)[0]


def check_place(address: Address) -> None:
    """Say at once, and not from the writer's thread later, that a file store cannot work where it is.

    Raises:
        StoreDamagedError: a file is there and is not what its name says.
        ConfigurationError: the file could not be written.
    """
    path = address.path
    if path is None:
        return
    try:
        folder = next(parent for parent in (path, *path.parents) if parent.exists())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be a file: {error.strerror}; name another place") from error
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder; a file is needed")
    if folder == path:
        _check_start(address, path)
    elif not folder.is_dir():
        raise ConfigurationError(f"{path} cannot be made: {folder} is no folder; name another place")
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
    if not path or path == ":memory:" or path.startswith("file:"):
        raise ConfigurationError(
            f"db_url={without_password(url)!r}: a file is needed, for example sqlite:///llm_metrics.db (relative) or "
            "sqlite:////var/lib/app/llm.db (absolute); a database in memory could not be read back"
        )
    return _sqlite_file(Path(path), options)


def _sqlite_file(path: Path, options: StoreOptions) -> Address:
    file = absolute("db_url", path)
    return Address(kind="sqlite", name=f"sqlite:{file}", path=file, options=options)


def _postgres_address(url: str, options: StoreOptions) -> Address:
    scheme, _, rest = url.partition("://")
    parts = _split(url)
    given = dict(parse_qsl(parts.query))
    user = parts.username or given.get("user", "")
    database = unquote(parts.path.lstrip("/")) or given.get("dbname") or given.get("database") or user
    name = f"postgresql://{_hosts(url, parts, given)}/{database}#{options.db_schema}"
    return Address(kind="postgresql", name=name, url=f"{scheme.lower()}://{rest}", options=options)


def _split(url: str) -> SplitResult:
    """Return the parts of a URL whose password, if any, is where it belongs and nowhere else."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _malformed(url) from None  # its message may quote the password
    _, separator, rest = url.partition("://")
    if not separator or parts.fragment or "@" in parts.path or _cuts_through_password(rest):
        raise _malformed(url)
    return parts


def _hosts(url: str, parts: SplitResult, given: dict[str, str]) -> str:
    """Return ``host:port``, or several with commas between them, as libpq understands the URL."""
    hosts = unquote(parts.netloc.rpartition("@")[2]) or given.get("host") or "localhost"
    ports = given.get("port", "5432").split(",")
    shown = []
    for index, one in enumerate(hosts.split(",")):
        host, port = _host_and_port(one)
        port = port or ports[min(index, len(ports) - 1)]
        if not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 2**16):
            raise _malformed(url)
        host = host if host.startswith("/") else host.lower()
        shown.append(f"{host or 'localhost'}:{int(port)}")
    return ",".join(shown)


def _host_and_port(text: str) -> tuple[str, str]:
    if text.startswith("/"):  # the folder of a socket
        return text, ""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, port.removeprefix(":")
    host, _, port = text.partition(":")
    return host, port


def _malformed(url: str) -> ConfigurationError:
    return ConfigurationError(
        f"db_url={without_password(url)!r}: host, port or password cannot be told apart; a URL is "
        "postgresql://user:password@host:5432/database, with @ : / ? # in a password or a name as %40 %3A %2F %3F %23"
    )
