"""This module is where the operations of a session become one conversation: what each request repeats is said once.

A request carries the whole history. Of each one, the longest beginning that stood in one and the same talk before is
left out; where a program cuts its history off at the front, what overlaps the end of a talk is. So nothing is left out
that does not stand above, and talks that run side by side in one session stay whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from aicore_obs.display.facts import Conversation, OperationFacts, Turn, total_of, totals_of
from aicore_obs.shapes.messages import Message
from aicore_obs.shapes.parts import Text, Thinking, ToolCall, ToolResult

_INSTRUCTIONS = ("system", "developer")
# Of so many of the last talks, so many of the last messages are looked at for an overlap.
_TALKS, _OVERLAP = 20, 200


def conversation_of(scope: str, value: str, operations: Iterable[OperationFacts], *, is_cut: bool) -> Conversation:
    """Return the conversation of operations, which are in the order of time."""
    said = _Said()
    turns = tuple(said.turn(one) for one in operations)
    sums = (
        totals_of(
            tokens=turn.operation.usage.get("total_tokens"),
            cost=turn.operation.cost,
            is_error=turn.operation.status == "error",
        )
        for turn in turns
    )
    return Conversation(scope=scope, id=value, turns=turns, totals=total_of(sums), is_cut=is_cut)


class _Said:
    """What was said so far, in every talk of the session."""

    def __init__(self) -> None:
        # Each beginning of each talk, as one hash.
        self._beginnings: set[int] = set()
        self._talks: list[list[int]] = []

    def turn(self, operation: OperationFacts) -> Turn:
        messages = operation.request.messages
        keys = [_key(one) for one in messages]
        # The last message is what is answered here, whether it was said before or not.
        repeated = min(self._repeated(messages, keys), max(len(messages) - 1, 0))
        # What was answered is part of the history that the next request repeats; of several answers, any one.
        for answer in operation.answers or (None,):
            self._add([*keys, *([] if answer is None else [_key(answer)])])
        return Turn(operation=operation, messages=messages[repeated:], repeated=repeated)

    def _repeated(self, messages: Sequence[Message], keys: Sequence[int]) -> int:
        first = next((place for place, one in enumerate(messages) if one.role not in _INSTRUCTIONS), len(messages))
        known = 0
        beginning = 0
        for place, key in enumerate(keys, 1):
            beginning = hash((beginning, key))
            if beginning not in self._beginnings:
                break
            known = place
        if known > first:
            return known
        overlap = max((_overlap(talk, keys[first:]) for talk in self._talks[-_TALKS:]), default=0)
        # Instructions that are new are not left out.
        return first + overlap if overlap and known == first else known

    def _add(self, keys: list[int]) -> None:
        beginning = 0
        for key in keys:
            beginning = hash((beginning, key))
            self._beginnings.add(beginning)
        self._talks = [talk for talk in self._talks[-_TALKS:] if talk != keys[: len(talk)]]
        self._talks.append(keys)


def _overlap(talk: Sequence[int], keys: Sequence[int]) -> int:
    """Return how many of the first keys are the last of a talk."""
    longest = min(len(talk), len(keys), _OVERLAP)
    counts = (count for count in range(longest, 0, -1) if talk[-count] == keys[0])
    return next((count for count in counts if talk[-count:] == keys[:count]), 0)


def _key(message: Message) -> int:
    """Return what tells one message from another; what a program sends back it may spell otherwise."""
    if len(message.parts) == 1 and isinstance(message.parts[0], Text):
        return hash((message.role, message.parts[0].text.strip()))
    parts = [key for part in message.parts if (key := _part_key(part)) is not None]
    return hash((message.role, "".join(text for kind, text in parts if kind == "text").strip(), *(
        key for key in parts if key[0] != "text"
    )))  # fmt: skip


def _part_key(part: Any) -> tuple[str, str] | None:
    if isinstance(part, Thinking):  # hardly ever sent back
        return None
    if isinstance(part, Text):
        return "text", part.text
    if isinstance(part, ToolCall):
        return "call", f"{part.name} {_json(part.arguments)}"
    if isinstance(part, ToolResult):
        return "result", f"{part.id} {_json([_part_key(one) for one in part.parts])}"
    return type(part).__name__, _json(msgspec.to_builtins(part))


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
