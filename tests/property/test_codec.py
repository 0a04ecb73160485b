"""This module is where it is tested, for any version and any damage, that no line is taken for what it is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore_obs.model import codec
from aicore_obs.model.record import CODEC_VERSION, Record
from tests.records import flag, operation, revision, scope, score, span

ONE_OF_EACH = [
    operation(),
    scope(),
    span(),
    flag(operation()),
    revision(operation()),
    score(operation(), "helpful", value=True),
]
newer_versions = st.integers(CODEC_VERSION + 1, 2**31)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_every_kind_is_tested() -> None:
    """A new kind enters these tests."""
    assert {type(record) for record in ONE_OF_EACH} == set(codec.KINDS)


@pytest.mark.parametrize("record", ONE_OF_EACH, ids=lambda record: type(record).__name__)
@given(version=newer_versions)
def test_any_newer_version_is_left_alone(record: Record, version: int) -> None:
    """It is told from a broken one, so that nobody throws it away."""
    line = codec.encode(msgspec.structs.replace(record, v=version))
    with pytest.raises(codec.UnknownCodecError, match=f"version {version}; .* reads up to {CODEC_VERSION}"):
        codec.decode(line)


@given(newer_versions, st.text(), values)
def test_any_newer_kind_is_left_alone(version: int, kind: str, body: Any) -> None:
    """Also when nothing but its version can be read."""
    with pytest.raises(codec.UnknownCodecError):
        codec.decode(msgspec.json.encode({"kind": f"new-{kind}", "v": version, "timestamp": body}))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_record_are_a_value_error(line: bytes) -> None:
    """The road meets one kind of exception for all of them."""
    with pytest.raises(ValueError):  # noqa: PT011 - the message is msgspec's
        codec.decode(line)


@given(st.data())
def test_a_torn_line_is_no_record(data: st.DataObject) -> None:
    """Whatever is missing at its end, it never becomes another record."""
    line = codec.encode(operation(extras={"k": "v"}))
    cut = data.draw(st.integers(0, len(line) - 1))
    with pytest.raises(ValueError):  # noqa: PT011 - the message is msgspec's
        codec.decode(line[:cut])


@pytest.mark.parametrize("name", ["completion_args", "labels", "odd", "v", "new"])
def test_a_line_nested_without_end_is_a_value_error(name: str) -> None:
    """Not a RecursionError, which nobody expects of a line, wherever the depth is."""
    deep = b"[" * 100_000 + b"]" * 100_000
    line = codec.encode(operation())[:-1] + b',"%b":%b}' % (name.encode(), deep)
    with pytest.raises(ValueError):  # noqa: PT011 - the message is msgspec's
        codec.decode(line)
