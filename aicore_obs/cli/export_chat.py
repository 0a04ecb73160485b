"""This module is where stored operations become a fine-tuning file from the shell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from aicore_obs.cli import screen
from aicore_obs.cli.places import DEFAULT_SCHEMA, SchemaOption, StoreArgument, address
from aicore_obs.cli.progress import progress
from aicore_obs.cli.tail import filters_of
from aicore_obs.errors import ConfigurationError
from aicore_obs.oplog.database import Stream
from aicore_obs.oplog.export import split_path, to_chat_jsonl
from aicore_obs.oplog.manifest import Manifest, manifest_path
from aicore_obs.oplog.mapping import COLUMNS, record_of
from aicore_obs.oplog.questions import readers_filters
from aicore_obs.oplog.training import SECRETS, Secrets
from aicore_obs.protocols import Address
from aicore_obs.query.costs import sum_costs
from aicore_obs.query.rows import read_rows
from aicore_obs.settings import one_of


def export_chat(  # noqa: PLR0913 - an option of the command is a parameter here
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write (.jsonl).", show_default=False)],
    store: StoreArgument = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "-w",
            "--where",
            metavar="NAME=VALUE",
            help="A filter of the readers, as in `tail`, such as flagged_for=training.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=SHARE,…",
            help="A file for each: train=0.9,test=0.1. A question stays in its split when others come.",
            show_default=False,
        ),
    ] = None,
    split_by: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            help="What must not be in two splits, such as run_id. Default: what was asked.",
            show_default=False,
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Instructions for conversations without any.", show_default=False),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD", help="Where what was asked stands: inputs.query. Default: found.", show_default=False
        ),
    ] = None,
    answer: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD", help="Where the answer stands: outputs.label. Default: found.", show_default=False
        ),
    ] = None,
    secrets: Annotated[
        str, typer.Option(metavar="WHAT", help="Conversations with what looks like a key: mask, drop or keep.")
    ] = "mask",
    *,
    duplicates: Annotated[bool, typer.Option("--duplicates", help="Keep conversations that are equal.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    db_schema: SchemaOption = DEFAULT_SCHEMA,
) -> None:
    """Export operations as conversations in OpenAI's fine-tuning format, newest first, with a manifest beside the file.

    Failed and cut off operations, and those without a question or an answer, are left out and counted.
    """
    place = address(store, db_schema)
    asked = readers_filters(filters_of(where or []), project=None)
    shares = None if split is None else _shares(split)
    one_of("--secrets", secrets, SECRETS)
    _check_free(file, shares, overwrite=overwrite)
    stream = Stream(lambda: map(record_of, read_rows(place, asked, COLUMNS)), asked)
    with progress("exporting", lambda: _total(place, asked)) as tell:
        manifest = to_chat_jsonl(
            stream,
            file,
            system=system,
            prompt=prompt,
            answer=answer,
            split=shares,
            split_by=split_by,
            secrets=cast("Secrets", secrets),
            deduplicate=not duplicates,
            tell=tell,
        )
    _show(manifest, file)


def _shares(text: str) -> dict[str, float]:
    pairs = [part.partition("=") for part in text.split(",")]
    try:
        return {name.strip(): float(share) for name, _, share in pairs}
    except ValueError as error:
        raise ConfigurationError(f"--split {text!r}: NAME=SHARE,… is needed, such as train=0.9,test=0.1") from error


def _check_free(file: Path, shares: Mapping[str, float] | None, *, overwrite: bool) -> None:
    paths = [file] if shares is None else [split_path(file, name) for name in shares]
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise ConfigurationError(f"{there[0]} is there already; --overwrite replaces it")


def _total(place: Address, filters: Mapping[str, Any]) -> int:
    found = sum_costs(place, filters)
    return found.priced + found.unpriced


def _show(manifest: Manifest, file: Path) -> None:
    for one in manifest.files:
        screen.say(f"{one.name}: {screen.counted(one.rows, 'conversation')}, {screen.size(one.bytes)}")
    left_out = {name: count for name, count in manifest.counts.items() if name not in ("read", "written")}
    for name, count in left_out.items():
        screen.say(f"  {name.replace('_', ' ')}: {count:,}")
    screen.say(f"Manifest: {manifest_path(file)}")
