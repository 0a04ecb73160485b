"""This module is where users delete: by filter, by age, down to a size; all of it, or only what was said."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import msgspec

from aicore_obs import plugins
from aicore_obs.addresses import address_of
from aicore_obs.derivation import derive
from aicore_obs.errors import AicoreObsError, ConfigurationError, FilterError, StoreError, StoreNotFoundError
from aicore_obs.guard import attempt
from aicore_obs.model import codec
from aicore_obs.model.deletion import Deletion, Pruned, filter_values, without_content
from aicore_obs.model.filter import Filter
from aicore_obs.model.ids import new_id, utc_now
from aicore_obs.model.operation import Operation
from aicore_obs.pipeline import roads
from aicore_obs.pipeline.dead_letters import DeadLetter, DeadLetters
from aicore_obs.pipeline.portal import run_apart
from aicore_obs.pipeline.survey import survey
from aicore_obs.protocols import Address, Pruner, StoreOptions
from aicore_obs.reading import NOBODY, flush_writers_to, place_to_read
from aicore_obs.settings import mirror_directory, parse_age, parse_size
from aicore_obs.waiting import journal_directories

T = TypeVar("T")
# What is deleted between two looks at the size of a store that is to fit: at first, at least, at most.
FIRST_ROWS = 100
FEWEST_ROWS = 20
MOST_ROWS = 50_000
# Empty tables and indices take about a tenth of a megabyte.
LEAST_BYTES = 1_000_000
# Longer than any deletion takes; a database that does not answer is noticed by its own limits.
_TIMEOUT_S = 7 * 86_400.0
_SAID_AS_IT_IS = ("content_only", "dry_run", "vacuum", "author", "tell")
_NOT_FOR_DELETION = ("limit", "order", "columns", "cost_as_of")


class PruneOptions(TypedDict, total=False):
    """What may be said of a deletion besides its filters."""

    content_only: bool
    dry_run: bool
    everything: bool
    older_than: str | timedelta | None
    max_bytes: int | str | None
    vacuum: bool
    author: str | None
    tell: Callable[[int], object] | None


def prune(*, store: Address | str | Path | None = None, **options: Any) -> Pruned:
    """Delete the operations of a store that match, with everything that hangs on them, and return the receipt.

    Args:
        store: an address, URL or path; None: the database that is open in this process, else ``AICORE_OBS_DB_URL``,
            else ``./aicore_obs.db``.
        content_only: only what ``capture_content=False`` would not have kept: requests, responses, and messages and
            stacks of errors. Usage, costs, names and labels stay.
        dry_run: only count.
        everything: needed where nothing else says what is to go.
        older_than: an age: ``"90d"``, ``"12h"``, ``"4w"``, or a timedelta.
        max_bytes: of a SQLite store: the oldest go first, until what is left fits; a number, or text such as ``"2GB"``.
        vacuum: of a SQLite store: give all free space back, which locks writers out meanwhile.
        author: kept with the deletion.
        tell: called with the number of operations that went.
        **options: filters as in :meth:`LlmOperationCollector.polars_from_db`.

    What was deleted does not come back: a record that waited in a journal or among dead letters meanwhile is dropped
    when it comes. May be stopped at any moment and done again.

    Raises:
        FilterError: a filter that does not exist, or cannot be used here; or none at all.
        ConfigurationError: ``store``, ``older_than`` or ``max_bytes`` cannot be used.
        StoreError: there is no store, or it says no.
    """
    place = store if isinstance(store, Address) else _place(store)
    return prune_all([place], options)


def prune_all(places: Sequence[Address], options: dict[str, Any]) -> Pruned:
    """Delete from several stores alike; see :func:`prune`. Those that this process has not written yet are empty."""
    asked = _Asked.of(options)
    found = Pruned(content_only=asked.content_only, dry_run=asked.dry_run)
    for place in places:
        is_ours = bool(roads.writing_to(place.name))
        flush_writers_to(place)
        try:
            found = found.and_also(_pruned(place, asked))
        except StoreNotFoundError:
            if not is_ours:
                raise
            found = found.and_also(Pruned(stores=(place.name,)))
    return found


def _place(store: str | Path | None) -> Address:
    return place_to_read(NOBODY) if store is None else address_of(str(store), StoreOptions())


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, checked."""

    query: Filter
    content_only: bool = False
    dry_run: bool = False
    max_bytes: int | None = None
    vacuum: bool = False
    author: str | None = None
    tell: Callable[[int], object] | None = None

    @classmethod
    def of(cls, options: dict[str, Any]) -> _Asked:
        filters = {name: value for name, value in options.items() if name not in PruneOptions.__annotations__}
        said = {
            name: options[name] for name in ("content_only", "dry_run", "vacuum", "author", "tell") if name in options
        }
        unfit = [name for name in _NOT_FOR_DELETION if filters.get(name) is not None]
        if unfit:
            raise FilterError(f"{unfit[0]}: it does not say which operations are to go")
        query = _aged(Filter.of(**filters), options.get("older_than"))
        max_bytes = None if options.get("max_bytes") is None else parse_size("max_bytes", options["max_bytes"])
        if not (filter_values(query) or max_bytes is not None or options.get("everything")):
            raise FilterError("nothing says what is to go: give a filter or an age, or everything=True (--everything)")
        if max_bytes is not None and max_bytes < LEAST_BYTES:
            raise ConfigurationError(
                f"max_bytes={options['max_bytes']!r}: the empty tables take a part of that, and everything would go; "
                f"{LEAST_BYTES:,} is the least"
            )
        if max_bytes is not None and said.get("dry_run"):
            raise ConfigurationError("max_bytes: how much must go is known only when it has gone; no dry run")
        return cls(query=query, max_bytes=max_bytes, **said)


def _aged(query: Filter, age: str | timedelta | None) -> Filter:
    if age is None:
        return query
    if query.end is not None:
        raise FilterError("older_than and end_date: both say until when; give one of them")
    try:
        end = utc_now() - parse_age("older_than", age)
    except OverflowError as error:
        raise ConfigurationError(f"older_than={age!r}: nothing is that old") from error
    return msgspec.structs.replace(query, end=end, end_exclusive=True)


def _pruned(place: Address, asked: _Asked) -> Pruned:
    pruner, origin = plugins.pruner(place), plugins.origin(place)
    tell = asked.tell or (lambda _: None)

    async def work() -> Pruned:
        before = await pruner.total_bytes()
        if asked.dry_run:
            found = await pruner.count(asked.query, content_only=asked.content_only)
        elif asked.max_bytes is not None:
            found = await _to_fit(place, pruner, asked, asked.max_bytes, tell)
        else:
            found = await pruner.delete(_deletion(asked, asked.query), tell)
        notes = () if asked.dry_run else await pruner.give_back(all_of_it=asked.vacuum)
        sizes = {"bytes_before": before, "bytes_after": await pruner.total_bytes()}
        archives = tuple(one.location for one in await origin.archives())
        return msgspec.structs.replace(found, notes=(*found.notes, *notes), archives=archives, **sizes)

    found = _done(place, work)
    if not (asked.dry_run or asked.content_only) and plugins.has_mirror(place) and mirror_directory(place).is_dir():
        # Polars is loaded for it, so only where there is one.
        notes = plugins.load("aicore_obs.query.mirrored:forget_deleted")(place)
        found = msgspec.structs.replace(found, notes=(*found.notes, *notes))
    letters, waiting = _elsewhere(place, asked)
    return msgspec.structs.replace(
        found,
        stores=(place.name,),
        content_only=asked.content_only,
        dry_run=asked.dry_run,
        dead_letters=letters,
        notes=(*found.notes, *waiting),
    )


async def _to_fit(
    place: Address, pruner: Pruner, asked: _Asked, max_bytes: int, tell: Callable[[int], object]
) -> Pruned:
    """Let the oldest go, step by step, until the store fits."""
    found, rows = Pruned(), FIRST_ROWS
    used = await _used(place, pruner)
    while used > max_bytes:
        until = await pruner.oldest(asked.query, rows, content_only=asked.content_only)
        if until is None:
            note = f"{place.name} still holds {used:,} bytes, and nothing more of what may go"
            return msgspec.structs.replace(found, notes=(note,))
        query = msgspec.structs.replace(asked.query, end=until, end_exclusive=False)
        gone = await pruner.delete(_deletion(asked, query), lambda _: None)
        found = found.and_also(gone)
        tell(found.operations)
        before, used = used, await _used(place, pruner)
        rows = _next_rows(gone.operations, before - used, used - max_bytes)
    return found


async def _used(place: Address, pruner: Pruner) -> int:
    used = await pruner.used_bytes()
    if used is None:
        raise ConfigurationError(f"{place.name}: only a SQLite store is pruned down to a size")
    return used


def _next_rows(gone: int, freed: int, wanted: int) -> int:
    """Return how many rows to delete next, after so many have freed so much: somewhat less than seems to be needed."""
    if freed <= 0:
        return max(FEWEST_ROWS, gone * 2)
    return max(FEWEST_ROWS, min(MOST_ROWS, gone * wanted * 9 // (freed * 10)))


def _deletion(asked: _Asked, query: Filter) -> Deletion:
    return Deletion(
        id=new_id(),
        timestamp=utc_now(),
        filter=filter_values(query),
        content_only=asked.content_only,
        author=asked.author,
    )


def _done(place: Address, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    outcome = attempt(run_apart, work, _TIMEOUT_S)
    if outcome.error is None and outcome.value is not None:
        return outcome.value
    if isinstance(outcome.error, AicoreObsError):
        raise outcome.error
    raise StoreError(f"{place.name}: {outcome.error}") from outcome.error


def _elsewhere(place: Address, asked: _Asked) -> tuple[int, tuple[str, ...]]:
    """Reach the dead letters of a store; return how many went, and which journals still have records for it."""
    letters, notes = 0, []
    # What went until a store fitted is known to the store alone.
    deletion = _deletion(asked, asked.query) if asked.max_bytes is None else None
    for directory in journal_directories([place]):
        if deletion is not None and not deletion.by_id:
            letters += _letters_gone(DeadLetters(directory), place, deletion, dry_run=asked.dry_run)
        waiting = sum(look.pending.get(place.name, 0) for look in survey(directory))
        if waiting:
            notes.append(f"{waiting:,} records wait in {directory}; what of them is deleted is dropped when they come")
    return letters, tuple(notes)


def _letters_gone(kept: DeadLetters, place: Address, deletion: Deletion, *, dry_run: bool) -> int:
    matches = plugins.load("aicore_obs.stores.matching:matcher")(deletion.query)
    gone: list[tuple[str, str | None]] = []
    instead: list[DeadLetter] = []
    for letter in kept.all():
        operation = _operation(letter)
        if letter.sink != place.name or operation is None or not matches(_read(operation)):
            continue
        bare = without_content(operation)
        if deletion.content_only and bare == operation:
            continue
        gone.append((letter.sink, letter.id))
        if deletion.content_only:
            instead.append(msgspec.structs.replace(letter, record=msgspec.Raw(codec.encode(bare))))
    if gone and not dry_run:
        kept.take(gone, instead=instead)
    return len(gone)


def _operation(letter: DeadLetter) -> Operation | None:
    if letter.record is msgspec.UNSET:
        return None
    record = attempt(codec.decode, bytes(letter.record)).value
    return record if isinstance(record, Operation) else None


def _read(operation: Operation) -> Operation:
    """Return an operation as the road makes it: some letters were kept aside before that."""
    if operation.derived is not None:
        return operation
    return msgspec.structs.replace(operation, derived=attempt(derive, operation).value)
