"""This module is where labels of sessions are checked, and where the environment's and the system's come from."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from aicore_obs.guard import attempt, log_window

SYSTEM_PREFIX = "aiobs_"
ENVIRONMENT_PREFIX = "AIOBS_LABEL_"
MAX_LABELS = 64
MAX_VALUE_CHARACTERS = 256
_KEY = re.compile(r"[a-z][a-z0-9_]{0,62}")


def checked(labels: Mapping[str, str] | None) -> dict[str, str]:
    """Return the user's labels as a dict of their own.

    Raises:
        ValueError: a key or a value breaks a rule, or there are too many; the message says which rule.
    """
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        raise ValueError(f"labels={labels!r}: a mapping of text to text is needed")  # noqa: TRY004 - one kind for all
    found = dict(labels)
    for key, value in found.items():
        check(key, value)
    check_count(found)
    return found


def check(key: Any, value: Any) -> None:
    """Check one label of a user.

    Raises:
        ValueError: it breaks a rule; the message says which.
    """
    check_key(key)
    if not isinstance(value, str):
        raise ValueError(f"label {key!r}: the value {value!r} is no text")  # noqa: TRY004 - one kind for all
    if len(value) > MAX_VALUE_CHARACTERS:
        raise ValueError(f"label {key!r}: {len(value)} characters, at most {MAX_VALUE_CHARACTERS} are allowed")
    if attempt(value.encode).error is not None:
        raise ValueError(f"label {key!r}: the value {value!r} is no text that UTF-8 can hold")


def check_key(key: Any) -> None:
    """Check the key of a label of a user.

    Raises:
        ValueError: it breaks a rule; the message says which.
    """
    if not isinstance(key, str) or _KEY.fullmatch(key) is None:
        raise ValueError(f"label key {key!r}: it must fit ^[a-z][a-z0-9_]{{0,62}}$ as a whole")
    if key.startswith(SYSTEM_PREFIX):
        raise ValueError(f"label key {key!r}: keys with {SYSTEM_PREFIX} in front are the system's")


def check_count(labels: Mapping[str, str]) -> None:
    """Check how many labels a user has given.

    Raises:
        ValueError: there are too many.
    """
    if len(labels) > MAX_LABELS:
        raise ValueError(f"{len(labels)} labels: a session has at most {MAX_LABELS}, system labels aside")


def with_environment(labels: dict[str, str]) -> dict[str, str]:
    """Return these labels and those of the environment, which give way; a bad one is left out, and told."""
    found = dict(labels)
    for key, value in _of_environment().items():
        if len(found) >= MAX_LABELS and key not in found:
            log_window.warn("label count", f"{ENVIRONMENT_PREFIX}{key.upper()} is left out: there are {MAX_LABELS}")
            continue
        found.setdefault(key, value)
    return found


def _of_environment() -> dict[str, str]:
    found = {}
    for name, value in sorted(os.environ.items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            key = name.removeprefix(ENVIRONMENT_PREFIX).lower()
            wrong = attempt(check, key, value).error
            if wrong is None:
                found[key] = value
            else:
                log_window.warn(f"label {name}", f"{name} is left out: {wrong}")
    return found


def of_system() -> dict[str, str]:
    """Return the labels that every session has."""
    return {
        "aiobs_sdk_version": version("aicore-obs"),
        "aiobs_python_version": platform.python_version(),
        "aiobs_hostname": platform.node()[:MAX_VALUE_CHARACTERS],
        "aiobs_os": platform.system(),
    }
