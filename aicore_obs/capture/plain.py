"""This module is where values of any kind become plain JSON data.

The encoder knows text, numbers, dicts, lists, dataclasses, attrs, dates, bytes (base64), sets, UUIDs and enums by
itself. :func:`encode_hook` adds the objects of strangers: a provider SDK's pydantic objects through their own
serialiser, numpy values, protocol buffers. :func:`to_plain` is the slow road for what JSON has no word for at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from types import SimpleNamespace
from typing import Any

import msgspec

from aicore_obs.capture.scrub import scrub
from aicore_obs.guard import attempt_briefly

MAX_DEPTH = 64
MAX_REPR = 10_000
# Python refuses to print larger numbers in decimal (sys.set_int_max_str_digits cannot be set below 640 digits).
_MAX_DECIMAL_BITS = 2_000


class Changes(msgspec.Struct):
    """What :func:`to_plain` had to change in one value."""

    has_surrogates: bool = False
    kinds: set[str] = msgspec.field(default_factory=set)


def encode_hook(value: Any) -> Any:
    """Return plain data for an object that the encoder does not know.

    Raises:
        TypeError: nobody knows it, or it holds NaN: the slow road keeps it, and marks it.
    """
    if _is_pydantic(value):
        text = attempt_briefly(_pydantic_json, value).value
        if text is not None:
            return msgspec.Raw(text)
    outcome = attempt_briefly(_converted, value)
    if outcome.error is not None or holds_nan(outcome.value):
        raise TypeError("no JSON, or NaN inside") from outcome.error
    return outcome.value


def holds_nan(*values: Any) -> bool:
    """Return whether NaN or an infinity may be somewhere inside; JSON has no word for them and would say null.

    MessagePack keeps floats as their eight bytes, and writes 2.8 KB in 0.8 µs: cheaper than any look at the floats.
    False alarms only cost time.
    """
    try:
        packed = _packer.encode(values)
    except (TypeError, ValueError, OverflowError, RecursionError, RuntimeError):
        return True
    # A search for one byte is ten times faster than one for seven (twenty times, as a number), and in most text neither
    # byte occurs.
    return (_NAN[0] in packed and _NAN in packed) or (_INFINITY[0] in packed and _INFINITY in packed)


def to_plain(value: Any) -> tuple[Any, Changes]:
    """Return ``value`` as dicts, lists, text, numbers, booleans and None, and what had to be changed for it.

    Text may still hold lone surrogates, integers may be long: :func:`encodable` deals with both.
    """
    walk = _Walk()
    return walk.plain(value, 0), walk.changes


def snapshot(value: Any) -> Any:
    """Return a copy as plain data, so that a later change of ``value`` changes nothing; never raises."""
    text = attempt_briefly(msgspec.json.encode, value, enc_hook=encode_hook).value
    if text is None or holds_nan(value):
        return to_plain(value)[0]
    return msgspec.json.decode(text)


def encodable(value: Any, change_text: Callable[[str], str]) -> Any:
    """Return plain data that the encoder takes: every text and key changed, integers past its 64 bits as JSON."""
    if isinstance(value, str):
        return change_text(value)
    if isinstance(value, dict):
        return {change_text(key): encodable(item, change_text) for key, item in value.items()}
    if isinstance(value, list):
        return [encodable(item, change_text) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return msgspec.Raw(b"%d" % value)
    return value


def printable(text: str) -> str:
    """Return text that UTF-8 can hold: a lone surrogate becomes its name (``\\ud800``)."""
    return text.encode("utf-8", "backslashreplace").decode()


_packer = msgspec.msgpack.Encoder(enc_hook=lambda _: None)
_NAN = b"\xf8" + bytes(6)
_INFINITY = b"\xf0" + bytes(6)


class _Walk:
    """One pass of the slow road over one value."""

    def __init__(self) -> None:
        self.changes = Changes()
        # Containers and objects that are being walked: one that comes again inside itself has no end.
        self._path: set[int] = set()

    def plain(self, value: Any, depth: int) -> Any:
        if value is None or value is True or value is False:
            return value
        # Objects that stand for others may raise when they are only asked what they are.
        outcome = attempt_briefly(self._known_kind, value, depth)
        return outcome.value if outcome.error is None else self._as_repr(value)

    def _known_kind(self, value: Any, depth: int) -> Any:
        for kind, convert in self._SCALARS:
            if isinstance(value, kind):
                return convert(self, value)
        if depth >= MAX_DEPTH or id(value) in self._path:
            return self._as_repr(value)
        self._path.add(id(value))
        try:
            return self._compound(value, depth + 1)
        finally:
            self._path.discard(id(value))

    def _compound(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            items = attempt_briefly(lambda: list(value.items())).value
            return self._as_repr(value) if items is None else self._mapping(items, depth)
        if isinstance(value, list | tuple | Set):
            parts = attempt_briefly(lambda: list(value)).value
            return self._as_repr(value) if parts is None else [self.plain(part, depth) for part in parts]
        fields = _fields(value)
        if fields is not None:
            return self._mapping(fields, depth)
        # What the encoder knows (dates, UUIDs, …) becomes plain data one way, an object of a stranger another.
        known = attempt_briefly(msgspec.to_builtins, value)
        inner = known if known.error is None else attempt_briefly(_converted, value)
        return self._as_repr(value) if inner.error is not None else self.plain(inner.value, depth)

    def _text(self, value: str) -> str:
        text = str.__str__(value)
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                self.changes.has_surrogates = True
                self.changes.kinds.add("lone surrogates escaped")
        return text

    def _whole(self, value: int) -> int | str:
        number = int(value)
        if number.bit_length() <= _MAX_DECIMAL_BITS:
            return number
        self.changes.kinds.add("long integers in hexadecimal")
        return hex(number)

    def _fraction(self, value: float) -> float | str:
        if math.isfinite(value):
            return float(value)
        # The words of protocol buffers' JSON mapping.
        self.changes.kinds.add("NaN or infinity as text")
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"

    def _mapping(self, items: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for key, item in items:
            name = self._key(key)
            while name in plain:
                name += f" ({type(key).__name__})"
            plain[name] = self.plain(item, depth)
        return plain

    def _key(self, key: Any) -> str:
        if isinstance(key, str):
            return self._text(key)
        # As the encoder writes them: numbers, dates, UUIDs, enums.
        known = attempt_briefly(msgspec.to_builtins, key).value
        if isinstance(known, str | int | float) and not isinstance(known, bool):
            return self._text(str(known))
        self.changes.kinds.add("keys as text")
        return printable(_repr(key))

    def _as_repr(self, value: Any) -> str:
        self.changes.kinds.add("objects as repr")
        return self._text(_repr(value))

    _SCALARS: tuple[tuple[Any, Callable[[_Walk, Any], Any]], ...] = ((str, _text), (int, _whole), (float, _fraction))


def _fields(value: Any) -> list[tuple[str, Any]] | None:
    """Return names and values of a dataclass, an attrs class or a struct; one level, so that circles are seen."""
    kind = type(value)
    names = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "__struct_fields__", None)
    if names is None:
        names = [attribute.name for attribute in getattr(kind, "__attrs_attrs__", ())] or None
    return None if names is None else [(name, getattr(value, name, None)) for name in names]


def _repr(value: Any) -> str:
    text = attempt_briefly(repr, value).value
    shown = text[:MAX_REPR] if isinstance(text, str) else f"<{type(value).__name__}: repr failed>"
    return scrub(shown)


def _converted(value: Any) -> Any:
    """Return what the first converter that fits and works makes of an object.

    Raises:
        TypeError: there is none. Generators and streams are among these: they are never consumed.
    """
    for fits, convert in _CONVERTERS:
        if fits(value):
            plain = attempt_briefly(convert, value)
            if plain.error is None and plain.value is not value:
                return plain.value
    raise TypeError(f"no JSON for {type(value).__name__}")


def _is_pydantic(value: Any) -> bool:
    return hasattr(type(value), "model_dump_json")


def _pydantic_json(value: Any) -> str:
    """Return an object's own JSON in one line.

    Raises:
        msgspec.DecodeError: what it wrote is no JSON.
    """
    # SDKs build their objects without validation; warnings about that are none of our caller's business.
    text: str = value.model_dump_json(warnings=False)
    theirs = getattr(type(value).model_dump_json, "__module__", "") == "pydantic.main"
    # A search for one character first: it is ten times faster than one for a word.
    odd = ("N" in text and "NaN" in text) or ("I" in text and "Infinity" in text)
    if theirs and not odd:
        return text
    return msgspec.json.format(text, indent=-1)


def _from_pydantic(value: Any) -> Any:
    text = attempt_briefly(_pydantic_json, value).value
    return value.model_dump(warnings=False) if text is None else msgspec.json.decode(text)


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
    return {"type": type(value).__name__, "message": scrub(str(value))}


# The first that fits and works is taken.
_CONVERTERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (_is_pydantic, _from_pydantic),
    # Kinds of text and bytes of their own (LangChain's ``TextAccessor``, ``Markup``), which are sequences, too.
    (lambda value: isinstance(value, str), str.__str__),
    (lambda value: isinstance(value, bytes | bytearray), bytes),
    (lambda value: isinstance(value, msgspec.Raw), msgspec.json.decode),
    (_is_array, lambda value: value.tolist()),
    (_is_proto_plus, lambda value: type(value).to_dict(value)),
    (_is_message, _from_message),
    (lambda value: isinstance(value, Mapping), dict),
    (_is_sequence, list),
    (lambda value: isinstance(value, SimpleNamespace), lambda value: dict(vars(value))),
    (_has_to_dict, _to_dict),
    (lambda value: isinstance(value, BaseException), _from_exception),
)
