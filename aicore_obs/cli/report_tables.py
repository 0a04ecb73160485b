"""This module is where a report's frame is shown: a table for people, JSON or CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from aicore_obs.cli import screen
from aicore_obs.display.words import usd as usd

Row = Mapping[str, Any]
Cell = Callable[[Row], str]
# Heading → the column it shows, or how a cell is made; what is no text stands to the right.
Columns = Mapping[str, "str | Cell"]


def cost_cell(row: Row) -> str:
    """Return what a group cost: a bound where something has no price."""
    return usd(row["cost_usd"], at_least=row["is_lower_bound"])


def before_cell(row: Row) -> str:
    """Return what it cost before; nothing where nothing is before."""
    if row["before_is_lower_bound"] is None:
        return ""
    return usd(row["cost_before_usd"], at_least=row["before_is_lower_bound"])


def amount(name: str) -> Cell:
    """Return a column of money; nothing where there is none."""
    return lambda row: "" if row[name] is None else usd(row[name])


def percent(name: str, *, signed: bool = False) -> Cell:
    """Return a column of ratios as per cent."""
    return lambda row: "" if row[name] is None else f"{row[name] * 100:{'+' if signed else ''},.1f} %"


def number(name: str, *, places: int = 0) -> Cell:
    """Return a column of numbers, unknown ones as nothing."""
    return lambda row: "" if row[name] is None else f"{row[name]:,.{places}f}"


def listed(name: str) -> Cell:
    """Return a column of lists."""
    return lambda row: ", ".join(map(str, row[name] or ()))


def tell(frame: Any, groups: Sequence[str], columns: Columns, *, form: str) -> None:
    """Write a report: ``form`` is table, json or csv; a table has the groups and then ``columns``."""
    if form == "json":
        screen.say_json([{name: _plain(value) for name, value in row.items()} for row in frame.to_dicts()])
    elif form == "csv":
        screen.say_raw(_as_csv(frame.columns, frame.rows()))
    elif not frame.height:
        screen.say("Nothing to show.")
    else:
        show(frame.to_dicts(), groups, columns)


def show(rows: Iterable[Row], groups: Sequence[str], columns: Columns) -> None:
    """Write a table of rows."""
    cells = (
        [*(_name(row[group]) for group in groups), *(_cell(row, column) for column in columns.values())] for row in rows
    )
    numbers = [heading for heading, column in columns.items() if not isinstance(column, str)]
    screen.show([*groups, *columns], cells, numbers=numbers)


def _cell(row: Row, column: str | Cell) -> Any:
    return row[column] if isinstance(column, str) else column(row)


def _name(value: Any) -> Any:
    return "(none)" if value is None else value


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; amounts as decimal text, so that no digit is lost."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date) else value


def _as_csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(json.dumps(value) if isinstance(value, list) else _plain(value) for value in row)
    return text.getvalue()
