"""This module is where a response is made that is built as the objects of providers' SDKs are: pydantic models."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from benchmarks.payload import RESPONSE


class _Model(BaseModel):
    # As the SDKs do: fields that a provider adds one day are kept.
    model_config = ConfigDict(extra="allow", defer_build=True)


class Message(_Model):
    content: str | None = None
    refusal: str | None = None
    role: Literal["assistant"]
    tool_calls: list[object] | None = None


class Choice(_Model):
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]
    index: int
    message: Message


class PromptDetails(_Model):
    audio_tokens: int | None = None
    cached_tokens: int | None = None


class Usage(_Model):
    completion_tokens: int
    prompt_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails | None = None


class ChatCompletion(_Model):
    """The response of the benchmarks as an object."""

    id: str
    choices: list[Choice]
    created: int
    model: str
    object: Literal["chat.completion"]
    usage: Usage | None = None


def sdk_response() -> ChatCompletion:
    """Return the object."""
    return ChatCompletion.model_validate(RESPONSE)
