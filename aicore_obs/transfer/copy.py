"""This module is where one store is copied into another: all kinds of records, the same ids, and both sides compared.

A store ignores an id that it has. So a copy may be stopped at any moment and run again, and records that are in the
target beside those of the source stay and are no part of the comparison.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain

import msgspec

from aicore_obs.errors import ConfigurationError
from aicore_obs.model.operation import Operation
from aicore_obs.protocols import Address, Records
from aicore_obs.transfer.content import Contents, Ids, Reckoning
from aicore_obs.transfer.target import Pair, Target, in_batches, on_a_loop, opened, source_of

# Called with what is being done (COPYING, VERIFYING) and the number of operations done.
Tell = Callable[[str, int], object]
COPYING, VERIFYING = "copying", "verifying"


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy came to: the contents of the source, and of the target as far as they have the same ids.

    ``left`` counts what could not be read in the source, by reason (damaged, newer); ``rejected`` what the target
    refused, with the first reasons in ``problems``; ``others`` are records of the target that the source does not have.
    """

    source: Contents
    target: Contents
    others: int = 0
    left: dict[str, int] = {}
    rejected: int = 0
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the target now says of every record what the source says, and nothing was left."""
        return self.source == self.target and not self.left and not self.rejected


def copy(source: Address, target: Address, *, tell: Tell | None = None) -> Copied:
    """Copy every record of one store into another, then read both sides' contents and compare them.

    Raises:
        ConfigurationError: both are the same store, or one cannot be read back.
        StoreNotFoundError: there is no source.
        StoreError: a store takes or gives nothing now; what was written stays, and the next run goes on.
    """
    if _where(source) == _where(target):
        raise ConfigurationError(f"{source.name} is both source and target; name another store")
    reader = source_of(source)
    source_of(target)
    run = _Run(tell or (lambda _words, _done: None))
    written = on_a_loop(lambda: run.copied(reader, target))
    found, others = run.found_in(target)
    return Copied(
        source=run.reckoning.contents(),
        target=found,
        others=others,
        left=dict(run.left),
        rejected=written.rejected,
        problems=tuple(written.problems),
    )


def _where(address: Address) -> object:
    return address.name if address.path is None else address.path.resolve()


class _Run:
    """One copy at work."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self.reckoning = Reckoning()
        self.ids = Ids()
        self.left: Counter[str] = Counter()
        self._operations = 0

    async def copied(self, reader: Records, target: Address) -> Target:
        """Write everything that the source holds."""
        pairs = reader.records(left=lambda reason: self.left.update([reason]))
        # The first is asked for before the target is opened: a missing source makes no target.
        batches = in_batches(self._reckoned(pairs))
        first = next(batches, [])
        async with opened(target) as store:
            for batch in chain([first], batches):
                await store.write(batch)
                self._tell(COPYING, self._operations)
        return store

    def _reckoned(self, pairs: Iterator[Pair]) -> Iterator[Pair]:
        for record, line in pairs:
            self.reckoning.add(record)
            self.ids.add(record.id)
            self._operations += isinstance(record, Operation)
            yield record, line

    def found_in(self, target: Address) -> tuple[Contents, int]:
        """Return what the target holds of the ids that were read, and how many records beside them."""
        found, others, done = Reckoning(), 0, 0
        ids = self.ids.settle()
        for batch in in_batches(source_of(target).records(left=lambda _: None)):
            ours = [record for record, _ in batch if record.id in ids]
            for record in ours:
                found.add(record)
            others += len(batch) - len(ours)
            done += sum(isinstance(record, Operation) for record in ours)
            self._tell(VERIFYING, done)
        return found.contents(), others
