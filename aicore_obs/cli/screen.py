"""This module is where it is decided how the command speaks: answers on stdout, complaints and progress on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from aicore_obs.display.words import counted as counted
from aicore_obs.display.words import harmless
from aicore_obs.display.words import size as size
from aicore_obs.display.words import when as when

# Nothing is cut off where a program reads the answer and not a person.
PIPE_WIDTH = 400

out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


def say(text: str) -> None:
    """Write one answer; long lines stay whole."""
    out.print(text, soft_wrap=True)


def complain(text: str) -> None:
    """Write one line about what went wrong."""
    err.print(text, soft_wrap=True)


def say_json(value: Any) -> None:
    """Write an answer for programs."""
    out.print(json.dumps(value, indent=2, default=str, ensure_ascii=not _speaks_unicode()), soft_wrap=True)


def say_raw(text: str) -> None:
    """Write text for programs, as it is."""
    out.file.write(text)


def show(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Iterable[str] = ()) -> None:
    """Write a table; the columns in ``numbers`` are set to the right."""
    right = frozenset(numbers)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # What is too long is folded and not cut off; an id stays on one line, so that it can be copied.
        table.add_column(
            column, justify="right" if column in right else "left", overflow="fold", no_wrap=column == "id"
        )
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    wide = out if out.is_terminal else Console(file=out.file, width=PIPE_WIDTH, highlight=False)
    wide.print(table)


def plain(value: Any) -> str:
    """Return a value as one line that cannot move the cursor, whatever text a record holds; nothing for None."""
    if value is None:
        return ""
    return harmless(when(value) if isinstance(value, datetime) else str(value), lines=False)


def _speaks_unicode() -> bool:
    return (out.encoding or "").lower().startswith("utf")
