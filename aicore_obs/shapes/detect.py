"""This module is where an answer is recognised by its shape alone."""

from __future__ import annotations

import re

from aicore_obs.model.usage import NO_USAGE, settled
from aicore_obs.protocols import RequestFacts, ResponseFacts
from aicore_obs.shapes import anthropic, bedrock, cohere, google, langchain, ollama, openai, pydantic_ai, spans, tgi
from aicore_obs.shapes.facts import Shape

SHAPES: tuple[Shape, ...] = (
    openai.SHAPE, anthropic.SHAPE, google.SHAPE, bedrock.SHAPE, cohere.SHAPE, ollama.SHAPE, tgi.SHAPE, langchain.SHAPE,
    pydantic_ai.SHAPE, spans.SHAPE,
)  # fmt: skip


# Which member leads to which shapes. One pass over the bytes: quotes are rare in them, members' names are not.
_LEADS: dict[bytes, list[Shape]] = {}
for _shape in SHAPES:
    for _mark in _shape.marks:
        _LEADS.setdefault(_mark.encode(), []).append(_shape)
_WHOLE = b"|".join(re.escape(mark) for mark in _LEADS if not mark.endswith(b"."))
_BEGINNING = b"|".join(re.escape(mark) for mark in _LEADS if mark.endswith(b"."))
_MARK = re.compile(b'"(?:(%b)"|(%b))' % (_WHOLE, _BEGINNING))


def by_shape(raw: bytes, asked: RequestFacts) -> tuple[str, ResponseFacts] | None:
    """Return the name of the shape that fits an answer and what it reads, None when none fits or it is not clear which.

    Shapes that share their names and read the same numbers are no riddle: the first of them is taken.
    """
    found: list[tuple[str, ResponseFacts]] = []
    for shape in _likely(raw):
        facts = shape.read(raw, asked)
        if facts is not None and facts.usage != NO_USAGE:
            found.append((shape.name, facts))
    if not found or len({settled(facts.usage) for _, facts in found}) > 1:
        return None
    return found[0]


def text_by_shape(raw: bytes) -> str | None:
    """Return the text of an answer in the first shape that has one."""
    return next((text for shape in SHAPES if (text := shape.text(raw)) is not None), None)


def _likely(raw: bytes) -> list[Shape]:
    members = {whole or beginning for whole, beginning in _MARK.findall(raw)}
    leads = {id(shape) for member in members for shape in _LEADS[member]}
    return [shape for shape in SHAPES if id(shape) in leads]
