"""This module is where a record becomes an example of a conversation, as OpenAI's fine-tuning takes it.

https://platform.openai.com/docs/guides/supervised-fine-tuning: a line is ``{"messages": [...]}``, the last of them the
assistant's, which is what is learned; ``tools`` beside them where the model had any.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from aicore_obs.derivation import read_text
from aicore_obs.oplog.fields import as_json, canonical, value_at
from aicore_obs.oplog.mapping import VALUE
from aicore_obs.oplog.record import Record
from aicore_obs.shapes.messages import SETTINGS

Message = dict[str, Any]
Example = dict[str, Any]
# Why a record is no example.
FAILED, CUT_OFF, NO_PROMPT, NO_ANSWER = "failed", "cut_off", "no_prompt", "no_answer"
_CUT_OFF = frozenset({"length", "max_tokens", "max_output_tokens", "content_filter", "refusal", "safety", "recitation"})
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


class Talk:
    """The way from records to examples. ``system`` is put first where a record has no instructions of its own;
    ``prompt`` and ``answer`` are dotted paths to what was asked and answered, where it is not found by itself.
    """

    def __init__(self, *, system: str | None = None, prompt: str | None = None, answer: str | None = None) -> None:
        self._system = system
        self._prompt = prompt
        self._answer = answer

    def example(self, record: Record) -> Example | str:
        """Return the example that a record is, or the reason why it is none."""
        if record.status == "error":
            return FAILED
        if (record.finish_reason or "").lower() in _CUT_OFF:
            return CUT_OFF
        asked = self._asked(record)
        if not asked:
            return NO_PROMPT
        answer = self._answered(record)
        if answer is None:
            return NO_ANSWER
        if self._system is not None and not _has_instructions(asked):
            asked = [{"role": "system", "content": self._system}, *asked]
        tools = [one for one in _list(record.inputs.get("tools")) if isinstance(one, dict) and "function" in one]
        return {"messages": [*asked, answer], **({"tools": tools} if tools else {})}

    def _asked(self, record: Record) -> list[Message]:
        if self._prompt is not None:
            return _messages(value_at(record, self._prompt))
        inputs = record.inputs
        for name in ("messages", "contents", "input"):
            found = _messages(inputs[name]) if isinstance(inputs.get(name), list) else []
            if found:
                return _instructed(inputs, found)
        asked = {key: value for key, value in inputs.items() if key not in SETTINGS}
        return _instructed(inputs, _user(_only_value(asked))) if asked else []

    def _answered(self, record: Record) -> Message | None:
        if self._answer is not None:
            value = value_at(record, self._answer)
            return None if value is None else {"role": "assistant", "content": _text(value)}
        outputs = record.outputs
        if not outputs:
            return None
        for choice in _list(outputs.get("choices"))[:1]:
            message = choice.get("message") if isinstance(choice, dict) else None
            if isinstance(message, dict):
                return _spoken(message)
        raw = outputs[VALUE] if outputs.keys() == {VALUE} else outputs
        text = read_text(record.provider, as_json(raw))
        return {"role": "assistant", "content": _text(_only_value(outputs)) if text is None else text}


def _messages(value: Any) -> list[Message]:
    """Return a list of messages, whoever's, as messages; a text is the user's; none of what is not understood."""
    if not isinstance(value, list):
        return [] if value is None else _user(value)
    found = [_message(one) for one in value]
    return cast("list[Message]", found) if all(found) else []


def _message(value: Any) -> Message | None:
    if not isinstance(value, dict):
        return None
    role = "assistant" if value.get("role") == "model" else value.get("role")
    if role not in _ROLES:
        return None
    if "parts" in value:  # Google's
        texts = [part.get("text") if isinstance(part, dict) else None for part in _list(value["parts"])]
        known = [text for text in texts if isinstance(text, str)]
        return {"role": role, "content": "".join(known)} if len(known) == len(texts) else None
    content = value.get("content")
    if isinstance(content, list) and _is_text(content):  # Anthropic's, and OpenAI's in parts
        content = "".join(part["text"] for part in content)
    return {**{key: item for key, item in value.items() if item is not None}, "role": role, "content": content}


def _is_text(parts: list[Any]) -> bool:
    kinds = ("text", "input_text", "output_text")
    return all(isinstance(part, dict) and part.get("type") in kinds and "text" in part for part in parts)


def _spoken(message: Mapping[str, Any]) -> Message | None:
    """Return the assistant's message of an answer without what fine-tuning does not take."""
    calls = message.get("tool_calls")
    content = message.get("content")
    if not calls:
        return None if content is None else {"role": "assistant", "content": content}
    return {"role": "assistant", **({} if content is None else {"content": content}), "tool_calls": calls}


def _instructed(inputs: Mapping[str, Any], messages: list[Message]) -> list[Message]:
    """Put in front what a request has as instructions beside its messages."""
    for name in ("system", "instructions", "systemInstruction", "system_instruction"):
        value = inputs.get(name)
        if value and not _has_instructions(messages):
            parts = _list(value.get("parts") if isinstance(value, dict) else value)
            texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
            text = "".join(map(_text, texts)) if texts else _text(value)
            return [{"role": "system", "content": text}, *messages]
    return messages


def _has_instructions(messages: list[Message]) -> bool:
    return any(message["role"] in ("system", "developer") for message in messages)


def _user(value: Any) -> list[Message]:
    return [{"role": "user", "content": _text(value)}]


def _only_value(values: Mapping[str, Any]) -> Any:
    """Return the one value, or all of them with their names: what is left out would be missing from the example."""
    return next(iter(values.values())) if len(values) == 1 else dict(values)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value).decode()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
