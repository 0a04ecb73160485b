"""This module is where our own corrections of the bundled table are read: rows as users write them.

``corrections.toml`` says for each the source and the day on which it was looked up; the newest of these days is part of
a book's version.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from aicore_obs.guard import attempt, log_window
from aicore_obs.pricing.files import read_toml
from aicore_obs.pricing.rows import PriceRow, row_of

_FILE = "corrections.toml"


class Corrections(msgspec.Struct, frozen=True):
    """The rows, and the day on which the newest of them was checked."""

    rows: tuple[PriceRow, ...]
    checked: str


@cache
def corrections() -> Corrections:
    """Return our corrections, read when they are first asked for; without any, and a warning, when they cannot be."""
    outcome = attempt(_read)
    if outcome.value is None:
        log_window.warn("price-corrections", f"the corrections of prices cannot be used: {outcome.error!r}")
        return Corrections((), "none")
    return outcome.value


def _read() -> Corrections:
    content = read_toml(files("aicore_obs.pricing").joinpath(_FILE).read_text(encoding="utf-8"), _FILE)
    rows: list[PriceRow] = []
    for group in content["groups"]:
        rows += [row_of(given, len(rows) + number) for number, given in enumerate(_rows(group))]
    return Corrections(tuple(rows), max(str(group["checked"]) for group in content["groups"]))


def _rows(group: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a group: what the group says holds for each, and the models of a row each have one."""
    shared = {key: value for key, value in group.items() if key not in ("checked", "rows", "about")}
    source = f"{group['source']} ({group['checked']})"
    rows = []
    for row in group["rows"]:
        models = row.get("models", [row.get("model", shared.get("model"))])
        own = {key: value for key, value in row.items() if key != "models"}
        rows += [{**shared, **own, "model": model, "source": source} for model in models]
    return rows
