"""This module is where operations are exported into a file of JSON lines, CSV or Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from aicore_obs.cli import screen
from aicore_obs.cli.places import DEFAULT_SCHEMA, SchemaOption, StoreArgument, address
from aicore_obs.cli.progress import progress
from aicore_obs.cli.tail import filters_of
from aicore_obs.exchange import export_operations
from aicore_obs.model.filter import Filter
from aicore_obs.protocols import Address
from aicore_obs.query.costs import sum_costs


def export(  # noqa: PLR0913 - an option of the command is a parameter here
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .jsonl, .csv or .parquet file.", show_default=False)],
    store: StoreArgument = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "-w",
            "--where",
            metavar="NAME=VALUE",
            help="A filter of the readers, as in `tail`; start_date=…, end_date=… and order=desc, too.",
            show_default=False,
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="Only these columns, in this order. Default: all.", show_default=False),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME", help="jsonl, csv or parquet. Default: by the ending.", show_default=False
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option("-n", "--number", metavar="N", min=0, help="At most so many.", show_default=False)
    ] = None,
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Export the operations of a store that match into a file, which is there whole or not at all.

    Amounts keep all their places; labels and extras are JSON: objects in JSON lines, text elsewhere. `import`
    brings JSON lines and Parquet back. For everything that a store has, spans and flags too, `copy` it.
    """
    place = address(store, db_schema)
    filters = filters_of(where or [])
    if count is not None:
        filters["limit"] = count
    if columns is not None:
        filters["columns"] = [one.strip() for one in columns.split(",")]
    with progress("exporting", lambda: _total(place, filters)) as tell:
        done = export_operations(file, filters, store=place, format=file_format, overwrite=overwrite, tell=tell)
    screen.say(f"{screen.counted(done.operations, 'operation')}, {screen.size(done.size_bytes)}: {done.path}")


def _total(place: Address, filters: Mapping[str, Any]) -> int:
    found = sum_costs(place, Filter.of(**filters))
    return found.priced + found.unpriced
