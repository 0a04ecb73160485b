"""This module is where it is remembered which answers were recorded by themselves, so that none is billed twice.

A call of an instrumented SDK is recorded when it ends. Where the program then records the same answer by hand, which
its id tells, what it says more (labels, tags, extras, who and what for) joins the operation that is there: that is
recorded once more under its own id, and stores keep the newer version. Only what this process has seen lately, and what
is not too large to be held, can be joined.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from aicore_obs.capture.record import Captured
from aicore_obs.descriptions import canonical
from aicore_obs.guard import attempt
from aicore_obs.model import codec
from aicore_obs.model.operation import Operation
from aicore_obs.pipeline.forks import ForkLock

MAX_BYTES = 8 * 1024**2
MAX_ONE_BYTES = 1024**2
MAX_AGE_S = 600.0
_NAMES = ("id", "response_id", "responseId")
# One level down: Anthropic's first event, OpenAI's events of Responses, Bedrock.
_INSIDE = (("message", "id"), ("response", "id"), ("ResponseMetadata", "RequestId"))
# Looked at of a stream; the id stands in the first event or the second.
_PARTS = 3
# What the program says of an operation, and we cannot know better.
_SAID = ("project", "session_id", "run_id", "experiment_id", "seq", "workspace", "agent_id", "action_id", "user_id")
# What the instrumented call has seen itself; the program's word counts where it has seen nothing.
_SEEN = ("provider", "api", "latency_ms", "time_to_first_token_ms", "stream_state", "error", "trace_id", "span_id",
         "parent_id")  # fmt: skip


class _Kept(msgspec.Struct, frozen=True, gc=False):
    line: bytes
    provider: str | None
    at_s: float


class Seen:
    """The operations of one collector that were recorded by themselves, by their response's id; bounded."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0
        self._lock = ForkLock()

    def __bool__(self) -> bool:
        return bool(self._kept)

    def note(self, response_id: str, provider: str | None, line: bytes) -> None:
        """Remember an operation that was accepted."""
        if len(line) <= MAX_ONE_BYTES:
            with self._lock.here:
                self._put(response_id, _Kept(line, provider, time.monotonic()))

    def joined(self, response_id: str | None, provider: Any, captured: Captured) -> Captured:
        """Return the operation that was seen with what another record of the same answer says; else that record."""
        if response_id is None:
            return captured
        with self._lock.here:
            kept = self._kept.get(response_id)
            if kept is None or time.monotonic() - kept.at_s > MAX_AGE_S or not _is_of(kept, provider):
                return captured
            both = attempt(_merged, kept.line, captured.line).value
            if both is None:
                return captured
            line = codec.encode(both)
            self._put(response_id, _Kept(line, kept.provider, kept.at_s))
        return Captured(both.id, line, odd=captured.odd, is_known=True)

    def _put(self, response_id: str, kept: _Kept) -> None:
        before = self._kept.pop(response_id, None)
        self._bytes += len(kept.line) - (0 if before is None else len(before.line))
        self._kept[response_id] = kept
        while self._bytes > MAX_BYTES:
            self._bytes -= len(self._kept.popitem(last=False)[1].line)


def response_id_of(response: Any, options: Mapping[str, Any] | None = None) -> str | None:
    """Return the id of an answer: of a body, an SDK's object or a stream's events, else ``extras["response_id"]``."""
    parts = response[:_PARTS] if isinstance(response, list | tuple) else (response,)
    found = attempt(lambda: next((told for part in parts if (told := _id_of(part)) is not None), None)).value
    if found is not None or not options:
        return found
    extras = options.get("extras")
    told = extras.get("response_id") if isinstance(extras, dict) else None
    return told if isinstance(told, str) and told else None


def _id_of(part: Any) -> str | None:
    for name in _NAMES:
        told = _member(part, name)
        if isinstance(told, str) and told:
            return told
    for outer, inner in _INSIDE:
        told = _member(_member(part, outer), inner)
        if isinstance(told, str) and told:
            return told
    return None


def _member(value: Any, name: str) -> Any:
    if value is None or isinstance(value, str):
        return None
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _is_of(kept: _Kept, provider: Any) -> bool:
    if not isinstance(provider, str) or kept.provider is None:
        return True
    return canonical(provider) == canonical(kept.provider)


def _merged(seen: bytes, said: bytes) -> Operation:
    """Return one operation: measured as it was seen, labelled as it is said."""
    first, second = (cast("Operation", codec.decode(line)) for line in (seen, said))
    fields: dict[str, Any] = {name: _first(getattr(second, name), getattr(first, name)) for name in _SAID}
    fields |= {name: _first(getattr(first, name), getattr(second, name)) for name in _SEEN}
    fields["labels"] = {**first.labels, **second.labels}
    fields["tags"] = tuple(dict.fromkeys((*first.tags, *second.tags)))
    fields["odd"] = {**first.odd, **second.odd}
    fields["extras"] = _both(first.extras, second.extras)
    return msgspec.structs.replace(first, **fields, replaces=True)


def _first(value: Any, other: Any) -> Any:
    return other if value is None else value


def _both(first: Any, second: Any) -> Any:
    if first is msgspec.UNSET or second is msgspec.UNSET:
        return second if first is msgspec.UNSET else first
    return msgspec.Raw(msgspec.json.encode({**msgspec.json.decode(first), **msgspec.json.decode(second)}))
