"""This module is where a shape's duties are said, and several of them become one provider's way of reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aicore_obs.protocols import RequestFacts, ResponseFacts
from aicore_obs.shapes.request import NOTHING_ASKED

NO_FACTS = ResponseFacts()


class Shape(Protocol):
    """One way of answering. Raises nothing, whatever it is given."""

    @property
    def name(self) -> str:
        """The word behind ``shape:`` where only the shape told who answers."""

    @property
    def marks(self) -> tuple[str, ...]:
        """Members of which at least one is in every answer of this shape that says anything of its usage.

        Where a mark ends in a dot, members that begin like it.
        """

    def read(self, raw: bytes, asked: RequestFacts) -> ResponseFacts | None:
        """Read a body or a list of events; None when it is not of this shape."""

    def text(self, raw: bytes) -> str | None:
        """Return the text that the model wrote, None when there is none of this shape."""


class ReadResponse(Protocol):
    """The provider's duty of the same name; what was asked may be left out."""

    def __call__(self, raw: bytes, asked: RequestFacts = ..., /) -> ResponseFacts: ...


def reader(*shapes: Shape) -> ReadResponse:
    """Return a provider's ``read_response``: the first of these shapes that fits."""

    def read_response(raw: bytes, asked: RequestFacts = NOTHING_ASKED, /) -> ResponseFacts:
        for shape in shapes:
            facts = shape.read(raw, asked)
            if facts is not None:
                return facts
        return NO_FACTS

    return read_response


def text_reader(*shapes: Shape) -> Callable[[bytes], str | None]:
    """Return a provider's ``read_text``: the text of the first of these shapes that has one."""

    def read_text(raw: bytes) -> str | None:
        return next((text for shape in shapes if (text := shape.text(raw)) is not None), None)

    return read_text
