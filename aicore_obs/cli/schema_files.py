"""This module is where the files in ``schema/`` are made from the code, and compared with it.

``python -m aicore_obs.cli.schema_files`` writes the record's JSON Schema and, per dialect and version, the DDL of
the SQL stores; with ``--check`` it writes nothing and fails when a file differs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from aicore_obs.model import codec
from aicore_obs.stores.sql.migrations.migrator import Migrator
from aicore_obs.stores.sql.migrations.place import Place
from aicore_obs.stores.sql.tables import postgres_tables, sqlite_tables

DEFAULT_SCHEMA = "aicore_obs"


def schema_files() -> dict[str, str]:
    """Return the text of every file by its path in ``schema/``."""
    texts = {"record.schema.json": json.dumps(codec.json_schema(), indent=2, sort_keys=True) + "\n"}
    for tables in (sqlite_tables(), postgres_tables(DEFAULT_SCHEMA)):
        place = Place.of(tables)
        migrator = Migrator(place)
        for version in migrator.steps:
            texts[f"{place.dialect}/v{version:04}.sql"] = _without_trailing_blanks(migrator.sql(target=version))
    return texts


def differences(directory: Path) -> list[str]:
    """Return a line for each file in ``directory`` that is not what the code says."""
    texts = schema_files()
    found = {path.relative_to(directory).as_posix(): path for path in directory.rglob("*") if path.is_file()}
    lines = [f"{name}: missing" for name in texts.keys() - found.keys()]
    lines += [f"{name}: no longer made by the code" for name in found.keys() - texts.keys()]
    lines += [
        f"{name}: differs from the code"
        for name in texts.keys() & found.keys()
        if found[name].read_text(encoding="utf-8") != texts[name]
    ]
    return sorted(lines)


def write(directory: Path) -> None:
    """Write every file."""
    for name, text in schema_files().items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


def _without_trailing_blanks(sql: str) -> str:
    return "\n".join(line.rstrip() for line in sql.strip().splitlines()) + "\n"


def _command(
    directory: Annotated[Path, typer.Argument(help="The folder of the files.")] = Path("schema"),
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a file differs.")] = False,
) -> None:
    """Write the schema files, or check that they equal the code."""
    if not check:
        write(directory)
        return
    lines = differences(directory)
    for line in lines:
        typer.echo(f"{directory}/{line}")
    if lines:
        typer.echo("Run `python -m aicore_obs.cli.schema_files` and commit the result.")
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(_command)
