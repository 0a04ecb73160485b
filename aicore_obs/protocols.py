"""This module is where the sockets of the house are defined, as duties in words; the contract tests check them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from aicore_obs.model.cost import Bill, CostSum, OtherUsage
from aicore_obs.model.record import Payload, Record
from aicore_obs.model.usage import NO_USAGE, Usage

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import polars as pl

    from aicore_obs.model.archive import Archive, Given
    from aicore_obs.model.deletion import Deletion, Pruned
    from aicore_obs.model.events import Span
    from aicore_obs.model.filter import Filter


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Records on their way to one sink.

    ``records`` and ``lines`` are parallel: ``lines[i]`` is the JSON text of ``records[i]`` as a file would keep it.
    ``noted`` is the last value that the sink gave to ``note`` before a crash, else None; a sink without a unique key
    uses it to find what it had already written.
    """

    records: Sequence[Record]
    lines: Sequence[bytes]
    note: Callable[[int], None]
    noted: int | None = None


@runtime_checkable
class Sink(Protocol):
    """A place that takes batches.

    All methods run on the road's one loop, one at a time, with instrumentation suppressed. ``name`` tells one sink
    from another across processes (kind, host, port, path, database, schema) and holds no credentials. A sink with a
    true attribute ``closes_for_forks`` is closed before this process forks, and opened again after.
    """

    name: str

    async def open(self) -> None:
        """Connect and make ready; called again after a failure. May raise what ``write`` may."""

    async def write(self, batch: Batch) -> None:
        """Store the whole batch or nothing, and return only when it is committed.

        A record that is already stored is ignored. Raise :class:`~aicore_obs.errors.SinkUnavailable` when nothing can
        be stored now (the batch comes again), :class:`~aicore_obs.errors.SinkRejected` when these rows can never be
        stored (the batch comes again in halves). Any other exception counts as the sink's own fault.
        """

    async def aclose(self) -> None:
        """Give up connections and locks; must not raise and must return within seconds."""


@runtime_checkable
class Store(Sink, Protocol):
    """A sink with a schema of its own."""

    async def migrate(self, *, allow_major: bool = False) -> int:
        """Bring the schema to this program's version and return that version; harmless when it is there."""

    async def schema_version(self) -> int:
        """Return the version of the schema in the store, 0 when there is none."""


class Frames(Protocol):
    """The way back as frames: reads one store, in the caller's thread, without ever creating it."""

    def schema(self) -> dict[str, pl.DataType]:
        """Return the columns of a full frame with their types; ``extras`` and ``labels`` as this store has them."""

    def batches(self, query: Filter, columns: Sequence[str], *, batch_rows: int) -> Iterator[pl.DataFrame]:
        """Yield the matching operations, ordered by (timestamp, id), as frames of just these columns, in this order.

        At most ``query.limit`` rows in all. Memory is bounded by ``batch_rows``. Raises
        :class:`~aicore_obs.errors.StoreNotFoundError` when there is no store. Costs are those of the newest revision
        that ``query.cost_as_of`` lets see, else the operation's own.
        """


class Reader(Frames, Protocol):
    """The way back: frames, and what operations cost."""

    def costs(self, query: Filter, *, batch_rows: int) -> Iterator[pl.DataFrame]:
        """Yield the ledger of costs of the matching operations: each as it was recorded, then its revisions in order.

        The columns are :data:`~aicore_obs.model.frame_columns.LEDGER_COLUMNS`; what ``query.columns`` says does not
        matter, ``query.limit`` counts operations. Raises as :meth:`batches` does.
        """

    def cost_sum(self, query: Filter) -> CostSum:
        """Return the exact sum of the costs that are shown for the matching operations, added up where they lie.

        ``CostSum.as_of`` is taken before the store is looked at: what was committed until then is in the sum. Raises
        as :meth:`batches` does.
        """


@runtime_checkable
class Records(Protocol):
    """The other way back, which a reader may have: every record as it was written, for copies of a whole store."""

    def records(self, *, left: Callable[[str], object]) -> Iterator[tuple[Record, bytes]]:
        """Yield every record of every kind once, with its line of JSON; what the store holds at one moment.

        ``left`` is called with the reason for each that is passed over: ``"damaged"``, or ``"newer"`` for one that a
        newer program wrote. Memory is bounded. Raises as :meth:`Reader.batches` does.
        """


@runtime_checkable
class Spans(Protocol):
    """What a reader may have besides: the steps that were recorded around operations."""

    def spans(self, scope: str, value: str, *, limit: int) -> Iterator[Span]:
        """Yield the spans whose ``scope`` is ``value``, each once, ordered by (timestamp, id), at most ``limit``.

        ``scope`` is one of :data:`~aicore_obs.model.events.SPAN_SCOPES`. What is damaged, or newer than this program,
        is passed over. Raises as :meth:`Reader.batches` does.
        """


@runtime_checkable
class Archivable(Protocol):
    """What a reader must know besides, so that a store and its archive can be one frame."""

    def catalogue(self) -> Mapping[str, Mapping[str, frozenset[str]]]:
        """Return the keys of ``labels`` and ``extras`` with their types; see :mod:`aicore_obs.stores.catalogue`."""

    def said(self, until: datetime) -> Iterator[Record]:
        """Yield flags, costs and scores that speak of operations which are not here, or not from after ``until``.

        Of flags and scores those that a newer one has replaced may be left out. Raises as :meth:`Frames.batches` does.
        """


class Origin(Protocol):
    """Gives operations of one store away to archives. Methods run on a loop of their own.

    Each raises :class:`~aicore_obs.errors.StoreNotFoundError` where there is no store, and another
    :class:`~aicore_obs.errors.StoreError` when the store says no; what went until then is gone.
    """

    async def archives(self) -> tuple[Archive, ...]:
        """Return the archives that the store knows of, the oldest first; none in a store of an older schema."""

    async def keep(self, archive: Archive) -> None:
        """Keep in the store that there is this archive, in the place of what was known of it."""

    async def give(self, parts: Iterable[Given], tell: Callable[[int], object]) -> int:
        """Let exactly what the parts name go, a part at once, and return how many operations went.

        What was said of an operation and is not named stays. No deletion is kept: an operation that comes again is
        stored again. Writers and readers are not locked out for longer than a part takes. ``tell`` is called with the
        number of operations that are done.
        """


class Pruner(Protocol):
    """Deletes from one store, which it never creates. Methods run on a loop of their own.

    Each raises :class:`~aicore_obs.errors.StoreNotFoundError` where there is no store, and another
    :class:`~aicore_obs.errors.StoreError` when the store says no; what went until then is gone.
    """

    async def count(self, query: Filter, *, content_only: bool) -> Pruned:
        """Return what would go, without ``records``; nothing is changed."""

    async def delete(self, deletion: Deletion, tell: Callable[[int], object]) -> Pruned:
        """Keep the deletion in the store, so that nothing brings back what it is about; then let all of that go.

        May be killed at any moment: whoever does it again finishes it. Writers and readers are not locked out for
        longer than a batch takes. ``tell`` is called with the number of operations that went.
        """

    async def oldest(self, query: Filter, rows: int, *, content_only: bool) -> datetime | None:
        """Return the time of the last of the ``rows`` oldest operations that would go, None when there is none."""

    async def used_bytes(self) -> int | None:
        """Return how many bytes of the store hold something, None where nobody can tell."""

    async def total_bytes(self) -> int | None:
        """Return the size of the store."""

    async def give_back(self, *, all_of_it: bool) -> tuple[str, ...]:
        """Give freed space back, as far as that locks nobody out, or all of it; return what there is to know."""


class Processor(Protocol):
    """A step of the road: takes a record, returns it or another one, or raises :class:`DropRecord`.

    Must give the same answer for the same record each time. Any other exception sends the one record to the dead
    letters.
    """

    def __call__(self, record: Record, /) -> Record: ...


class DropRecord(Exception):  # noqa: N818 - a decision, not a mistake
    """Raised by a processor that wants a record gone; counted as ``dropped(reason)``."""


class RequestFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider's description read from a request.

    ``counts`` are quantities that only the request tells (characters to be spoken, images or seconds of video asked
    for). ``conditions`` are what was asked for of that a price may depend on: ``tier``, ``batch``, ``speed``,
    ``region``, ``size``, ``quality``, ``resolution``, ``search_context``, … What was served goes before it.
    ``answers`` is how many of a thing were asked for; ``counts`` are for all of them together.
    """

    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    base_url: str | None = None
    answers: int | None = None
    counts: Usage = NO_USAGE
    conditions: dict[str, str] = {}


class ResponseFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider's description read from a response; ``usage_raw`` is the provider's own usage object.

    ``provider`` is who answered, where the body says so and it is another one than was asked. ``conditions`` as in
    :class:`RequestFacts`, but as served, ordinary words included (``{"tier": "default"}`` says that no other tier was
    served, whatever was asked). ``usage`` need not be settled yet.
    """

    model: str | None = None
    id: str | None = None
    finish_reason: str | None = None
    usage: Usage = NO_USAGE
    usage_raw: Payload = msgspec.UNSET
    provider: str | None = None
    conditions: dict[str, str] = {}
    bill: Bill | None = None
    others: tuple[OtherUsage, ...] = ()
    is_made_of_others: bool = False


class Provider(Protocol):
    """A description of one provider: how to read its request and its response from JSON. No mechanics, no I/O.

    A reader takes raw JSON of any shape, never raises for a shape that it does not know, and reports nothing that the
    JSON does not say. A module with these names is one. One whose SDK is instrumented has ``hooks`` besides, a tuple of
    :class:`Hook`.
    """

    name: str
    # Names of the hosts of its API: ``api.groq.com`` (its subdomains too), ``-aiplatform.googleapis.com`` (the end of a
    # name), ``bedrock.*.amazonaws.com`` (``*`` is one label), ``:11434`` (a port).
    hosts: tuple[str, ...]

    def read_request(self, raw: bytes) -> RequestFacts: ...

    def read_response(self, raw: bytes, asked: RequestFacts) -> ResponseFacts:
        """Read a body, or a list of stream events, in the light of what was asked."""

    def read_text(self, raw: bytes) -> str | None:
        """Return the text that the model wrote, None when the body has none."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What one call of an SDK asks for, read off its arguments: ``api`` in the words of the SDK's users.

    ``provider``: who answers, where the client says it; the host of ``base_url`` goes before, where it is known.
    """

    api: str
    request: dict[str, Any]
    operation_type: str = "completion"
    base_url: str | None = None
    provider: str | None = None


class Carrier(msgspec.Struct, frozen=True):
    """What carries an answer that is still to come: an HTTP response, and the attribute of the SDK's iterator.

    ``is_read``: the body is there already. Without ``items`` the reader has the response itself in hand. Without
    ``http`` the parts are those of ``items`` of ``holder``, each as ``decode`` makes it.
    """

    http: Any = None
    items: str | None = None
    is_read: bool = False
    holder: Any = None
    decode: Callable[[Any], Any] = lambda part: part


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """One function of an SDK that every call of a model passes exactly once, whatever its shape; told, not done.

    ``read_call`` gets the instance and the arguments, and returns None for what is no call of a model. ``carrier`` gets
    what the function returned, and returns None where that is the answer itself, or a generator of its parts. It may
    raise; then the call is not recorded. ``parameters`` are names that the function must have: an SDK that has changed
    is left alone. ``before_tokens`` are marks of the events of a stream that come before the first token.
    """

    package: str
    module: str
    function: str
    read_call: Callable[[Any, tuple[Any, ...], dict[str, Any]], Asked | None]
    tested: str = "no version named"
    parameters: tuple[str, ...] = ()
    carrier: Callable[[Any], Carrier | None] = lambda _: None
    is_async: bool = False
    before_tokens: tuple[bytes, ...] = ()


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a sink is, parsed and checked but not touched: kind, identity without credentials, how to reach it.

    ``kind`` is ``json``, ``jsonl``, ``sqlite``, ``postgresql`` or the scheme of a third party's sink. ``path`` is
    absolute, for stores that are files. ``url`` may hold credentials and is never printed. ``options`` are the
    collector's settings that stores look at.
    """

    kind: str
    name: str
    path: Path | None = None
    url: str | None = None
    options: StoreOptions


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that stores look at."""

    migrate: str = "auto"
    db_schema: str = "aicore_obs"
    file_mode: int = 0o600
    # True under durability="disk": a commit must survive the loss of power before the journal forgets the record.
    sync: bool = False
