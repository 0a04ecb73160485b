"""This module is where it is written down what a training file was made of: its manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from aicore_obs.model.ids import utc_now
from aicore_obs.model.record import CODEC_VERSION
from aicore_obs.oplog.files import WholeFile, Written
from aicore_obs.oplog.training import Training

# What rows and this manifest look like; a change of either is a new version.
FORMAT_VERSION = 1


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a training file is made of. All but ``created_at`` is the same for the same records and options.

    ``filters`` is what the records were asked for with (None: a list made by hand), ``options`` what became of them
    then, ``counts`` how many were read, written, and left out for which reason; ``since`` and ``until`` are when the
    first and the last operation that was written took place.
    """

    form: str
    files: tuple[Written, ...] = ()
    filters: dict[str, Any] | None
    options: dict[str, Any]
    counts: dict[str, int]
    since: datetime | None
    until: datetime | None
    schema_version: int = CODEC_VERSION
    format_version: int = FORMAT_VERSION
    created_at: datetime


def manifest_of(
    form: str, training: Training, *, records: Any, options: Mapping[str, Any], files: Sequence[Written] = ()
) -> Manifest:
    """Return the manifest of an export that has been written."""
    filters = getattr(records, "filters", None)
    return Manifest(
        form=form,
        files=tuple(files),
        filters=None if filters is None else msgspec.to_builtins(filters, enc_hook=str),
        options={name: _shown(value) for name, value in sorted(options.items()) if name != "tell"},
        counts=dict(sorted(training.counts.items())),
        since=training.since,
        until=training.until,
        created_at=utc_now(),
    )


def manifest_path(path: str | Path) -> Path:
    """Return where the manifest of an export lies: beside it."""
    return Path(f"{path}.manifest.json")


def write(manifest: Manifest, path: str | Path) -> None:
    """Write a manifest beside its export."""
    with WholeFile(manifest_path(path)) as file:
        file.add(msgspec.json.format(msgspec.json.encode(manifest, enc_hook=str), indent=2) + b"\n")


def _shown(value: Any) -> Any:
    return getattr(value, "__qualname__", repr(value)) if callable(value) else value
