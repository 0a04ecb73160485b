"""This module is where an answer is recognised by its shape alone."""

from __future__ import annotations

from aicore_obs.model.usage import NO_USAGE, settled
from aicore_obs.protocols import RequestFacts, ResponseFacts
from aicore_obs.shapes import anthropic, bedrock, cohere, google, langchain, ollama, openai, pydantic_ai, spans, tgi
from aicore_obs.shapes.facts import Shape

SHAPES: tuple[Shape, ...] = (
    openai.SHAPE, anthropic.SHAPE, google.SHAPE, bedrock.SHAPE, cohere.SHAPE, ollama.SHAPE, tgi.SHAPE, langchain.SHAPE,
    pydantic_ai.SHAPE, spans.SHAPE,
)  # fmt: skip


def by_shape(raw: bytes, asked: RequestFacts) -> tuple[str, ResponseFacts] | None:
    """Return the name of the shape that fits an answer and what it reads, None when none fits or it is not clear which.

    Shapes that share their names and read the same numbers are no riddle: the first of them is taken.
    """
    found: list[tuple[str, ResponseFacts]] = []
    for shape in SHAPES:
        if any(mark in raw for mark in shape.marks):
            facts = shape.read(raw, asked)
            if facts is not None and facts.usage != NO_USAGE:
                found.append((shape.name, facts))
    if not found or len({settled(facts.usage) for _, facts in found}) > 1:
        return None
    return found[0]


def text_by_shape(raw: bytes) -> str | None:
    """Return the text of an answer in the one shape that has one; where shapes disagree there is none."""
    found = {text for shape in SHAPES if (text := shape.text(raw)) is not None}
    return found.pop() if len(found) == 1 else None
