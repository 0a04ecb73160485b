"""This module is where operations are asked for, flagged and scored: what `oplog` calls ``db``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, Unpack, cast

from aicore_obs.capture.plain import printable
from aicore_obs.capture.scrub import scrub
from aicore_obs.collector import LlmOperationCollector
from aicore_obs.errors import ConfigurationError, JournalFull
from aicore_obs.model.events import Flag, Score
from aicore_obs.model.ids import new_id, utc_now
from aicore_obs.model.record import FIRST_VERSION
from aicore_obs.oplog.mapping import COLUMNS, marks_of, record_of
from aicore_obs.oplog.questions import Filters, ids_of, readers_filters
from aicore_obs.oplog.record import Record, Records
from aicore_obs.oplog.scores import Value, no_score_of, score_of
from aicore_obs.pipeline.portal import in_thread
from aicore_obs.reading import ask, place_to_read

_ROWS = "aicore_obs.query.rows:read_rows"
_MARKED = ("operation_id", "flags_json")
# Ids in one question, and operations in one flag record.
_AT_ONCE = 1_000


class Source(Protocol):
    """Whose operations these are: a tracer."""

    project: str | None
    collector: LlmOperationCollector
    is_on: bool


class Database:
    """Reads, flags and scores the operations of a tracer's store. Everything that was saved here before is seen."""

    def __init__(self, tracer: Callable[[], Source]) -> None:
        self._tracer = tracer

    # -- asking ----------------------------------------------------------------------------------------------------

    def query(self, operation: str | Sequence[str] | None = None, **filters: Unpack[Filters]) -> Records:
        """Return the records that match, newest first.

        Args:
            operation: the operation's type, or several.
            filters: see :class:`~aicore_obs.oplog.questions.Filters`; all of ``tags`` must be there, one of several
                values of anything else. ``limit`` and ``offset`` page through them.

        Raises:
            FilterError: a filter name or value that does not exist; the message lists the right ones.
            StoreError: the store cannot be read.
        """
        stream = self.stream(operation, **filters)
        return Records(stream, filters=stream.filters)

    async def aquery(self, operation: str | Sequence[str] | None = None, **filters: Unpack[Filters]) -> Records:
        """Do as :meth:`query`; other tasks run meanwhile."""
        return await in_thread(self.query, operation, **filters)

    def stream(self, operation: str | Sequence[str] | None = None, **filters: Unpack[Filters]) -> Stream:
        """Return the records of :meth:`query` one by one, so that they need not all be in memory; for exports."""
        given: dict[str, Any] = {**filters} if operation is None else {"operation": operation, **filters}
        asked = readers_filters(given, project=self._tracer().project)
        return Stream(lambda: map(record_of, self._rows(asked, COLUMNS)), asked)

    def get(self, operation_id: str) -> Record | None:
        """Return the record with an id, whatever its project; None when there is none."""
        found = self.query(ids=[operation_id], project=None)
        return found[0] if found else None

    async def aget(self, operation_id: str) -> Record | None:
        """Do as :meth:`get`; other tasks run meanwhile."""
        return await in_thread(self.get, operation_id)

    def highest_seq(self, run_id: str) -> int | None:
        """Return the highest number of a run's operations in the store, None where there is none."""
        asked = readers_filters({"run_id": run_id}, project=self._tracer().project)
        return max((row[0] for row in self._rows(asked, ("seq",)) if row[0] is not None), default=None)

    def _rows(self, filters: Mapping[str, Any], columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        tracer = self._tracer()
        # Where nothing is recorded, nobody makes the store.
        rows = ask(_ROWS, place_to_read(tracer.collector), filters, columns, may_be_missing=not tracer.is_on)
        return cast("Iterator[tuple[Any, ...]]", rows)

    # -- flagging --------------------------------------------------------------------------------------------------

    def flag(
        self,
        ids: str | Iterable[str | Record] | None = None,
        *,
        run_id: str | None = None,
        reason: str,
        note: str | None = None,
    ) -> int:
        """Flag operations for a reason, and return how many.

        Args:
            ids: ids or records. What the store does not have, or has of another project, is passed over.
            run_id: every operation of the run; with ``ids``, these and those.
            reason: what for; an operation can be flagged for several. Again for the same: the new note counts.
            note: kept with the flag.

        Raises:
            ConfigurationError: neither ``ids`` nor ``run_id``, or no reason; a ValueError, too.
            JournalFull: the journal took no more.
        """
        if not isinstance(reason, str) or not reason:
            raise ConfigurationError(f"reason={reason!r}: say what for, such as reason='training'")
        chosen = [one for one, _ in self._chosen(ids, run_id)]
        self._mark(chosen, reason=reason, note=note, active=True)
        return len(chosen)

    async def aflag(
        self,
        ids: str | Iterable[str | Record] | None = None,
        *,
        run_id: str | None = None,
        reason: str,
        note: str | None = None,
    ) -> int:
        """Do as :meth:`flag`; other tasks run meanwhile."""
        return await in_thread(self.flag, ids, run_id=run_id, reason=reason, note=note)

    def unflag(
        self,
        ids: str | Iterable[str | Record] | None = None,
        *,
        run_id: str | None = None,
        reason: str | None = None,
    ) -> int:
        """Take the flag for a reason away, without a reason all of them; return how many operations had one.

        Raises:
            ConfigurationError: neither ``ids`` nor ``run_id``, or an empty reason; a ValueError, too.
            JournalFull: the journal took no more.
        """
        if reason is not None and (not isinstance(reason, str) or not reason):
            raise ConfigurationError(f"reason={reason!r}: name a reason, or leave it out to take every flag away")
        held = [(one, marks_of(flags)) for one, flags in self._chosen(ids, run_id)]
        wanted = reason and printable(reason)
        chosen = [one for one, marks in held if (marks if wanted is None else wanted in marks)]
        self._mark(chosen, reason=reason, note=None, active=False)
        return len(chosen)

    async def aunflag(
        self,
        ids: str | Iterable[str | Record] | None = None,
        *,
        run_id: str | None = None,
        reason: str | None = None,
    ) -> int:
        """Do as :meth:`unflag`; other tasks run meanwhile."""
        return await in_thread(self.unflag, ids, run_id=run_id, reason=reason)

    # -- scoring ---------------------------------------------------------------------------------------------------

    def score(self, operation: str | Record, name: str, value: Value, comment: str | None = None) -> None:
        """Score an operation under a name: what a user or an evaluation thinks of it.

        The store is not asked, so that this costs what saving costs: the operation may come later, and a score of an
        id that nobody has is kept and shown nowhere. Under the same name the newest score counts.

        Args:
            operation: its id, or its record.
            name: what is scored, such as ``"helpful"``.
            value: a finite number, a bool (filters count it as 1 or 0), or a text for a category.
            comment: kept with the score.

        Raises:
            ConfigurationError: no id, no name, or another value; a ValueError, too.
            JournalFull: the journal took no more.
        """
        self._keep(score_of(operation, name, value, comment=comment, project=self._tracer().project))

    async def ascore(self, operation: str | Record, name: str, value: Value, comment: str | None = None) -> None:
        """Do as :meth:`score`; other tasks run meanwhile."""
        await in_thread(self.score, operation, name, value, comment)

    def unscore(self, operation: str | Record, name: str) -> None:
        """Take the score of a name away.

        Raises:
            ConfigurationError: no id or no name; a ValueError, too.
            JournalFull: the journal took no more.
        """
        self._keep(no_score_of(operation, name, project=self._tracer().project))

    async def aunscore(self, operation: str | Record, name: str) -> None:
        """Do as :meth:`unscore`; other tasks run meanwhile."""
        await in_thread(self.unscore, operation, name)

    def _keep(self, score: Score) -> None:
        tracer = self._tracer()
        if tracer.is_on and tracer.collector.record(score) is None:
            raise JournalFull("the operation was not scored: the journal took no more")

    def _chosen(self, ids: Any, run_id: str | None) -> list[tuple[str, str | None]]:
        """Return the operations that are meant, each with its marks as the store lists them."""
        if ids is None and run_id is None:
            raise ConfigurationError("which operations? Give ids=[…], run_id=…, or both")
        project = self._tracer().project
        wanted = [] if ids is None else ids_of(ids)
        questions: list[dict[str, Any]] = [
            {"ids": wanted[start : start + _AT_ONCE]} for start in range(0, len(wanted), _AT_ONCE)
        ]
        if run_id is not None:
            questions.append({"run_id": run_id})
        asked = [readers_filters(one, project=project) for one in questions]
        return list({row[0]: row[1] for one in asked for row in self._rows(one, _MARKED)}.items())

    def _mark(self, ids: Sequence[str], *, reason: str | None, note: str | None, active: bool) -> None:
        for start in range(0, len(ids), _AT_ONCE):
            flag = Flag(
                id=new_id(),
                timestamp=utc_now(),
                v=FIRST_VERSION,
                project=self._tracer().project,
                operation_ids=tuple(ids[start : start + _AT_ONCE]),
                reason=reason and printable(reason),
                note=note and printable(scrub(note)),
                active=active,
            )
            tracer = self._tracer()
            if tracer.is_on and tracer.collector.record(flag) is None:
                raise JournalFull(f"{len(ids) - start} operations were not flagged: the journal took no more")


class Stream:
    """The records of one question, read as they are asked for, each time anew; ``filters`` is what was asked."""

    def __init__(self, read: Callable[[], Iterator[Record]], filters: Mapping[str, Any]) -> None:
        self._read = read
        self.filters = dict(filters)

    def __iter__(self) -> Iterator[Record]:
        return self._read()
