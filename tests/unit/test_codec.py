"""This module is where records become bytes and bytes become records, and a newer program's are left alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore_obs.model import codec
from aicore_obs.model.events import Flag, Span
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.record import CODEC_VERSION, ErrorInfo, Record
from aicore_obs.model.scope import Scope
from aicore_obs.model.usage import COUNT_FIELDS, FRACTION_FIELDS, TOKEN_FIELDS, Usage
from tests import records

TEXT = st.text()
MAYBE = st.none() | TEXT
NUMBER = st.none() | st.floats(-1e300, 1e300)
COUNT = st.none() | st.integers(0, 2**63 - 1)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e300, 1e300) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
PAYLOAD = st.just(msgspec.UNSET) | VALUE.map(lambda value: msgspec.Raw(msgspec.json.encode(value)))
ERROR = st.none() | st.builds(ErrorInfo, type=MAYBE, message=MAYBE, stack=MAYBE)
USAGE = st.builds(
    Usage,
    **{name: COUNT for name in (*TOKEN_FIELDS, *COUNT_FIELDS) if name not in FRACTION_FIELDS},
    **dict.fromkeys(FRACTION_FIELDS, NUMBER),
)
DERIVED = st.none() | st.builds(
    Derived,
    **dict.fromkeys(
        ("model", "response_model", "response_id", "server_address", "finish_reason", "usage_source"), MAYBE
    ),
    temperature=NUMBER,
    max_tokens=COUNT,
    usage=USAGE,
    usage_raw=PAYLOAD,
)
HEADER: dict[str, Any] = {
    "id": TEXT,
    "timestamp": st.datetimes(timezones=st.just(UTC)),
    "v": st.just(CODEC_VERSION),
    "seq": COUNT,
    "labels": st.dictionaries(TEXT, TEXT, max_size=3),
    "tags": st.lists(TEXT, max_size=3).map(tuple),
    "extras": PAYLOAD,
    "odd": st.dictionaries(TEXT, TEXT, max_size=2),
    **dict.fromkeys(("project", "session_id", "run_id", "experiment_id", "trace_id", "span_id", "parent_id"), MAYBE),
}
OPERATIONS = st.builds(
    Operation,
    **HEADER,
    **dict.fromkeys(("provider", "api", "workspace", "agent_id", "action_id", "user_id"), MAYBE),
    operation_type=TEXT,
    latency_ms=NUMBER,
    time_to_first_token_ms=NUMBER,
    error=ERROR,
    escaped=st.booleans(),
    completion_args=PAYLOAD,
    response=PAYLOAD,
    derived=DERIVED,
)
RECORDS = (
    OPERATIONS
    | st.builds(
        Scope,
        **HEADER,
        scope=st.sampled_from(["session", "run", "experiment"]),
        change=st.sampled_from(["opened", "changed", "ended"]),
        scope_id=TEXT,
        name=MAYBE,
        body=PAYLOAD,
    )
    | st.builds(Span, **HEADER, name=TEXT, duration_ms=NUMBER, error=ERROR, body=PAYLOAD)
    | st.builds(
        Flag,
        **HEADER,
        operation_ids=st.lists(TEXT, max_size=3).map(tuple),
        reason=MAYBE,
        note=MAYBE,
        active=st.booleans(),
    )
)


@given(RECORDS)
def test_a_record_comes_back(record: Record) -> None:
    """Every kind, whatever it holds, is one line of JSON and comes back the same."""
    line = codec.encode(record)
    assert b"\n" not in line
    json.loads(line)
    again = codec.decode(line)
    assert type(again) is type(record)
    assert codec.encode(again) == line
    assert msgspec.structs.astuple(_bare(again)) == msgspec.structs.astuple(_bare(record))


def _bare(record: Record) -> Record:
    """Return the record without its raw parts, which compare by identity."""
    raw = {name: msgspec.UNSET for name in ("extras", "completion_args", "response", "body") if hasattr(record, name)}
    if isinstance(record, Operation) and record.derived is not None:
        raw["derived"] = None  # type: ignore[assignment]
    return msgspec.structs.replace(record, **raw)


@given(OPERATIONS, DERIVED)
def test_what_the_road_reads_is_added_to_the_callers_bytes(record: Operation, derived: Derived | None) -> None:
    """The line that was written stays as it is; the new member stands at its end."""
    line = codec.encode(msgspec.structs.replace(record, derived=None))
    added = codec.with_derived(line, derived)
    assert added.startswith(line[:-1])
    again = codec.decode(added)
    assert isinstance(again, Operation)
    assert codec.encode(again) == codec.encode(msgspec.structs.replace(record, derived=derived))


def test_payloads_are_not_parsed() -> None:
    """They are slices of the line, byte by byte as they were written."""
    line = b'{"kind":"operation","id":"a","timestamp":"2026-01-31T12:00:00Z","v":1,"response":{"a": [1.50,  2]} }'
    record = codec.decode(line)
    assert isinstance(record, Operation)
    assert bytes(record.response) == b'{"a": [1.50,  2]}'  # type: ignore[arg-type]


def newer(**changes: Any) -> bytes:
    """Return the line of a record of a newer program."""
    plain = json.loads(codec.encode(records.operation()))
    return json.dumps({**plain, "v": CODEC_VERSION + 1, **changes}).encode()


@pytest.mark.parametrize(
    "line",
    [newer(), newer(kind="dream"), newer(timestamp=5), newer(id=None), newer(tags={"now": "a dict"}), newer(more=[1])],
    ids=["same shape", "new kind", "new time", "no id", "new tags", "more"],
)
def test_a_newer_record_is_left_alone(line: bytes) -> None:
    """Whatever has changed in it, the version is seen first."""
    with pytest.raises(codec.UnknownCodecError, match=f"version {CODEC_VERSION + 1}"):
        codec.decode(line)


def test_unknown_members_of_our_own_version_are_passed_over() -> None:
    """A minor addition does not stop an older program."""
    plain = json.loads(codec.encode(records.operation(provider="openai")))
    record = codec.decode(json.dumps({**plain, "colour": "red"}).encode())
    assert isinstance(record, Operation)
    assert record.provider == "openai"


DAMAGED = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe",
    b"{}",
    b'{"kind":"operation"}',
    b'{"kind":"operation","id":"a","timestamp":"yesterday","v":1}',
    b'{"kind":"dream","id":"a","timestamp":"2026-01-31T12:00:00Z","v":1}',
    b'{"kind":"operation","id":"a","timestamp":"2026-01-31T12:00:00Z","v":"1"}',
    b'{"kind":"operation","id":"a","timestamp":"2026-01-31T12:00:00Z","v":1,"tags":[1]}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("line", DAMAGED, ids=lambda line: repr(line)[:30])
def test_what_is_no_record_is_a_value_error(line: bytes) -> None:
    """Damage is not taken for a newer version."""
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the message is msgspec's
        codec.decode(line)
    assert not isinstance(raised.value, codec.UnknownCodecError)


def test_times_are_kept_to_the_microsecond() -> None:
    """In UTC, as text that sorts."""
    when = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
    line = codec.encode(records.operation(timestamp=when))
    assert b'"timestamp":"2026-01-31T12:00:00.123456Z"' in line
    assert codec.decode(line).timestamp == when


def test_defaults_are_not_written() -> None:
    """A record is no longer than what it says."""
    assert set(json.loads(codec.encode(records.operation()))) == {"kind", "id", "timestamp", "v"}
