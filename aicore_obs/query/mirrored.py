"""This module is where it is decided which questions the mirror of a database answers, and in which folder it lies.

It answers those for all operations that match, of columns that it has. What it is not sure to understand as the
database does, and what an index finds sooner, goes to the database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Protocol, cast

import polars as pl

from aicore_obs import plugins
from aicore_obs.errors import StoreError
from aicore_obs.model.filter import MATCH_FIELDS, Filter
from aicore_obs.protocols import Address, Reader
from aicore_obs.query.reader import open_reader
from aicore_obs.query.where import conditions
from aicore_obs.settings import from_environment, mirror_directory

_INT64_MAX = 2**63 - 1
# What a filter asks of more than the mirror has, or in numbers that a column may not hold; and what the key finds.
_ONLY_DATABASES = ("operation_id", "id_below", "flagged_for", "scored", "cost_as_of", "min_cost", "max_cost", "limit")
_Schema = Mapping[str, pl.DataType]


class _Mirror(Protocol):
    def frames(
        self, columns: Sequence[str], conditions: Sequence[pl.Expr], *, descending: bool = False
    ) -> Iterator[pl.DataFrame] | None: ...

    def bring_up(self) -> bool: ...


class Mirrored:
    """The mirror of one database, whose reader it is."""

    def __init__(self, address: Address, reader: Reader) -> None:
        settings = from_environment()
        self._mirror: _Mirror = plugins.load("aicore_obs.stores.mirror.mirror:Mirror")(
            address,
            reader,
            mirror_directory(address),
            max_bytes=settings.mirror_max_bytes,
            file_mode=settings.file_mode,
        )

    def bring_up(self) -> bool:
        """Make the mirror equal to the database, or leave nothing of it; return whether nothing else is in it."""
        return self._mirror.bring_up()

    def frames(
        self, query: Filter, columns: Sequence[str], predicate: pl.Expr | None, schema: _Schema
    ) -> Iterator[pl.DataFrame] | None:
        """Return frames of at least ``columns`` of all operations that match, None when the database is to be asked."""
        if not _answers(query, schema):
            return None
        asked = [*conditions(query, schema), *([] if predicate is None else [predicate])]
        needed = dict.fromkeys((*columns, *(name for one in asked for name in one.meta.root_names())))
        if not cast("bool", plugins.load("aicore_obs.stores.mirror.mirror:is_mirrored")(tuple(needed))):
            return None
        return self._mirror.frames(tuple(needed), asked, descending=query.order == "desc")


def forget_deleted(address: Address) -> tuple[str, ...]:
    """Let the mirror of a database have nothing that the database has no more; return what there is to know."""
    folder = mirror_directory(address)
    with suppress(StoreError):
        if Mirrored(address, open_reader(address, mirrored=True)).bring_up():
            return ()
    return (f"{folder} may still have narrow columns of what was deleted; delete that folder",)


def _answers(query: Filter, schema: _Schema) -> bool:
    if any(getattr(query, name) is not None for name in _ONLY_DATABASES):
        return False
    if query.offset or query.min_score or query.max_score or query.where is not None:
        return False
    texts = [text for name in MATCH_FIELDS for text in getattr(query, name) or ()]
    texts += [*query.tags, *query.labels.values()]
    counts = (query.min_tokens, query.max_tokens)
    return (
        all(_is_utf8(text) for text in texts)
        and all(count is None or count <= _INT64_MAX for count in counts)
        and query.labels.keys() <= _labels(schema)
    )


def _labels(schema: _Schema) -> set[str]:
    """Return the labels that have a field of their own; the others are within one text."""
    dtype = schema["labels"]
    return {field.name for field in dtype.fields} - {"_rest"} if isinstance(dtype, pl.Struct) else set()


def _is_utf8(text: str) -> bool:
    """Return whether Polars can hold a text."""
    return text.isprintable() or text.encode("utf-8", "ignore").decode() == text
