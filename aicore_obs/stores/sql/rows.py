"""This module is where records become rows: tuples in the order of the tables' columns, for the drivers themselves.

SQLAlchemy's own insert costs 1.5 to 2.7 times the driver's; it declares the tables and writes the statements, and the
rows go past it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from aicore_obs.model.cost import NO_BILLING, Cost, from_quanta, to_quanta
from aicore_obs.model.escape import MARK, escape, escape_json_nul
from aicore_obs.model.events import CostRevision, Flag, Score
from aicore_obs.model.ids import part_id, to_microseconds
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.record import Payload
from aicore_obs.protocols import Batch
from aicore_obs.stores.catalogue import KEY_CAP, REST, keys_of
from aicore_obs.stores.matching import score_number, score_text
from aicore_obs.stores.replaced import newest, replaced_ids

Row = tuple[Any, ...]

PLAIN = "json"
ESCAPED = "json+escaped"
REQUEST_PART = 1
RESPONSE_PART = 2
# An un-flag of every reason is a row of its own; no reason is empty.
ALL_REASONS = ""

_NOTHING_READ = Derived()
_json = msgspec.json.Encoder()


class Rows:
    """The rows of one batch. ``nul_safe``: the database holds no NUL characters (PostgreSQL), so they are escaped."""

    def __init__(
        self,
        batch: Batch,
        *,
        time: Callable[[datetime], Any],
        amount: Callable[[Decimal], Any],
        nul_safe: bool,
    ) -> None:
        batch = newest(batch)
        self._pairs = list(zip(batch.records, batch.lines, strict=True))
        self._time = time
        self._amount = amount
        self._nul_safe = nul_safe

    def operations(self) -> Iterator[Row]:
        """Yield one row for each operation, in the order of ``tables.operations``."""
        for operation, line in self._operations():
            row = _operation_row(operation, self._time(operation.timestamp), self._amount)
            yield _escaped(row, _JSON_COLUMNS) if self._needs_escapes(line) else row

    def payloads(self) -> Iterator[Row]:
        """Yield one row for each request and each response, in the order of ``tables.payloads``."""
        for operation, line in self._operations():
            escaping = self._needs_escapes(line)
            for part, payload in ((REQUEST_PART, operation.completion_args), (RESPONSE_PART, operation.response)):
                if payload is not msgspec.UNSET:
                    text = bytes(payload).decode()
                    encoding, body = _encoded(text, escaped=operation.escaped, nul_safe=escaping)
                    yield (part_id(operation.id, part), encoding, len(text), body)

    def records(self) -> Iterator[Row]:
        """Yield one row for each record of another kind, in the order of ``tables.records``."""
        for record, line in self._pairs:
            if not isinstance(record, Operation):
                escaping = self._needs_escapes(line)
                encoding, body = _encoded(line.decode(), escaped=False, nul_safe=escaping)
                names = (record.project, record.session_id, record.run_id, record.trace_id, record.span_id)
                texts = tuple(_narrow(name) for name in names) if escaping else names
                kind = record.__struct_config__.tag
                yield (record.id, self._time(record.timestamp), kind, *texts, encoding, body)

    def flags(self) -> Iterator[Row]:
        """Yield one row for each operation that a flag record speaks of, in the order of ``tables.flags``."""
        for record, _ in self._pairs:
            if isinstance(record, Flag):
                reason, note = record.reason or ALL_REASONS, record.note
                if self._nul_safe:
                    reason, note = escape(reason, nul=True), _narrow(note)
                for operation_id in record.operation_ids:
                    yield (operation_id, reason, record.active, record.id, self._time(record.timestamp), note)

    def cost_revisions(self) -> Iterator[Row]:
        """Yield one row for each cost that was made again, in the order of ``tables.cost_revisions``."""
        for record, line in self._pairs:
            if isinstance(record, CostRevision):
                header = (record.operation_id, record.id, self._time(record.timestamp), record.author)
                row = (*header, *_cost_columns(record.cost, self._amount))
                yield _escaped(row, _REVISION_JSON) if self._needs_escapes(line) else row

    def scores(self) -> Iterator[Row]:
        """Yield one row for each score, in the order of ``tables.scores``."""
        for record, _ in self._pairs:
            if isinstance(record, Score):
                name, value, comment = record.name, score_text(record), record.comment
                if self._nul_safe:
                    name, value, comment = escape(name, nul=True), _narrow(value), _narrow(comment)
                when = self._time(record.timestamp)
                yield (record.operation_id, name, record.id, when, value, score_number(record), comment)

    def replaced(self) -> tuple[list[Row], list[Row]]:
        """Return the ids of the operations, and of their payloads, whose older version goes before these come."""
        ids = replaced_ids([record for record, _ in self._pairs])
        parts = (REQUEST_PART, RESPONSE_PART)
        return [(one,) for one in ids], [(part_id(one, part),) for one in ids for part in parts]

    def keys(self) -> Iterator[Row]:
        """Yield (field, key, JSON type) of everything in extras and labels, in the order of ``tables.keys``."""
        for operation, line in self._operations():
            for field, key, kind in _keys_of(operation):
                yield (field, escape(key, nul=True) if self._needs_escapes(line) else key, kind)

    def has_others(self) -> bool:
        """Return whether there is anything but operations."""
        return any(not isinstance(record, Operation) for record, _ in self._pairs)

    def _operations(self) -> Iterator[tuple[Operation, bytes]]:
        return ((record, line) for record, line in self._pairs if isinstance(record, Operation))

    def _needs_escapes(self, line: bytes) -> bool:
        return self._nul_safe and (b"\\u0000" in line or _MARK_BYTES in line)


_MARK_BYTES = MARK.encode()


class KeyCatalogue:
    """Which keys of extras and labels one store is known to have; says which rows are new."""

    def __init__(self, known: Sequence[Row]) -> None:
        self._known = set(known)
        self._counts: dict[str, set[str]] = {}
        for field, key, _ in known:
            self._counts.setdefault(field, set()).add(key)

    def new(self, rows: Iterator[Row]) -> list[Row]:
        """Return the rows to add; past the cap, the one row that says that there are more."""
        fresh: dict[Row, None] = {}
        for row in rows:
            if row in self._known or row in fresh:
                continue
            field, key, _ = row
            keys = self._counts.setdefault(field, set())
            if key in keys or len(keys) < KEY_CAP:
                keys.add(key)
                fresh[row] = None
            elif (field, REST, "json") not in self._known:
                fresh[field, REST, "json"] = None
        return list(fresh)

    def committed(self, rows: Sequence[Row]) -> None:
        """Remember rows that are in the store now."""
        self._known.update(rows)


def sqlite_time(when: datetime) -> int:
    """Return a time as SQLite's tables keep it."""
    return to_microseconds(when)


def sqlite_amount(amount: Decimal) -> int:
    """Return an amount as SQLite's tables keep it; the driver refuses what has more than 64 bits."""
    return to_quanta(amount)


def postgres_amount(amount: Decimal) -> Decimal:
    """Return an amount as PostgreSQL's tables keep it.

    Raises:
        OverflowError: it is no amount. PostgreSQL would take the word NaN.
    """
    return from_quanta(to_quanta(amount))


def _operation_row(operation: Operation, timestamp: Any, amount: Callable[[Decimal], Any]) -> Row:
    derived = operation.derived or _NOTHING_READ
    error = operation.error
    record_id = operation.id
    return (
        record_id,
        timestamp,
        operation.project,
        operation.operation_type,
        operation.provider,
        derived.model,
        derived.response_model,
        operation.api,
        derived.server_address,
        operation.status,
        derived.finish_reason,
        derived.response_id,
        derived.stream_state,
        operation.latency_ms,
        operation.time_to_first_token_ms,
        derived.temperature,
        derived.max_tokens,
        *msgspec.structs.astuple(derived.usage),
        derived.usage_source,
        operation.session_id,
        operation.run_id,
        operation.experiment_id,
        operation.trace_id,
        operation.span_id,
        operation.parent_id,
        operation.workspace,
        operation.agent_id,
        operation.action_id,
        operation.user_id,
        operation.seq,
        None if operation.completion_args is msgspec.UNSET else part_id(record_id, REQUEST_PART),
        None if operation.response is msgspec.UNSET else part_id(record_id, RESPONSE_PART),
        _json.encode(operation.tags).decode() if operation.tags else None,
        _json.encode(operation.labels).decode() if operation.labels else None,
        _payload_text(operation.extras),
        _payload_text(derived.usage_raw),
        _json.encode(operation.odd).decode() if operation.odd else None,
        error.type if error is not None else None,
        error.message if error is not None else None,
        error.stack if error is not None else None,
        *_cost_columns(derived.cost, amount),
        _json.encode(derived.billing).decode() if derived.billing != NO_BILLING else None,
    )


def _cost_columns(cost: Cost | None, amount: Callable[[Decimal], Any]) -> Row:
    """Return what is kept of a cost, in the order in which the tables have it."""
    if cost is None:
        return _NO_COST
    return (
        cost.model,
        None if cost.total is None else amount(cost.total),
        None if cost.input is None else amount(cost.input),
        None if cost.output is None else amount(cost.output),
        cost.source,
        cost.reason,
        cost.price_id,
        cost.book,
        _json.encode(cost.lines).decode() if cost.lines else None,
    )


_NO_COST: Row = (None,) * 9
# Where JSON stands in a row, counted from the end: tags, labels, extras, usage_raw, odd, cost_lines, billing.
_JSON_COLUMNS = (*range(-18, -13), -2, -1)
_REVISION_JSON = (-1,)


def _escaped(row: Row, json_columns: Sequence[int]) -> Row:
    """Return the row with every text as PostgreSQL can hold it."""
    values = [_narrow(value) if isinstance(value, str) else value for value in row]
    for index in json_columns:
        if row[index] is not None:
            values[index] = escape_json_nul(row[index], escaped=False)
    return tuple(values)


def _narrow(text: str | None) -> str | None:
    return escape(text, nul=True) if text else text


def _encoded(text: str, *, escaped: bool, nul_safe: bool) -> tuple[str, str]:
    """Return how a text is kept, and the text so kept."""
    if nul_safe and "\\u0000" in text:
        return ESCAPED, escape_json_nul(text, escaped=escaped)
    return (ESCAPED if escaped else PLAIN), text


def _payload_text(payload: Payload) -> str | None:
    return None if payload is msgspec.UNSET else bytes(payload).decode()


def _keys_of(operation: Operation) -> Iterator[Row]:
    if operation.extras is not msgspec.UNSET:
        yield from keys_of("extras", msgspec.json.decode(operation.extras))
    if operation.labels:
        yield from keys_of("labels", operation.labels)
