"""This module is where laws of the capture are tried on values of any kind."""

from __future__ import annotations

import copy
import dataclasses
import enum
import json
import math
import uuid
from collections import namedtuple
from typing import Any

import attrs
import numpy as np
import pydantic
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aicore_obs.capture.fields import RecordOptions
from aicore_obs.capture.record import Capture
from aicore_obs.capture.redaction import without_secrets
from aicore_obs.derivation import derive
from aicore_obs.model.escape import unescape
from tests.captures import args_of, capture, extras_of, response_of

# Any code point: NUL, lone surrogates and the private use area included.
TEXT = st.text(st.characters(exclude_categories=()))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | FLOATS | TEXT
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
# What no secret can be in, so that redaction changes nothing.
MESSAGES = st.fixed_dictionaries({"messages": JSON})


class Colour(enum.Enum):
    RED = "red"


class Model(pydantic.BaseModel):
    value: Any


@dataclasses.dataclass
class Data:
    value: Any


@attrs.define
class Attrs:
    value: Any


class Hostile:
    """Raises wherever it is touched."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = model_dump_json = to_dict = tolist = __repr__


Point = namedtuple("Point", "x y")  # noqa: PYI024 - what users have

ODD_SCALARS = (
    st.floats()
    | st.binary(max_size=8)
    | st.integers()
    | st.integers(2**2100, 2**2101)
    | st.decimals()
    | st.complex_numbers()
    | st.fractions()
    | st.uuids()
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.just(Colour.RED)
    | st.builds(object)
    | st.builds(Hostile)
    | st.builds(lambda: (number for number in range(3)))
    | st.builds(lambda: np.float32("nan"))
    | st.builds(lambda: np.arange(4).reshape(2, 2))
    | st.builds(lambda: np.array(["a", None], dtype=object))
    | st.just(type)
    | st.just(NotImplemented)
    | st.just(...)
)
HASHABLE = SCALARS | st.tuples(SCALARS) | st.uuids() | st.just(Colour.RED) | st.dates() | st.binary(max_size=3)


def _circle(value: Any) -> Any:
    circle: list[Any] = [value]
    circle.append({"again": circle})
    return circle


ANYTHING = st.recursive(
    SCALARS | ODD_SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.tuples(inner, inner)
        | st.frozensets(HASHABLE, max_size=3)
        | st.builds(Data, inner)
        | st.builds(Attrs, inner)
        | st.builds(lambda value: Model.model_construct(value=value), inner)
        | st.builds(Point, inner, inner)
        | st.builds(_circle, inner)
    ),
    max_leaves=12,
)
CAPTURES = (
    Capture(derive=derive),
    Capture(derive=derive, capture_content=False),
    Capture(derive=derive, redact=lambda content: content),
)


@given(MESSAGES, JSON, st.dictionaries(st.sampled_from(["a", "b", "c"]), JSON))
@example({"messages": "\ue000\ud800"}, "\ue0000", {})
def test_plain_data_comes_back_equal(request: Any, response: Any, extras: Any) -> None:
    """JSON in, the same JSON out, and the caller's objects as they were."""
    before = copy.deepcopy((request, response, extras))
    record = capture(request, response, extras=extras)
    assert (request, response, extras) == before
    undo = _unescaped if record.escaped else _same
    assert undo(args_of(record)) == request
    if response is not None:
        assert undo(response_of(record)) == response
    if extras and record.odd == {}:
        assert extras_of(record) == without_secrets(extras)


def _same(value: Any) -> Any:
    return value


def _unescaped(value: Any) -> Any:
    if isinstance(value, str):
        return unescape(value)
    if isinstance(value, dict):
        return {_unescaped(key): _unescaped(item) for key, item in value.items()}
    return [_unescaped(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(ANYTHING, ANYTHING, st.dictionaries(st.sampled_from([*RecordOptions.__annotations__]), ANYTHING))
def test_nothing_raises(request: Any, response: Any, options: dict[str, Any]) -> None:
    """Whatever the values are, each capture makes a line that decodes and is strict JSON."""
    for by in CAPTURES:
        capture(request, response, by=by, **options)
        line = by.operation(request, "completion", None, response, None, options).line
        json.loads(line, parse_constant=_no_constant)


@settings(deadline=None)
@given(ANYTHING, ANYTHING, ANYTHING)
def test_no_positional_value_raises(operation_type: Any, provider: Any, latency_ms: Any) -> None:
    """Type, provider and latency may be anything; the latency that is kept is a finite number."""
    record = capture({}, operation_type=operation_type, provider=provider, latency_ms=latency_ms)
    assert isinstance(record.operation_type, str)
    assert record.latency_ms is None or math.isfinite(record.latency_ms)


def _no_constant(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


@given(JSON)
def test_ids_are_in_order_of_time(request: Any) -> None:
    """Every record has an id of its own, a UUIDv7, after those before."""
    first, second = capture(request), capture(request)
    assert uuid.UUID(first.id).version == 7
    assert first.id < second.id
