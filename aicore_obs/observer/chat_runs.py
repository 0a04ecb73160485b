"""This module is where a run of a model becomes an operation, where no instrumented SDK was called inside of it.

Source: langchain-core 1.8.3 (``language_models.chat_models``, ``outputs``), read 2026-11-28.
"""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from aicore_obs.capture.plain import snapshot
from aicore_obs.descriptions import described
from aicore_obs.observer import outers
from aicore_obs.observer.runs import Begun, Run
from aicore_obs.observer.watch import COMPLETE, state_of

_TYPE = "completion"
_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "HumanMessageChunk": "user"}
_MODEL = ("model", "model_name", "model_id", "deployment_name")
# Of a model's parameters, what is no part of the question.
_NO_QUESTION = frozenset({"_type", *_MODEL})
# Of an answer, what is kept also where it is empty: by these it is known for what it is.
_NEEDED = frozenset({"content", "response_metadata"})
# LangChain writes this beside the usage of an answer that it had in its cache.
_CACHED = "total_cost"


class ModelRun(Run):
    """One call of a model. It is an operation unless a call of its type is recorded inside."""

    def __init__(self, begun: Begun, request: dict[str, Any], sibling: ModelRun | None) -> None:
        super().__init__(begun, None, is_step=False)
        self._request: dict[str, Any] | None = request
        self._told = begun.told
        self._parent_id = begun.told.get("parent_run_id")
        self._left = int(begun.told.get("batch_size") or 1) - 1
        self._chunks = 0
        self._first: float | None = None
        # There will be a record, of this or of what is inside, and what is around makes none.
        for one in self.outers:
            one.cover(_TYPE)
        if sibling is not None:
            # All of a batch are begun before the first is asked: which of them a request is for, nobody says.
            self._left = sibling._left - 1  # noqa: SLF001 - of the same batch
            self.covered = sibling.covered

    def expects_more(self, parent_id: UUID | None) -> bool:
        """Return whether more runs of its batch are to begin."""
        return self.is_open and self._left > 0 and self._parent_id == parent_id

    def chunk(self, *, has_content: bool) -> None:
        """Count a chunk of its stream."""
        self._chunks += 1
        if has_content and self._first is None:
            self._first = time.perf_counter()

    def end(self, result: Any, error: BaseException | None, *, inputs: Any = None, is_late: bool = False) -> None:  # noqa: ARG002 - a run's duty
        """Record the call, where nobody inside of it has."""
        latency_ms = (time.perf_counter() - self._started) * 1000
        self.is_open = False
        if _TYPE not in self.covered:
            message = _answer(result)
            if _is_cached(message):
                # Nobody was asked, and nothing is billed.
                self._record_step(self._request, message, error, latency_ms, is_late=is_late)
            elif not self._is_known(message, latency_ms):
                self._record(message, error, latency_ms, is_late=is_late)
        self._request = None
        self._told = {}
        self._forget()

    def _record(self, message: Any, error: BaseException | None, latency_ms: float, *, is_late: bool) -> None:
        state = None
        if self._chunks:
            state = COMPLETE if error is None else state_of(error)
        elif isinstance(error, GeneratorExit):
            state = state_of(error)
        is_given_up = isinstance(error, GeneratorExit)
        extras = {"callsite": self.site, "stream_chunks": self._chunks or None, "run_name": self._told.get("name")}
        self._offer(
            lambda collector: collector.watching.operation(
                self._request,
                _TYPE,
                _provider(message, self._told),
                message,
                latency_ms,
                is_late=is_late,
                is_seen=True,
                api=self._kind,
                error=None if is_given_up else error,
                extras={name: value for name, value in extras.items() if value is not None},
                timestamp=self._started_at,
                time_to_first_token_ms=None if self._first is None else (self._first - self._started) * 1000,
                stream_state=state,
            ),
            is_late=is_late,
        )

    def _is_known(self, message: Any, latency_ms: float) -> bool:
        """Return whether a tracer that knows nothing of us has recorded the answer already."""
        answer_id = message.get("id") if isinstance(message, dict) else None
        if not isinstance(answer_id, str):
            return False
        begin_s = self._started_at.timestamp()
        return outers.answers.is_known(answer_id, "langchain", begin_s, begin_s + latency_ms / 1000)


def asked_in_messages(messages: Any, told: dict[str, Any]) -> dict[str, Any]:
    """Return what a chat model is asked."""
    return {**_asked(told), "messages": [_message(one) for one in messages]}


def asked_in_text(prompt: str, told: dict[str, Any]) -> dict[str, Any]:
    """Return what a model is asked in plain text."""
    return {**_asked(told), "prompt": prompt}


def _asked(told: dict[str, Any]) -> dict[str, Any]:
    params, metadata = told.get("invocation_params") or {}, told.get("metadata") or {}
    names = (params.get(name) for name in _MODEL)
    model = next((one for one in (*names, metadata.get("ls_model_name")) if isinstance(one, str)), None)
    given = {name: value for name, value in params.items() if value is not None and name not in _NO_QUESTION}
    return snapshot({**({} if model is None else {"model": model}), **given})  # type: ignore[no-any-return]


def _message(message: Any) -> dict[str, Any]:
    """Return a message as most servers are sent it."""
    kind = getattr(message, "role", None) or message.type
    members = {
        "role": _ROLES.get(kind, kind),
        "content": message.content,
        "name": message.name,
        "tool_calls": getattr(message, "tool_calls", None),
        "tool_call_id": getattr(message, "tool_call_id", None),
    }
    return {name: value for name, value in members.items() if value or name == "content"}


def _answer(result: Any) -> Any:
    """Return the answer of a result: one message, else whatever there is."""
    generations = getattr(result, "generations", None)
    answers = generations[0] if generations else []
    if not answers:
        return None
    if len(answers) > 1:
        return snapshot({"generations": [answers], "llm_output": getattr(result, "llm_output", None)})
    (answer,) = answers
    message = getattr(answer, "message", None)
    if message is not None:
        plain = snapshot(message)
        return {name: value for name, value in plain.items() if value not in (None, [], {}) or name in _NEEDED}
    told = {**(getattr(result, "llm_output", None) or {}), **(answer.generation_info or {})}
    return snapshot({"type": "ai", "content": answer.text, "response_metadata": told})


def _is_cached(message: Any) -> bool:
    usage = message.get("usage_metadata") if isinstance(message, dict) else None
    return isinstance(usage, dict) and _CACHED in usage


def _provider(message: Any, told: dict[str, Any]) -> str:
    """Return who answered, as far as it is somebody whom we know."""
    metadata = message.get("response_metadata") if isinstance(message, dict) else None
    said = metadata.get("model_provider") if isinstance(metadata, dict) else None
    for name in (said, (told.get("metadata") or {}).get("ls_provider")):
        found = described(name) if isinstance(name, str) else None
        if found is not None:
            return found.name
    return "langchain"
