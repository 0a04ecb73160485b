"""This module is where every option and environment variable is read: typed, checked, at the time of the call."""

from __future__ import annotations

import hashlib
import math
import os
import re
import tempfile
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import platformdirs

from aicore_obs.errors import ConfigurationError
from aicore_obs.protocols import Address

DEFAULT_DATABASE = "aicore_obs.db"
MIRROR_BYTES = 2**30
MIRROR_SUFFIX = ".mirror"
ENVIRONMENT = {
    "AICORE_OBS_DB_URL": "the database, where no store is given in code",
    "AICORE_OBS_STORAGE_PATH": "the JSON file, where no store is given in code",
    "AICORE_OBS_STATE_DIR": "where journals of database-only collectors live",
    "AICORE_OBS_ENABLED": "0: record nothing",
    "AICORE_OBS_CAPTURE_CONTENT": "0: keep numbers only, no texts",
    "AICORE_OBS_CAPTURE_MEDIA": "1: keep pictures, sound and files as they are, not their type, size and hash",
    "AICORE_OBS_MAX_CONTENT_BYTES": "how large request and response may be, such as 64KB; longer texts are cut",
    "AICORE_OBS_CONTENT_SAMPLE_RATE": "of which share of the operations content is kept, 0 to 1; all are counted",
    "AICORE_OBS_MIGRATE": "auto or never: whether a writer brings the schema up to date by itself",
    "AICORE_OBS_PRICES": "a TOML or JSON file of price rows, where no prices are given in code",
    "AICORE_OBS_ESTIMATE_TOKENS": "0: estimate no tokens of streams without usage, though a tokenizer is installed",
    "AICORE_OBS_MIRROR": "1: lazy frames and reports are read from a local Parquet mirror of the database",
    "AICORE_OBS_MIRROR_MAX_BYTES": "how large such a mirror may become (1GiB)",
    "AICORE_OBS_FILE_MODE": "mode of the files that are made, octal (0600)",
    "AICORE_OBS_WRITER": "internal; or external: `aicore-obs drain --watch` delivers, the process only appends",
}
# The smallest size to which content may be cut: room for what stands in the place of the rest.
LEAST_CONTENT_BYTES = 256
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")
_AGE = re.compile(r"(\d+)([mhdw])")
_AGE_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says."""

    db_url: str | None
    storage_path: str | None
    enabled: bool
    capture_content: bool
    capture_media: bool
    max_content_bytes: int | None
    content_sample_rate: float
    migrate: str | None
    prices: str | None
    estimate_tokens: bool
    mirror: bool
    mirror_max_bytes: int
    file_mode: int
    writer: str | None


def from_environment() -> Settings:
    """Return what the environment says now.

    Raises:
        ConfigurationError: a variable has a value that means nothing.
    """
    return Settings(
        db_url=_text("AICORE_OBS_DB_URL"),
        storage_path=_text("AICORE_OBS_STORAGE_PATH"),
        enabled=_flag("AICORE_OBS_ENABLED", default=True),
        capture_content=_flag("AICORE_OBS_CAPTURE_CONTENT", default=True),
        capture_media=_flag("AICORE_OBS_CAPTURE_MEDIA", default=False),
        max_content_bytes=_size("AICORE_OBS_MAX_CONTENT_BYTES"),
        content_sample_rate=_share("AICORE_OBS_CONTENT_SAMPLE_RATE"),
        migrate=one_of("AICORE_OBS_MIGRATE", _text("AICORE_OBS_MIGRATE"), ("auto", "never")),
        prices=_text("AICORE_OBS_PRICES"),
        estimate_tokens=_flag("AICORE_OBS_ESTIMATE_TOKENS", default=True),
        mirror=_flag("AICORE_OBS_MIRROR", default=False),
        mirror_max_bytes=_bytes("AICORE_OBS_MIRROR_MAX_BYTES", default=MIRROR_BYTES),
        file_mode=_file_mode(),
        writer=one_of("AICORE_OBS_WRITER", _text("AICORE_OBS_WRITER"), ("internal", "external")),
    )


def state_directories() -> list[Path]:
    """Return where a journal without a file store beside it may live, the best first."""
    asked = _text("AICORE_OBS_STATE_DIR")
    if asked is not None:
        return [absolute("AICORE_OBS_STATE_DIR", asked)]
    return [
        Path(platformdirs.user_state_dir("aicore-obs", appauthor=False)),
        Path(tempfile.gettempdir()) / f"aicore-obs-{_user()}",
    ]


def mirror_directory(address: Address) -> Path:
    """Return where the mirror of a database lies: beside a file, else where the state of programs is kept."""
    if address.path is not None:
        return address.path.with_name(address.path.name + MIRROR_SUFFIX)
    # The name has no password in it, and may be long.
    name = hashlib.sha256(address.name.encode()).hexdigest()[:32]
    return state_directories()[0] / f"{name}{MIRROR_SUFFIX}"


def absolute(option: str, path: str | Path) -> Path:
    """Return an absolute path; ``~`` is a home directory.

    Raises:
        ConfigurationError: it is no path, no file system has such a name, or nobody has that home directory.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigurationError(f"{option}={path!r}: a path is needed")
    if "\0" in str(path):
        raise ConfigurationError(f"{option}={str(path)!r}: a path holds no NUL character")
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise ConfigurationError(f"{option}={str(path)!r}: no such home directory is known; write it out") from error


def parse_size(option: str, value: int | str) -> int:
    """Return a number of bytes from a number or from text such as ``"50KB"`` (1000) or ``"64 MiB"`` (1024²).

    Raises:
        ConfigurationError: anything else, negative sizes included.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2].lower() not in _UNITS:
        raise ConfigurationError(f'{option}={value!r}: a number of bytes is needed, or text such as "64MB" or "1GiB"')
    return round(Decimal(match[1]) * _UNITS[match[2].lower()])


def content_size(option: str, value: int | str) -> int:
    """Return to how many bytes content is cut.

    Raises:
        ConfigurationError: it is no size, or too small to say anything.
    """
    size = parse_size(option, value)
    if size < LEAST_CONTENT_BYTES:
        raise ConfigurationError(
            f"{option}={value!r}: at least {LEAST_CONTENT_BYTES} bytes are needed; capture_content=False keeps none"
        )
    return size


def need_share(option: str, value: object) -> None:
    """Check that a value is a number from 0 to 1.

    Raises:
        ConfigurationError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigurationError(f"{option}={value!r}: a number from 0 to 1 is needed, such as 0.1 for a tenth")


def parse_age(option: str, value: str | timedelta) -> timedelta:
    """Return an age that was given as ``"90d"``, ``"12h"``, ``"30m"``, ``"4w"`` or as a timedelta.

    Raises:
        ConfigurationError: it is none.
    """
    if isinstance(value, timedelta):
        return value
    found = _AGE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ConfigurationError(f"{option}={value!r}: an age is needed, such as 90d, 12h, 30m or 4w")
    try:
        return timedelta(**{_AGE_UNITS[found[2]]: int(found[1])})
    except OverflowError as error:
        raise ConfigurationError(f"{option}={value!r}: nothing is that old") from error


def one_of(option: str, value: str | None, allowed: tuple[str, ...]) -> str | None:
    """Return ``value`` if it is allowed (None is).

    Raises:
        ConfigurationError: it is not.
    """
    if value is not None and value not in allowed:
        raise ConfigurationError(f"{option}={value!r}: it is one of {', '.join(allowed)}")
    return value


def need_text(option: str, value: object) -> None:
    """Check that a value is text and not empty.

    Raises:
        ConfigurationError: it is not.
    """
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{option}={value!r}: a text is needed")


def need_switch(option: str, value: object) -> None:
    """Check that a value is True or False.

    Raises:
        ConfigurationError: it is not.
    """
    if not isinstance(value, bool):
        raise ConfigurationError(f"{option}={value!r}: it is True or False")


def need_seconds(option: str, value: object) -> None:
    """Check that a value is a number of seconds: 0 or more, and finite.

    Raises:
        ConfigurationError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ConfigurationError(f"{option}={value!r}: a number of seconds is needed, 0 or more")


def need_function(option: str, value: object) -> None:
    """Check that a value can be called.

    Raises:
        ConfigurationError: it cannot.
    """
    if not callable(value):
        raise ConfigurationError(f"{option}={value!r}: something that can be called is needed")


def need_several(option: str, value: object) -> None:
    """Check that a value is a list or a tuple.

    Raises:
        ConfigurationError: it is something else, such as a single text.
    """
    if not isinstance(value, list | tuple):
        raise ConfigurationError(f"{option}={value!r}: a list is needed, for example {option}=[…]")


def _text(variable: str) -> str | None:
    return os.environ.get(variable) or None


def _flag(variable: str, *, default: bool) -> bool:
    value = os.environ.get(variable, "").strip().lower()
    if not value:
        return default
    if value not in _YES | _NO:
        raise ConfigurationError(f"{variable}={value!r}: it is 1 or 0")
    return value in _YES


def _size(variable: str) -> int | None:
    value = _text(variable)
    return None if value is None else content_size(variable, value)


def _share(variable: str) -> float:
    value = _text(variable)
    try:
        share = 1.0 if value is None else float(value)
    except ValueError:
        share = math.nan
    if math.isnan(share):
        raise ConfigurationError(f"{variable}={value!r}: a number from 0 to 1 is needed, such as 0.1 for a tenth")
    need_share(variable, share)
    return share


def _bytes(variable: str, *, default: int) -> int:
    return parse_size(variable, _text(variable) or default)


def _file_mode() -> int:
    value = os.environ.get("AICORE_OBS_FILE_MODE") or "0600"
    try:
        mode = int(value, 8)
    except ValueError:
        mode = -1
    if not 0o400 <= mode <= 0o777:
        raise ConfigurationError(f"AICORE_OBS_FILE_MODE={value!r}: an octal mode such as 0600 is needed")
    return mode


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "user"


def chosen(option: bool | None, setting: bool) -> bool:
    """Return what an option says, else the setting."""
    return setting if option is None else option
