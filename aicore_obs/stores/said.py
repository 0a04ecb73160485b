"""This module is where it is read what was said of operations later: flags, costs and scores, as a store keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from aicore_obs.guard import attempt
from aicore_obs.model import codec
from aicore_obs.model.escape import unescape_json
from aicore_obs.model.events import CostRevision, Flag, Score
from aicore_obs.model.record import Record

# The columns that say it, of a raw frame of it.
SAID = ("said_encoding", "said_body")
PLAIN = "json"
_ESCAPED = "json+escaped"


class Said(msgspec.Struct):
    """One record as a store keeps it: its JSON text, and how that is encoded."""

    encoding: str
    body: str

    def line(self) -> bytes:
        """Return the record as one line of JSON."""
        return (unescape_json(self.body) if self.encoding == _ESCAPED else self.body).encode()


def spoken_of(record: Record) -> tuple[str, ...]:
    """Return the ids of the operations that a record speaks of; none where it is no flag, cost or score."""
    if isinstance(record, Flag):
        return record.operation_ids
    return (record.operation_id,) if isinstance(record, CostRevision | Score) else ()


_list = msgspec.json.Decoder(list[Said])


def said_lines(text: str | None) -> list[bytes]:
    """Return the lines of the raw column ``said`` of one operation."""
    return [one.line() for one in _list.decode(text)] if text else []


def said_records(rows: Iterable[tuple[str, str]]) -> Iterator[Record]:
    """Yield the records of rows of (encoding, body); what a newer program wrote is passed over."""
    for encoding, body in rows:
        record = attempt(codec.decode, Said(encoding, body).line()).value
        if record is not None:
            yield record
