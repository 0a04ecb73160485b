"""This module is where a price book is read from a file, TOML or JSON: numbers as written, never by way of float."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from aicore_obs.errors import PriceError
from aicore_obs.guard import attempt

_KEYS = ("rows", "deployments")


def read_book(path: str | Path) -> tuple[list[Any], dict[str, Any]]:
    """Return the rows and the deployments of a file: ``[[rows]]`` and ``[deployments]``; a JSON list is rows alone.

    Raises:
        PriceError: there is no such file, or it cannot be read as what its name says.
    """
    place = Path(path).expanduser()
    outcome = attempt(place.read_text, encoding="utf-8")
    if outcome.value is None:
        raise PriceError(f"{place}: the price book cannot be read: {outcome.error}") from outcome.error
    if place.suffix.lower() not in (".toml", ".json"):
        raise PriceError(f"{place}: a price book is a .toml or a .json file")
    content = read_toml(outcome.value, str(place)) if place.suffix.lower() == ".toml" else _json(outcome.value, place)
    if isinstance(content, list):
        content = {"rows": content}
    if not isinstance(content, dict):
        raise PriceError(f"{place}: an object with rows and deployments, or a list of rows, is needed")
    unknown = [key for key in content if key not in _KEYS]
    if unknown:
        raise PriceError(f"{place}: there is no part {unknown[0]!r}; there are {', '.join(_KEYS)}")
    rows = content.get("rows", [])
    if not isinstance(rows, list):
        raise PriceError(f"{place}: rows is no list; in TOML each row begins with [[rows]]")
    return rows, content.get("deployments", {})


def read_toml(text: str, place: str) -> dict[str, Any]:
    """Return what a TOML text holds.

    Raises:
        PriceError: it is no TOML.
    """
    outcome = attempt(tomllib.loads, text, parse_float=Decimal)
    if outcome.value is None:
        raise PriceError(f"{place}: this is no TOML: {outcome.error}") from outcome.error
    return outcome.value


def _json(text: str, place: Path) -> Any:
    outcome = attempt(json.loads, text, parse_float=Decimal)
    if outcome.error is not None:
        raise PriceError(f"{place}: this is no JSON: {outcome.error}") from outcome.error
    return outcome.value
