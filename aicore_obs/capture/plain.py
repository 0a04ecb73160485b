"""This module is where values of any kind become plain JSON data.

The encoder knows text, numbers, dicts, lists, dataclasses, attrs, dates, bytes (base64), sets, UUIDs and enums by
itself. :func:`encode_hook` adds the objects of strangers: a provider SDK's pydantic objects through their own
serialiser, numpy values, protocol buffers. :func:`to_plain` is the slow road for what JSON has no word for at all.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from types import SimpleNamespace
from typing import Any

import msgspec

from aicore_obs.guard import attempt

MAX_DEPTH = 64
MAX_REPR = 10_000


class OddObjects(threading.local):
    """Whether, on this thread and since the last look, an object had to be kept as its ``repr``."""

    seen = False

    def pop(self) -> bool:
        """Return whether there was one, and forget it."""
        seen, self.seen = self.seen, False
        return seen


odd_objects = OddObjects()


class Changes(msgspec.Struct):
    """What :func:`to_plain` had to change in one value."""

    escaped: bool = False
    kinds: set[str] = msgspec.field(default_factory=set)


def encode_hook(value: Any) -> Any:
    """Return plain data for an object that the encoder does not know; never raises."""
    for fits, convert in _CONVERTERS:
        if fits(value):
            plain = attempt(convert, value)
            if plain.error is None and plain.value is not value:
                return plain.value
    odd_objects.seen = True
    return _repr(value)


def holds_nan(*values: Any) -> bool:
    """Return whether NaN or an infinity may be somewhere inside; JSON has no word for them and would say null.

    MessagePack keeps floats as their eight bytes, and writes 2.8 KB in 0.8 µs: cheaper than any look at the floats.
    False alarms only cost time.
    """
    try:
        packed = _packer.encode(values)
    except (TypeError, ValueError, OverflowError, RecursionError, RuntimeError):
        return True
    # A search for one byte is ten times faster than one for seven, and in most text neither byte occurs.
    return (b"\xf8" in packed and _NAN in packed) or (b"\xf0" in packed and _INFINITY in packed)


def to_plain(value: Any, *, depth: int = 0) -> tuple[Any, Changes]:
    """Return ``value`` as dicts, lists, text, numbers, booleans and None that always encode, and what it took."""
    walk = _Walk()
    return walk.plain(value, depth), walk.changes


def printable(text: str) -> str:
    """Return text that UTF-8 can hold: a lone surrogate becomes its name (``\\ud800``)."""
    return text.encode("utf-8", "backslashreplace").decode()


_packer = msgspec.msgpack.Encoder(enc_hook=lambda _: None)
_encoder = msgspec.json.Encoder(enc_hook=encode_hook)
_NAN = b"\xf8" + bytes(6)
_INFINITY = b"\xf0" + bytes(6)


class _Walk:
    """One pass of the slow road over one value."""

    def __init__(self) -> None:
        self.changes = Changes()

    def plain(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        for kind, convert in self._KINDS:
            if isinstance(value, kind):
                return convert(self, value, depth)
        return self._other(value, depth)

    def _text(self, value: str, _depth: int) -> str:
        if value.isascii():
            return str(value)
        try:
            value.encode()
        except UnicodeEncodeError:
            self.changes.escaped = True
            self.changes.kinds.add("lone surrogates escaped")
        return str(value)

    def _whole(self, value: int, _depth: int) -> Any:
        # The encoder stops at 64 bits; JSON does not.
        return int(value) if -(2**63) <= value < 2**63 else msgspec.Raw(b"%d" % value)

    def _fraction(self, value: float, _depth: int) -> float | str:
        if math.isfinite(value):
            return float(value)
        # The words of protocol buffers' JSON mapping.
        self.changes.kinds.add("NaN or infinity as text")
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> Any:
        if depth >= MAX_DEPTH:
            return self._as_repr(value)
        items = attempt(lambda: list(value.items())).value or []
        return {self._key(key): self.plain(item, depth + 1) for key, item in items}

    def _key(self, key: Any) -> str:
        if isinstance(key, str):
            return self._text(key, 0)
        self.changes.kinds.add("keys as text")
        return printable(_repr(key))

    def _items(self, value: Iterable[Any], depth: int) -> Any:
        if depth >= MAX_DEPTH:
            return self._as_repr(value)
        return [self.plain(item, depth + 1) for item in attempt(lambda: list(value)).value or []]

    def _other(self, value: Any, depth: int) -> Any:
        if depth >= MAX_DEPTH:
            return self._as_repr(value)
        odd_objects.pop()
        text = attempt(_encoder.encode, value)
        if text.value is not None and not odd_objects.pop():
            # The encoder knows the object: what it wrote is plain by construction.
            return msgspec.json.decode(text.value)
        inner = encode_hook(value)
        if odd_objects.pop() or isinstance(inner, str | msgspec.Raw):
            return self._as_repr(value)
        return self.plain(inner, depth + 1)

    def _as_repr(self, value: Any) -> str:
        self.changes.kinds.add("objects as repr")
        return self._text(_repr(value), 0)

    _KINDS: tuple[tuple[Any, Callable[[_Walk, Any, int], Any]], ...] = (
        (str, _text),
        (int, _whole),
        (float, _fraction),
        (Mapping, _mapping),
        ((list, tuple, Set), _items),
    )


def with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return plain data with every text and key changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): with_texts(item, change) for key, item in value.items()}
    return [with_texts(item, change) for item in value] if isinstance(value, list) else value


def _repr(value: Any) -> str:
    text = attempt(repr, value).value
    return (text if isinstance(text, str) else f"<{type(value).__name__}: repr failed>")[:MAX_REPR]


def _is_pydantic(value: Any) -> bool:
    return hasattr(type(value), "model_dump_json")


def _from_pydantic(value: Any) -> Any:
    # SDKs build their objects without validation; warnings about that are none of our caller's business.
    return msgspec.Raw(value.model_dump_json(warnings=False))


def _is_array(value: Any) -> bool:
    return hasattr(type(value), "tolist")


def _is_message(value: Any) -> bool:
    return hasattr(type(value), "DESCRIPTOR") and hasattr(value, "ListFields")


def _from_message(value: Any) -> Any:
    return {field.name: item for field, item in value.ListFields()}


def _is_proto_plus(value: Any) -> bool:
    return hasattr(type(value), "pb") and hasattr(type(value), "to_dict")


def _has_to_dict(value: Any) -> bool:
    return callable(getattr(type(value), "to_dict", None)) or callable(getattr(type(value), "_asdict", None))


def _to_dict(value: Any) -> Any:
    plain = value.to_dict() if hasattr(value, "to_dict") else value._asdict()
    if not isinstance(plain, Mapping):
        raise TypeError("to_dict() gave no mapping")
    return dict(plain)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence | Set)


def _from_exception(value: BaseException) -> dict[str, str]:
    return {"type": type(value).__name__, "message": str(value)}


# The first that fits and works is taken. Generators and streams fit none: they are never consumed.
_CONVERTERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (_is_pydantic, _from_pydantic),
    (_is_array, lambda value: value.tolist()),
    (_is_proto_plus, lambda value: type(value).to_dict(value)),
    (_is_message, _from_message),
    (lambda value: isinstance(value, Mapping), dict),
    (_is_sequence, list),
    (lambda value: isinstance(value, SimpleNamespace), lambda value: dict(vars(value))),
    (_has_to_dict, _to_dict),
    (lambda value: isinstance(value, BaseException), _from_exception),
)
