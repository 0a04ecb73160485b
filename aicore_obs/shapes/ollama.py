"""This module is where Ollama's own shape is read: generate, chat and embed; a stream's last line has the counts.

Source: ollama 0.6.3 (``_types.BaseGenerateResponse``) and docs/api.md of ollama/ollama, read 2026-11-21. Where the
prompt was still in the server's memory, ``prompt_eval_count`` is left out: then the input is unknown.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aicore_obs.model.record import Payload
from aicore_obs.model.usage import NO_USAGE, Usage, count_of
from aicore_obs.protocols import RequestFacts, ResponseFacts
from aicore_obs.shapes.body import Members, is_there, joined, last, text_of, word


class _Line(msgspec.Struct):
    model: Any = None
    message: Payload = msgspec.UNSET
    response: Payload = msgspec.UNSET
    done: Any = None
    done_reason: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    embeddings: Payload = msgspec.UNSET


class _Message(msgspec.Struct):
    content: Payload = msgspec.UNSET


_lines = Members(_Line)
_message = Members(_Message)
_encoder = msgspec.json.Encoder()


class Ollama(msgspec.Struct, frozen=True):
    """The shape."""

    name: str = "ollama"
    marks: tuple[str, ...] = ("eval_count", "prompt_eval_count")

    def read(self, raw: bytes, asked: RequestFacts) -> ResponseFacts | None:  # noqa: ARG002 - a shape's duty
        """Read an answer or the lines of a stream; None when it is of another shape."""
        lines = _lines.each(raw)
        usage = last(lines, _counted)
        if usage is None and not any(isinstance(line.done, bool) for line in lines):
            return None
        return ResponseFacts(
            model=last(lines, lambda line: word(line.model)),
            finish_reason=last(lines, lambda line: word(line.done_reason)),
            usage=usage or NO_USAGE,
            usage_raw=_as_told(usage),
        )

    def text(self, raw: bytes) -> str | None:
        """Return the text of the answer, or of all its pieces."""
        return joined(_text(line) for line in _lines.each(raw))


SHAPE = Ollama()


def _counted(line: _Line) -> Usage | None:
    usage = Usage(input_tokens=count_of(line.prompt_eval_count), output_tokens=count_of(line.eval_count))
    if usage == NO_USAGE:
        return None
    is_embedding = usage.output_tokens is None and is_there(line.embeddings)
    return msgspec.structs.replace(usage, output_tokens=0) if is_embedding else usage


def _as_told(usage: Usage | None) -> Payload:
    """Return the counts as an object of their own: in the body they stand at the top, among everything else."""
    if usage is None:
        return msgspec.UNSET
    told = {"prompt_eval_count": usage.input_tokens, "eval_count": usage.output_tokens}
    return msgspec.Raw(_encoder.encode({name: count for name, count in told.items() if count is not None}))


def _text(line: _Line) -> str | None:
    if line.message is not msgspec.UNSET:
        message = _message.of(line.message)
        return None if message is None else text_of(message.content)
    return text_of(line.response)
