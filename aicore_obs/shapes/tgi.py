"""This module is where the native shape of Hugging Face's text-generation-inference is read.

Source: the project's OpenAPI document (huggingface/text-generation-inference, ``GenerateResponse``,
``StreamResponse``), read 2026-11-21. The prompt's tokens are only counted where its prefill was asked for, or (streams)
``input_length``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aicore_obs.model.record import Payload
from aicore_obs.model.usage import NO_USAGE, Usage, count_of
from aicore_obs.protocols import RequestFacts, ResponseFacts
from aicore_obs.shapes.body import Members, joined, last, listed, text_of, word


class _Answer(msgspec.Struct):
    generated_text: Payload = msgspec.UNSET
    details: Payload = msgspec.UNSET
    token: Payload = msgspec.UNSET


class _Details(msgspec.Struct):
    finish_reason: Any = None
    generated_tokens: Any = None
    input_length: Any = None
    prefill: Payload = msgspec.UNSET


class _Token(msgspec.Struct):
    text: Payload = msgspec.UNSET
    special: Any = None


_answers = Members(_Answer)
_details = Members(_Details)
_token = Members(_Token)


class TextGeneration(msgspec.Struct, frozen=True):
    """The shape."""

    name: str = "tgi"
    marks: tuple[str, ...] = ("generated_tokens",)

    def read(self, raw: bytes, asked: RequestFacts) -> ResponseFacts | None:  # noqa: ARG002 - a shape's duty
        """Read an answer or the tokens of a stream; None when it is of another shape."""
        answers = _answers.each(raw)
        if not any(answer.generated_text is not msgspec.UNSET for answer in answers):
            return None
        found = last(answers, _with_details)
        details, usage_raw = found if found is not None else (_Details(), msgspec.UNSET)
        output = count_of(details.generated_tokens)
        read = count_of(details.input_length) or len(listed(details.prefill)) or None
        usage = Usage(input_tokens=read, output_tokens=output) if output is not None else NO_USAGE
        return ResponseFacts(finish_reason=word(details.finish_reason), usage=usage, usage_raw=usage_raw)

    def text(self, raw: bytes) -> str | None:
        """Return the generated text, or the tokens of a stream that was cut."""
        answers = _answers.each(raw)
        whole = last(answers, lambda answer: text_of(answer.generated_text))
        return joined(_token_text(answer) for answer in answers) if whole is None else whole


SHAPE = TextGeneration()


def _with_details(answer: _Answer) -> tuple[_Details, Payload] | None:
    details = _details.of(answer.details)
    return None if details is None else (details, answer.details)


def _token_text(answer: _Answer) -> str | None:
    token = _token.of(answer.token)
    return None if token is None or token.special is True else text_of(token.text)
