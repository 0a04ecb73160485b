"""This module is where it is noted which operations of a JSON file match a filter, and what each is shown to cost.

Flags, scores and revisions of costs may come long after their operation, so a file is read to its end before anything
is known. Until an operation's batch is read again, only a short note of it is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from aicore_obs.errors import StoreDamagedError
from aicore_obs.model import codec
from aicore_obs.model.cost import Cost, CostSum, from_quanta, to_quanta
from aicore_obs.model.events import CostRevision, Flag, Score
from aicore_obs.model.filter import Filter
from aicore_obs.model.ids import to_microseconds, utc_now
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.record import Record
from aicore_obs.stores.json_elements import Place, Snapshot
from aicore_obs.stores.matching import FoldedFlags, FoldedScores, cost_matcher, is_seen, matcher
from aicore_obs.stores.said import PLAIN, Said, spoken_of

_NOTHING = Derived()


class Paid(msgspec.Struct, frozen=True, gc=False):
    """What sums and filters must know of a cost: its total, and whether it has a reason."""

    total: Decimal | None
    has_reason: bool


class Revision(msgspec.Struct, frozen=True, order=True, gc=False):
    """A revision's note; the order is that of the ids, which grow with time."""

    id: str
    place: Place
    paid: Paid


class Note(msgspec.Struct, frozen=True, gc=False):
    """What is kept of an operation."""

    # (microseconds, id): the order of what is read
    key: tuple[int, str]
    place: Place
    paid: Paid
    tokens: int | None


class Found:
    """What matches in one file. First :meth:`add` every record, then :meth:`settle`, then read."""

    def __init__(self, query: Filter) -> None:
        self._query = query
        self._matches = matcher(query)
        self._costs_match = cost_matcher(query)
        self._flags = FoldedFlags()
        self._scores = FoldedScores()
        self._operations: dict[str, Note] = {}
        self._replaced: set[str] = set()
        self._revisions: dict[str, list[Revision]] = {}
        self._said: dict[str, list[Place]] = {}
        self.as_of = utc_now()
        self.notes: list[Note] = []

    def add(self, place: Place, record: Record) -> None:
        """Take one record; an operation's id that comes again counts once."""
        for spoken in spoken_of(record):
            self._said.setdefault(spoken, []).append(place)
        if isinstance(record, Flag):
            self._flags.add(record)
        elif isinstance(record, Score):
            self._scores.add(record)
        elif isinstance(record, CostRevision):
            if is_seen(record, self._query):
                revision = Revision(record.id, place, _paid(record.cost))
                self._revisions.setdefault(record.operation_id, []).append(revision)
        elif isinstance(record, Operation) and self._is_newest(record) and self._matches(record):
            derived = record.derived or _NOTHING
            key = to_microseconds(record.timestamp), record.id
            tokens = derived.usage.total_tokens
            self._operations[record.id] = Note(key, place, _paid(derived.cost), tokens)

    def _is_newest(self, operation: Operation) -> bool:
        """Return whether no newer version came before; an older one that did is forgotten."""
        if operation.replaces:
            self._replaced.add(operation.id)
            self._operations.pop(operation.id, None)
            return True
        return operation.id not in self._operations and operation.id not in self._replaced

    def settle(self) -> None:
        """Put what matches into the order of the query, now that every flag, score and revision is known."""
        notes = [note for note in self._operations.values() if self._is_wanted(note)]
        notes.sort(key=lambda note: note.key, reverse=self._query.order == "desc")
        first, limit = self._query.offset, self._query.limit
        self.notes = notes[first : None if limit is None else first + limit]

    def operation(self, snapshot: Snapshot, note: Note) -> Operation:
        """Return the operation of a note with the cost that is shown for it."""
        operation = _operation(snapshot, note.place)
        newest = self._newest(note)
        if newest is None:
            return operation
        derived = msgspec.structs.replace(operation.derived or _NOTHING, cost=_revision(snapshot, newest.place).cost)
        return msgspec.structs.replace(operation, derived=derived)

    def flags(self, note: Note) -> str | None:
        """Return the marks of the operation of a note, as JSON."""
        return self._flags.of(note.key[1])

    def scores(self, note: Note) -> str | None:
        """Return the scores of the operation of a note, as JSON."""
        return self._scores.of(note.key[1])

    def said(self, snapshot: Snapshot, note: Note) -> str | None:
        """Return the records that speak of the operation of a note, as the databases do: a JSON list, or nothing."""
        lines = [snapshot.read(*place).decode() for place in self._said.get(note.key[1], ())]
        return msgspec.json.encode([Said(PLAIN, line) for line in lines]).decode() if lines else None

    def ledger(self, snapshot: Snapshot) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the ledger: number, when (microseconds), who, and the cost, for each operation's id."""
        for note in self.notes:
            when, operation_id = note.key
            derived = _operation(snapshot, note.place).derived or _NOTHING
            yield (operation_id, 0, when, None, *columns_of(derived.cost))
            numbered = enumerate(sorted({one.id: one for one in self._revisions.get(operation_id, ())}.values()), 1)
            for number, one in numbered:
                revision = _revision(snapshot, one.place)
                made = to_microseconds(revision.timestamp)
                yield (operation_id, number, made, revision.author, *columns_of(revision.cost))

    def cost_sum(self) -> CostSum:
        """Return the sum of the costs that are shown."""
        quanta, priced, partial, unpriced, tokens = 0, 0, 0, 0, 0
        for note in self.notes:
            paid = self._paid(note)
            if paid.total is None:
                unpriced += 1
                tokens += note.tokens or 0
            else:
                priced += 1
                partial += paid.has_reason
                quanta += to_quanta(paid.total)
        total = from_quanta(quanta)
        return CostSum(
            total=total, priced=priced, partial=partial, unpriced=unpriced, unpriced_tokens=tokens, as_of=self.as_of
        )

    def _is_wanted(self, note: Note) -> bool:
        reasons = self._query.flagged_for
        if reasons is not None and not self._flags.any_of(note.key[1], reasons):
            return False
        if not self._scores.match(note.key[1], self._query):
            return False
        return self._costs_match is None or self._costs_match(self._paid(note).total)

    def _newest(self, note: Note) -> Revision | None:
        return max(self._revisions.get(note.key[1], ()), default=None)

    def _paid(self, note: Note) -> Paid:
        newest = self._newest(note)
        return note.paid if newest is None else newest.paid


def amount(given: Decimal | None) -> Decimal | None:
    """Return an amount as every store keeps it, with twelve places; what no store can hold is unknown."""
    try:
        return None if given is None else from_quanta(to_quanta(given))
    except OverflowError:
        return None


def columns_of(cost: Cost | None) -> tuple[Any, ...]:
    """Return a cost in the order of the columns of a ledger."""
    if cost is None:
        return (None,) * 9
    amounts = (amount(cost.total), amount(cost.input), amount(cost.output))
    lines = msgspec.json.encode(cost.lines).decode() if cost.lines else None
    return (cost.model, *amounts, cost.source, cost.reason, cost.price_id, cost.book, lines)


_NOT_PAID = Paid(None, has_reason=False)


def _paid(cost: Cost | None) -> Paid:
    return _NOT_PAID if cost is None else Paid(amount(cost.total), cost.reason is not None)


def _operation(snapshot: Snapshot, place: Place) -> Operation:
    record = codec.decode(snapshot.read(*place))
    if not isinstance(record, Operation):
        raise _changed(place)
    return record


def _revision(snapshot: Snapshot, place: Place) -> CostRevision:
    record = codec.decode(snapshot.read(*place))
    if not isinstance(record, CostRevision):
        raise _changed(place)
    return record


def _changed(place: Place) -> StoreDamagedError:
    return StoreDamagedError(f"the file changed under its reader at byte {place[0]}; read it again")
