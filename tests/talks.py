"""This module is where tests make a session of an agent: operations that repeat their history, and a step."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec

from aicore_obs.model.cost import Cost
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.record import ErrorInfo, Record
from aicore_obs.model.usage import Usage
from tests import records

TRACE, SESSION = "0af7651916cd43dd8448eb211c80319c", "s-1"
SYSTEM = {"role": "system", "content": "You plan days out."}
ASKED = {"role": "user", "content": "A day in Oslo?"}
CALL = {"id": "c-1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
GIVEN = {"role": "tool", "tool_call_id": "c-1", "content": "rain"}
SAID = {"role": "assistant", "content": "Stay in."}


def asked(
    number: int, messages: list[dict[str, Any]], answer: dict[str, Any] | None = None, **fields: Any
) -> Operation:
    """Return operation ``number`` of the session, with 10 tokens for 0.5 USD where it has an answer."""
    response = {"response": {"choices": [{"message": answer}]}} if answer is not None else {}
    known = Derived(model="gpt-4o-mini", usage=Usage(input_tokens=7, output_tokens=3, total_tokens=10),
                    cost=Cost(total=Decimal("0.5"), source="genai-prices"))  # fmt: skip
    unknown = Derived(model="gpt-4o-mini", cost=Cost(reason="no usage reported"))
    settings = {
        "timestamp": records.WHEN + timedelta(seconds=number),
        "provider": "openai",
        "api": "chat.completions.create",
        "latency_ms": 500.0,
        "session_id": SESSION,
        "trace_id": TRACE,
        "span_id": f"{number:016x}",
        "parent_id": "a" * 16,
        "completion_args": {"model": "gpt-4o-mini", "messages": messages, "temperature": 0.5},
        "derived": known if answer is not None else unknown,
        **response,
    }
    return records.operation(**{**settings, **fields})


def session() -> list[Record]:
    """Return a session: a step, below it two operations that follow each other, and one that failed."""
    step = records.span(session_id=SESSION, trace_id=TRACE, span_id="a" * 16)
    step = msgspec.structs.replace(step, name="agent", duration_ms=9000.0)
    error = ErrorInfo(type="TimeoutError", message="no answer", stack="line 1")
    return [
        asked(1, [SYSTEM, ASKED], CALLED, labels={"team": "travel"}, tags=("a",), extras={"n": 1}, run_id="r-1"),
        asked(2, [SYSTEM, ASKED, CALLED, GIVEN], SAID),
        asked(3, [SYSTEM, ASKED, CALLED, GIVEN, SAID, {"role": "user", "content": "Thanks"}], error=error),
        step,
    ]
