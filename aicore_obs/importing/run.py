"""This module is where a source is brought into a store: read row by row, priced, written, and what was bad counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from aicore_obs.costing import costed_by_settings
from aicore_obs.errors import ConfigurationError
from aicore_obs.guard import attempt
from aicore_obs.importing.made import BadRow
from aicore_obs.importing.sources import Rows, source_of
from aicore_obs.model import codec
from aicore_obs.model.record import Record
from aicore_obs.pipeline.processors import normalise, prepare
from aicore_obs.protocols import Address, Processor
from aicore_obs.transfer.target import Pair, Target, in_batches, on_a_loop, opened

# How many bad rows are told one by one.
_FEW = 10


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """How to import: ``format`` None is told by the content; times that name no zone are of ``timezone``."""

    format: str | None = None
    timezone: str = "UTC"
    dry_run: bool = False
    tell: Callable[[int], object] | None = None


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What an import came to.

    ``counts`` are the records read, by kind; those that the store had already are in it too. ``bad`` counts the rows of
    which none could be made, by reason; ``rejected`` what the store refused; ``problems`` tell the first of both.
    """

    format: str
    counts: dict[str, int]
    bad: dict[str, int] = {}
    rejected: int = 0
    problems: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def ok(self) -> bool:
        """Whether every row became records, and the store took them."""
        return not self.bad and not self.rejected


def import_into(place: Path | str, target: Address, how: Import) -> Imported:
    """Bring what is at a path or URL into a store; ids are made of the source's own, so that twice is once.

    Raises:
        ConfigurationError: the content is of no known format, or there is no such time zone.
        StoreNotFoundError: there is nothing.
        StoreError: the store takes nothing now; the next run goes on.
    """
    source = source_of(place, how.format, _zone(how.timezone))
    run = _Run(how.tell)
    pairs = run.pairs(source.rows)
    # The first is asked for before the target is opened: a source that cannot be read makes no store.
    batches = in_batches(pairs)
    first = next(batches, [])
    written = None
    if how.dry_run:
        for _ in batches:
            continue
    elif first:
        written = on_a_loop(lambda: _written(target, first, batches))
    return Imported(
        format=source.format,
        counts=dict(sorted(run.counts.items())),
        bad=dict(run.bad),
        rejected=written.rejected if written is not None else 0,
        problems=(*run.problems, *(written.problems if written is not None else ())),
        dry_run=how.dry_run,
    )


async def _written(target: Address, first: list[Pair], batches: Iterator[list[Pair]]) -> Target:
    async with opened(target) as store:
        await store.write(first)
        for batch in batches:
            await store.write(batch)
    return store


class _Run:
    """One import at work."""

    def __init__(self, tell: Callable[[int], object] | None) -> None:
        self._tell = tell
        self._normalised: Processor = normalise(costed_by_settings())
        self.counts: Counter[str] = Counter()
        self.bad: Counter[str] = Counter()
        self.problems: list[str] = []

    def pairs(self, rows: Rows) -> Iterator[Pair]:
        """Yield the records of the rows; a bad row costs nothing but itself."""
        for number, (place, read) in enumerate(rows, 1):
            made = attempt(self._made, read)
            if made.value is None:
                self._is_bad(place, made.error)
                continue
            for pair in made.value:
                self.counts[str(pair[0].__struct_config__.tag)] += 1
                yield pair
            if self._tell is not None:
                self._tell(number)

    def _made(self, read: Callable[[], Iterator[Record]]) -> list[Pair]:
        return [self._prepared(record) for record in read()]

    def _prepared(self, record: Record) -> Pair:
        prepared = prepare(codec.encode(record), self._normalised, ())
        if prepared.record is None:
            raise BadRow("a value that no record can hold")
        return prepared.record, prepared.line

    def _is_bad(self, place: str, error: Exception | None) -> None:
        reason = str(error) if isinstance(error, BadRow) else f"cannot be read ({type(error).__name__})"
        self.bad[reason] += 1
        if len(self.problems) < _FEW:
            self.problems.append(f"{place}: {reason}")


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(f"timezone={name!r}: a name such as Europe/Berlin or UTC is needed") from error
