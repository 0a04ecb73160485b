"""This module is where it is checked that a call becomes a record: whole, marked where odd, and nothing raises."""

from __future__ import annotations

import dataclasses
import enum
import json
import sys
import uuid
from collections import OrderedDict, UserDict, namedtuple
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import msgspec
import numpy as np
import pydantic
import pytest

from aicore_obs.capture.fields import RecordOptions
from tests.captures import PLAIN, args_of, capture, decoded, extras_of, response_of


class Colour(enum.Enum):
    RED = "red"


class Word(str, enum.Enum):  # noqa: UP042 - what users have
    YES = "yes"


class Level(enum.IntEnum):
    HIGH = 3


class Model(pydantic.BaseModel):
    name: str
    score: float = 0.5


class Indented(pydantic.BaseModel):
    name: str

    def model_dump_json(self, **options: Any) -> str:
        return super().model_dump_json(**{**options, "indent": 2})


class Constants(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(ser_json_inf_nan="constants")
    value: float


@dataclasses.dataclass
class Data:
    name: str
    value: Any = None


@dataclasses.dataclass
class Nothing:
    pass


class Struct(msgspec.Struct):
    name: str


Point = namedtuple("Point", "x y")  # noqa: PYI024 - what users have


class Hostile:
    """Raises wherever it is touched."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__

    def model_dump_json(self, **_: Any) -> str:
        raise RuntimeError("no dump")

    model_dump = model_dump_json


class Proxy:
    """As the proxies of web frameworks outside of a request: even ``isinstance`` raises."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise LookupError("working outside of request context")


class BadJson:
    def model_dump_json(self, **_: Any) -> str:
        return "{not json"

    def __repr__(self) -> str:
        return "<BadJson>"


class ToDict:
    def to_dict(self) -> dict[str, Any]:
        return {"kept": 1}


def generator() -> Iterator[int]:
    yield 1


class Quoted(str):
    """Text with more than text has, as LangChain's and MarkupSafe's are."""


class Packed(bytes):
    """Likewise of bytes."""


WHEN = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
ID = uuid.UUID("01900000-0000-7000-8000-000000000000")
KNOWN: dict[str, tuple[Any, Any]] = {
    "bytes": (b"\x00\xff", "AP8="),
    "text of a subclass": (Quoted("a text"), "a text"),
    "bytes of a subclass": (Packed(b"\x00\xff"), "AP8="),
    "set": ({1}, [1]),
    "frozenset": (frozenset({"a"}), ["a"]),
    "tuple": ((1, (2,)), [1, [2]]),
    "namedtuple": (Point(1, 2), [1, 2]),
    "datetime": (WHEN, "2026-01-31T12:30:00Z"),
    "date": (date(2026, 1, 31), "2026-01-31"),
    "UUID": (ID, str(ID)),
    "Decimal": (Decimal("1.50"), "1.50"),
    "enum": (Colour.RED, "red"),
    "text enum": (Word.YES, "yes"),
    "int enum": (Level.HIGH, 3),
    "dataclass": (Data("a", [1]), {"name": "a", "value": [1]}),
    "msgspec": (Struct("a"), {"name": "a"}),
    "pydantic": (Model(name="a"), {"name": "a", "score": 0.5}),
    "pydantic with line ends": (Indented(name="a\nb"), {"name": "a\nb"}),
    "raw JSON with line ends": (msgspec.Raw(b'{\n"a": 1}'), {"a": 1}),
    "pydantic in a dataclass": (Data("a", Model(name="b")), {"name": "a", "value": {"name": "b", "score": 0.5}}),
    "numpy integer": (np.int64(7), 7),
    "numpy float": (np.float32(0.5), 0.5),
    "numpy array": (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    "dict of a subclass": (OrderedDict(a=1), {"a": 1}),
    "UserDict": (UserDict({"a": 1}), {"a": 1}),
    "mapping proxy": (MappingProxyType({"a": 1}), {"a": 1}),
    "dict views": ({"a": 1}.keys(), ["a"]),
    "range": (range(3), [0, 1, 2]),
    "namespace": (SimpleNamespace(a=Data("b")), {"a": {"name": "b", "value": None}}),
    "to_dict": (ToDict(), {"kept": 1}),
    "exception": (ValueError("no"), {"type": "ValueError", "message": "no"}),
    "integer keys": ({1: "a", 2.5: "b"}, {"1": "a", "2.5": "b"}),
    "keys of other kinds": ({ID: 1, Colour.RED: 2}, {str(ID): 1, "red": 2}),
}


@pytest.mark.parametrize(("value", "plain"), KNOWN.values(), ids=KNOWN.keys())
def test_values_with_a_plain_form_are_kept_in_it(value: Any, plain: Any) -> None:
    """What has a plain form is kept in it without a mark, and in the same form beside a value that is odd."""
    record = capture({"v": value}, value, extras={"v": value})
    assert args_of(record) == {"v": plain}
    assert response_of(record) == plain
    assert record.odd == {}

    beside = capture({"v": value, "odd": float("nan")}, [value, float("nan")])
    assert args_of(beside) == {"v": plain, "odd": "NaN"}
    assert response_of(beside) == [plain, "NaN"]


def circle() -> list[Any]:
    """Return a list that holds itself, twice."""
    items: list[Any] = [1]
    items += [items, items]
    return items


def circular_dict() -> dict[str, Any]:
    """Return a dict that holds itself."""
    one: dict[str, Any] = {"api_key": "sk-very-secret-0123456789"}
    one["self"] = {"again": one}
    return one


def circular_namespace() -> SimpleNamespace:
    """Return an object whose attributes hold it, twice."""
    one = SimpleNamespace()
    one.left = one.right = one
    return one


def circular_dataclass() -> Data:
    """Return a dataclass that holds itself."""
    one = Data("a")
    one.value = [one]
    return one


def deep(levels: int) -> Any:
    """Return lists in lists."""
    value: Any = "ground"
    for _ in range(levels):
        value = [value]
    return value


ODD: dict[str, Callable[[], Any]] = {
    "NaN": lambda: float("nan"),
    "infinity": lambda: [float("inf"), float("-inf")],
    "numpy NaN": lambda: np.float64("nan"),
    "NaN in an array": lambda: np.array([1.0, float("nan")]),
    "NaN in a dataclass": lambda: Data("a", float("nan")),
    "NaN in a namespace": lambda: SimpleNamespace(a=float("nan")),
    "NaN as pydantic writes it": lambda: Constants(value=float("nan")),
    "a long integer": lambda: 10**5000,
    "a lone surrogate": lambda: "\ud800",
    "a key that is no text": lambda: {(1, 2): "a"},
    "a key of None": lambda: {None: 1},
    "a key of bool": lambda: {True: 1},
    "an object": object,
    "an object that raises": Hostile,
    "a key that raises": lambda: {Hostile(): 1},
    "a proxy without an object": Proxy,
    "a type": lambda: Model,
    "a function": lambda: deep,
    "a module": lambda: json,
    "a generator": generator,
    "an iterator": lambda: iter([1]),
    "an open file": lambda: sys.stdout,
    "what is no JSON": BadJson,
    "a mock": MagicMock,
    "a mock of a model": lambda: MagicMock(spec=Model),
    "a circle": circle,
    "a circular dict": circular_dict,
    "a circular object": circular_namespace,
    "a circular dataclass": circular_dataclass,
    "depth": lambda: deep(5000),
}
# Said to be what they are not: what they pretend to hold is kept, without a mark.
PRETENDERS: dict[str, Callable[[], Any]] = {
    "a mock of a dict": lambda: MagicMock(spec=dict),
    "a mock of a text": lambda: MagicMock(spec=str),
    "a mock of a number": lambda: MagicMock(spec=int),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD.keys())
def test_what_json_has_no_word_for_is_kept_and_marked(make: Callable[[], Any]) -> None:
    """In arguments, response and extras alike: nothing raises, the neighbours are kept, ``odd`` names the place."""
    record = capture({"v": make(), "model": "gpt-4"}, [make(), "text"], extras={"v": make(), "n": 1})
    assert args_of(record)["model"] == "gpt-4"
    assert response_of(record)[1] == "text"
    assert extras_of(record)["n"] == 1
    assert record.odd
    assert b"very-secret" not in PLAIN.operation({"v": make()}, "completion", None, None, None, {}).line


@pytest.mark.parametrize("make", [*ODD.values(), *PRETENDERS.values()], ids=[*ODD, *PRETENDERS])
@pytest.mark.parametrize("place", ["operation_type", "provider", "latency_ms", *RecordOptions.__annotations__])
def test_no_value_of_any_parameter_raises(place: str, make: Callable[[], Any]) -> None:
    """Whatever is given for whatever parameter, a record comes out that holds the rest."""
    record = capture({"model": "gpt-4"}, {"id": "r"}, **{place: make()})
    assert args_of(record) == {"model": "gpt-4"}
    assert response_of(record) == {"id": "r"}


def test_a_generator_is_not_consumed() -> None:
    """The watched program's stream has all its events afterwards."""
    stream = generator()
    capture({"stream": stream}, stream, extras={"stream": stream})
    assert list(stream) == [1]


@pytest.mark.parametrize("value", ["text", ["a", {"role": "user"}], None, 5, {}, []])
def test_arguments_of_any_shape_are_kept(value: Any) -> None:
    """The arguments need not be a dict."""
    assert args_of(capture(value)) == value


def test_no_response_is_no_text() -> None:
    """A response of None is absent; an empty one is there."""
    assert capture({}).response is msgspec.UNSET
    assert response_of(capture({}, "")) == ""
    assert response_of(capture({}, [])) == []


def test_a_later_change_changes_nothing() -> None:
    """The bytes are made at once; the caller's objects stay as they are."""
    messages = [{"role": "user", "content": "first"}]
    captured = PLAIN.operation({"messages": messages}, "completion", None, None, None, {})
    messages.append({"role": "assistant", "content": "second"})
    messages[0]["content"] = "changed"
    assert args_of(decoded(captured)) == {"messages": [{"role": "user", "content": "first"}]}


def test_keys_that_become_the_same_text_are_both_kept() -> None:
    """On the slow road two keys with one text keep both values."""
    assert set(args_of(capture({(1,): "a", "(1,)": "b"})).values()) == {"a", "b"}
