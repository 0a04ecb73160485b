"""This module is where it is said what a mirror asks of its database: what came since, counted in one snapshot.

A mirror stays equal by two facts about one moment of the database. *Nothing new is missed*: whatever was inserted since
the last moment is among what comes. *Nothing old is kept*: when everything new is in, both sides hold the same rows
exactly if they hold equally many.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import polars as pl

from aicore_obs.model.frame_columns import FRAME_COLUMNS
from aicore_obs.stores.frame import REVISION, Shape

# Content: what somebody said, or what a message of an error may quote.
_CONTENT = frozenset({"completion_args", "response", "response_text", "error_message", "error_stack"})
# Free objects are kept as their text, since the type of their Struct grows with the store.
TEXTS = {"labels": "labels_json", "extras": "extras_json"}
MIRRORED = tuple(name for name in FRAME_COLUMNS if name not in _CONTENT)
STORED = (*(TEXTS.get(name, name) for name in MIRRORED), REVISION)
KEY = ("timestamp", "operation_id")
# To be closed by whoever stops half-way.
Frames = Generator[pl.DataFrame, None, None]
# Microseconds: after the first, up to the second; None is no bound.
Span = tuple[int | None, int | None]


class Unfit(Exception):  # noqa: N818 - a state, not a mistake
    """The database cannot be mirrored."""


class Moment(Protocol):
    """One snapshot of a database. Frames have :data:`STORED` as their columns and are in the order of :data:`KEY`."""

    identity: str
    """Which database this is, and which version of its schema; another one has nothing to do with a mirror."""
    mark: str
    """What the next moment is told, to know what came after this one."""
    operations: int
    revisions: int
    news: int
    """How many operations :meth:`came` yields."""

    def follows(self) -> bool:
        """Return whether :meth:`came` is sure to have everything; False also when there is nothing to follow."""

    def came(self) -> Frames:
        """Yield the operations that were inserted since the mark; some others may be among them."""

    def recosted(self) -> list[str]:
        """Return the operations of the revisions that were inserted since the mark, one for each revision."""

    def between(self, span: Span) -> Frames:
        """Yield the operations of a span of time."""

    def counts(self, spans: Sequence[Span]) -> list[int]:
        """Return how many operations each span has."""

    def of(self, ids: Sequence[str]) -> Frames:
        """Yield these operations, as far as they are there, a thousand or so at a time."""

    def newest_revisions(self) -> pl.DataFrame:
        """Return ``operation_id`` and :data:`REVISION` of every operation that was costed again."""


class Source(Protocol):
    """A reader whose database can be mirrored."""

    def shape(self) -> Shape:
        """Return the shape of its frames."""

    def moment(self, mark: str | None) -> AbstractContextManager[Moment | None]:
        """Look at the database, after a moment that left this mark; None where there are no tables yet.

        Raises :class:`Unfit` where nobody can tell which database it is.
        """


def in_key_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows in the order in which every reader gives them."""
    return frame.sort(KEY)
