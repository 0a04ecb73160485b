"""This module is where rows become records again, all kinds of them, with everything that was written.

It is the way back from :mod:`aicore_obs.stores.sql.rows`, for copies of a whole store; frames take a shorter one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Select, Text, bindparam, cast, select

from aicore_obs.model import codec
from aicore_obs.model.cost import NO_BILLING, Billing, Cost, CostLine
from aicore_obs.model.escape import MARK, unescape, unescape_json
from aicore_obs.model.events import Span
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.record import FIRST_VERSION, ErrorInfo, Payload, Record
from aicore_obs.model.usage import Usage
from aicore_obs.stores.sql.rows import ESCAPED
from aicore_obs.stores.sql.tables import Tables

# What a payload is kept in, beside each operation.
_BESIDE = ("request_encoding", "request_body", "response_encoding", "response_body")
_JSON = ("tags", "labels", "extras", "usage_raw", "odd", "cost_lines", "billing")
_HEADER = ("project", "session_id", "run_id", "experiment_id", "trace_id", "span_id", "parent_id", "seq")
_BODY = ("operation_type", "provider", "api", "latency_ms", "time_to_first_token_ms", "workspace", "agent_id",
         "action_id", "user_id")  # fmt: skip
_DERIVED = ("model", "response_model", "response_id", "server_address", "finish_reason", "stream_state",
            "temperature", "max_tokens", "usage_source")  # fmt: skip
_AMOUNTS = {"total": "cost_usd", "input": "input_cost_usd", "output": "output_cost_usd"}
_COST = {"source": "cost_source", "reason": "cost_reason", "model": "priced_model", "price_id": "price_id",
         "book": "price_book"}  # fmt: skip
_NO_COST, _NOTHING_READ = Cost(), Derived()
_labels = msgspec.json.Decoder(dict[str, Any])
_tags = msgspec.json.Decoder(tuple[str, ...])
_lines = msgspec.json.Decoder(tuple[CostLine, ...])
_billing = msgspec.json.Decoder(Billing)
_escaping = msgspec.json.Decoder()

Row = Mapping[str, Any]


class Restored:
    """The records of one store's rows.

    ``there`` are the columns that its ``operations`` have: an older schema has fewer. ``time`` and ``amount`` turn what
    the driver hands over; ``narrow`` says that text may hold escapes of NUL (PostgreSQL).
    """

    def __init__(
        self,
        tables: Tables,
        there: Collection[str],
        *,
        time: Callable[[Any], datetime],
        amount: Callable[[Any], Decimal],
        narrow: bool,
    ) -> None:
        self._tables = tables
        self._names = [
            column.name for column in tables.operations.columns if column.name in there and column.name != "id"
        ]
        self._row = ("id", *self._names, *_BESIDE)
        self._time = time
        self._amount = amount
        self._narrow = narrow

    def select_operations(self) -> Select[Any]:
        """Return the SELECT of operations with their payloads, by id, above the id that is bound as ``after``."""
        table = self._tables.operations
        request, response = self._tables.payloads.alias("request"), self._tables.payloads.alias("response")
        source = table.outerjoin(request, request.c.payload_id == table.c.request_payload_id)
        source = source.outerjoin(response, response.c.payload_id == table.c.response_payload_id)
        columns = [cast(table.c.id, Text()), *(table.c[name] for name in self._names)]
        payloads = [one.c[name] for one in (request, response) for name in ("encoding", "body")]
        found = select(*columns, *payloads).select_from(source)
        return found.where(table.c.id > bindparam("after")).order_by(table.c.id)

    def select_others(self) -> Select[Any]:
        """Return the same of records of the other kinds."""
        table = self._tables.records
        found = select(cast(table.c.id, Text()), table.c.encoding, table.c.body)
        return found.where(table.c.id > bindparam("after")).order_by(table.c.id)

    def operation(self, values: Sequence[Any]) -> tuple[Record, bytes]:
        """Return the operation of one row of :meth:`select_operations`, and its line.

        Raises:
            ValueError: the row holds what no record can; also a TypeError.
        """
        row = dict(zip(self._row, values, strict=True))
        if self._narrow:
            row = {name: self._plain(name, value) for name, value in row.items()}
        line = codec.encode(self._operation(row))
        # SQLite lets any value into any column; what comes out is what the road would have taken.
        return codec.decode(line), line

    def other(self, values: Sequence[Any]) -> tuple[Record, bytes]:
        """Return the record of one row of :meth:`select_others`, and its line.

        Raises:
            UnknownCodecError: a newer program wrote it.
            ValueError: it is no record.
        """
        return _whole(values)

    def _plain(self, name: str, value: Any) -> Any:
        if not isinstance(value, str) or MARK not in value or name in _BESIDE:
            return value
        return unescape_json(value) if name in _JSON else unescape(value)

    def _operation(self, row: Row) -> Operation:
        derived, escaped = self._derived(row), _stays_escaped(row)
        return Operation(
            id=row["id"],
            timestamp=self._time(row["timestamp"]),
            v=FIRST_VERSION,
            **{name: row[name] for name in (*_HEADER, *_BODY)},
            labels=_labels.decode(row["labels"]) if row["labels"] else {},
            tags=_tags.decode(row["tags"]) if row["tags"] else (),
            extras=_raw(row["extras"]),
            odd=_labels.decode(row["odd"]) if row["odd"] else {},
            error=_error(row),
            escaped=escaped,
            completion_args=_payload(row["request_encoding"], row["request_body"], escaped=escaped),
            response=_payload(row["response_encoding"], row["response_body"], escaped=escaped),
            derived=None if derived == _NOTHING_READ else derived,
        )

    def _derived(self, row: Row) -> Derived:
        cost = self._cost(row)
        return Derived(
            **{name: row[name] for name in _DERIVED},
            usage=Usage(**{name: row[name] for name in Usage.__struct_fields__}),
            usage_raw=_raw(row["usage_raw"]),
            billing=_billing.decode(row["billing"]) if row.get("billing") else NO_BILLING,
            cost=None if cost == _NO_COST else cost,
        )

    def _cost(self, row: Row) -> Cost:
        known = {field: row[name] for field, name in _AMOUNTS.items() if row.get(name) is not None}
        fields: dict[str, Any] = {field: self._amount(value) for field, value in known.items()}
        fields |= {field: row.get(name) for field, name in _COST.items()}
        return Cost(**fields, lines=_lines.decode(row["cost_lines"]) if row.get("cost_lines") else ())


def restore(
    rows: Iterable[Sequence[Any]],
    read: Callable[[Sequence[Any]], tuple[Record, bytes]],
    left: Callable[[str], object],
) -> Iterator[tuple[Record, bytes]]:
    """Yield the records of rows; one that cannot be read costs nothing but itself."""
    for row in rows:
        try:
            pair = read(row)
        except codec.UnknownCodecError:
            left("newer")
        except (ValueError, TypeError, OverflowError):
            left("damaged")
        else:
            yield pair


def spans_of(rows: Iterable[Sequence[Any]]) -> Iterator[Span]:
    """Yield the spans of rows of id, encoding and body; what cannot be read is passed over."""
    for record, _ in restore(rows, _whole, lambda _: None):
        if isinstance(record, Span):
            yield record


def _whole(values: Sequence[Any]) -> tuple[Record, bytes]:
    _, encoding, body = values
    line = (unescape_json(body) if encoding == ESCAPED else body).encode()
    return codec.decode(line), line


def _stays_escaped(row: Row) -> bool:
    """Return whether a payload holds lone surrogates: they stay codes, while NUL characters need none in JSON."""
    pairs = (("request_encoding", "request_body"), ("response_encoding", "response_body"))
    return any(row[code] == ESCAPED and not _is_utf8(unescape_json(row[body])) for code, body in pairs)


def _payload(encoding: str | None, body: str | None, *, escaped: bool) -> Payload:
    if body is None or encoding != ESCAPED:
        return _raw(body)
    return _raw(_with_nul(body) if escaped else unescape_json(body))


def _is_utf8(text: str) -> bool:
    """Return whether JSON text spells no lone surrogate."""
    try:
        _escaping.decode(text)
    except ValueError:
        return False
    return True


def _with_nul(text: str) -> str:
    return text.replace(MARK + "0", "\\u0000")


def _raw(text: str | None) -> Payload:
    return msgspec.UNSET if text is None else msgspec.Raw(text.encode())


def _error(row: Row) -> ErrorInfo | None:
    error = ErrorInfo(type=row["error_type"], message=row["error_message"], stack=row["error_stack"])
    return error if row["status"] == "error" or error != ErrorInfo() else None
