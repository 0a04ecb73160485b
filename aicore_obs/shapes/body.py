"""This module is where raw JSON becomes an envelope: a body, or each event of a stream, members raw until looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar, cast

import msgspec

from aicore_obs.model.record import Payload

T = TypeVar("T")
U = TypeVar("U")
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Members(Generic[T]):
    """A decoder of one JSON object into a struct of raw members.

    What it needs is made at its first use: most programs ask one provider, and all shapes are imported.
    """

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        # No lock: two threads that make the same do no harm, and a lock that a fork leaves held does.
        self._one: msgspec.json.Decoder[T] | None = None
        self._many: msgspec.json.Decoder[list[T]] | None = None

    def of(self, raw: bytes | Payload) -> T | None:
        """Return the members of an object, None where it is absent, null or of another kind."""
        if raw is msgspec.UNSET:
            return None
        if self._one is None:
            self._one = msgspec.json.Decoder(self._kind)
        try:
            return self._one.decode(raw)
        except _NOT_JSON:
            return None

    def each(self, raw: bytes | Payload) -> list[T]:
        """Return the objects of a list, or the one object; what is neither (a stream's last word) is passed over."""
        if raw is msgspec.UNSET:
            return []
        if type(raw) is bytes and raw[:1] == b"{":
            one = self.of(raw)
            return [] if one is None else [one]
        if self._many is None:
            self._many = msgspec.json.Decoder(list[self._kind])  # type: ignore[name-defined]
        try:
            return self._many.decode(raw)
        except _NOT_JSON:
            found = [self.of(one) for one in _loose(bytes(raw))]
            return [one for one in found if one is not None]


def in_camel_case(kind: type[T]) -> type[T]:
    """Return a struct of the same fields, whose members are written as REST interfaces do (``modelVersion``)."""
    fields = [(one.name, one.type, one.default) for one in msgspec.structs.fields(cast("type[msgspec.Struct]", kind))]
    return cast("type[T]", msgspec.defstruct(kind.__name__, fields, rename="camel"))


_raws = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)


def _loose(raw: bytes) -> list[bytes]:
    """Return the one object, those of a list that holds other things too, or of a stream that was kept as text."""
    if raw[:1] == b"{":
        return [raw]
    text = text_of(raw)
    if text is not None:
        return _lines(text)
    found: list[bytes] = []
    for one in listed(raw):
        bytes_of = bytes(one)
        if bytes_of[:1] == b"{":
            found.append(bytes_of)
        elif bytes_of[:1] == b'"':
            found += _lines(text_of(bytes_of) or "")
    return found


def _lines(text: str) -> list[bytes]:
    """Return the objects among lines of JSON or of server-sent events (``data: {…}``)."""
    if not text.startswith(("{", "data:", "event:", "id:", ":")):
        return []
    lines = (line.removeprefix("data:").strip() for line in text.split("\n"))
    return [line.encode(errors="replace") for line in lines if line.startswith("{")]


def listed(raw: bytes | Payload) -> list[msgspec.Raw]:
    """Return the items of a JSON list, raw; nothing where it is none."""
    if raw is msgspec.UNSET:
        return []
    try:
        return _raws.decode(raw)
    except _NOT_JSON:
        return []


def text_of(raw: bytes | Payload) -> str | None:
    """Return a JSON text, None where it is something else."""
    if raw is msgspec.UNSET:
        return None
    try:
        return _text.decode(raw)
    except _NOT_JSON:
        return None


def is_there(raw: Payload) -> bool:
    """Return whether a member was given and is not null."""
    return raw is not msgspec.UNSET and bytes(raw) != b"null"


def word(value: Any) -> str | None:
    """Return text as it is, None for anything else."""
    return value if isinstance(value, str) else None


def number(value: Any) -> float | None:
    """Return a finite number, None for anything else (booleans included)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # JSON's integers have no end
        return None


def seconds(value: Any) -> float | None:
    """Return a duration that a provider gave as a number or as text (``"8"``, ``"8.47"``, ``"8s"``)."""
    if isinstance(value, str):
        try:
            value = float(value.removesuffix("s"))
        except ValueError:
            return None
    found = number(value)
    return found if found is not None and 0 <= found < _LONGEST_S else None


# No call lasts a thousand years.
_LONGEST_S = 3e10


def last(items: Sequence[T], look: Callable[[T], U | None]) -> U | None:
    """Return what the last item says that says anything; of a stream, the last word counts."""
    for item in reversed(items):
        found = look(item)
        if found is not None:
            return found
    return None


def joined(texts: Iterable[str | None]) -> str | None:
    """Return the pieces of a text as one, None where there is no piece at all."""
    found = [text for text in texts if text is not None]
    return "".join(found) if found else None
