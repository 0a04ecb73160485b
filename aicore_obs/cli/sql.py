"""This module is where a user's own question in SQL is asked of a database, and its answer shown."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer

from aicore_obs import plugins
from aicore_obs.cli import screen
from aicore_obs.cli.places import DEFAULT_SCHEMA, SchemaOption, StoreArgument, address, ask
from aicore_obs.errors import ConfigurationError

# Above the database's own limit, which says what it was that took so long.
_GRACE_S = 15.0


def sql(  # noqa: PLR0913 - an option of the command is a parameter here
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="One SELECT, in the database's own SQL.")],
    store: StoreArgument = None,
    max_rows: Annotated[
        int,
        typer.Option("-n", "--number", metavar="N", min=1, help="How many rows to show at most; --csv, --json: all."),
    ] = 1000,
    timeout_s: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="How long the database may take.")
    ] = 60.0,
    *,
    as_csv: Annotated[bool, typer.Option("--csv", help="For programs: a header, and null as nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a list of objects, amounts as text.")] = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Ask a database a question in SQL, read-only.

    The views v_operations, v_costs, v_daily_cost and v_errors are described in docs/sql.md; here they need neither
    prefix nor schema. The database itself refuses to write.
    """
    if as_csv and as_json:
        raise ConfigurationError("--csv and --json: one of the two")
    place = address(store, db_schema)
    wanted = None if as_csv or as_json else max_rows
    work = plugins.load("aicore_obs.stores.sql.questions:answer")
    found = ask(place, work, question, timeout_s, wanted, timeout_s=timeout_s + _GRACE_S)
    if as_csv:
        screen.say_raw(_csv(found.columns, found.rows))
    elif as_json:
        screen.say_json([dict(zip(found.columns, map(_plain, row), strict=True)) for row in found.rows])
    else:
        _show(found)


def _show(found: Any) -> None:
    numbers = {
        name
        for place, name in enumerate(found.columns)
        if any(isinstance(row[place], int | float | Decimal) for row in found.rows)
    }
    screen.show(found.columns, (tuple(map(_plain, row)) for row in found.rows), numbers=numbers)
    if found.is_cut:
        screen.complain(f"There are more than these {screen.counted(len(found.rows), 'row')}; -n shows more.")


def _csv(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(map(_plain, row) for row in rows)
    return text.getvalue()


def _plain(value: Any) -> Any:
    """Return a value that text and JSON can hold: times in ISO 8601, amounts in plain digits, bytes in hexadecimal."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.hex() if isinstance(value, bytes) else value
