"""This module is where a tracer's span is read as a call of a model: of which kind, by whom, what was asked of whom.

Sources: see :mod:`aicore_obs.shapes.spans`, which reads the answer, and for what streams tell: pydantic-ai-slim 2.68.0,
opentelemetry-instrumentation-openai 0.62.4, openinference-instrumentation-openai 0.1.66, read 2026-11-28. An agent's or
a workflow's span repeats the usage of the calls inside it, so that it is never a call itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aicore_obs.descriptions import canonical
from aicore_obs.importing.made import number, text, unpacked

# What such an operation's ``api`` is: its response are the attributes of a span.
API = "span.attributes"
# What a call of a model is called by each convention → the type of its operation.
_CALLS = {"chat": "completion", "text_completion": "completion", "generate_content": "completion",
          "completion": "completion", "LLM": "completion", "embeddings": "embedding", "embedding": "embedding",
          "EMBEDDING": "embedding", "rerank": "rerank", "RERANKER": "rerank"}  # fmt: skip
_KINDS = ("gen_ai.operation.name", "llm.request.type", "openinference.span.kind")
_PROVIDERS = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
_MODELS = ("gen_ai.request.model", "llm.request.model_name", "llm.model_name", "embedding.model_name",
           "gen_ai.response.model")  # fmt: skip
_MESSAGES = ("gen_ai.input.messages", "input.value")
_SESSIONS = ("gen_ai.conversation.id", "session.id", "traceloop.association.properties.session_id")
_USERS = ("user.id", "enduser.id", "traceloop.association.properties.user_id")
_AGENTS = ("gen_ai.agent.id", "gen_ai.agent.name", "agent.name")
_PARAMETERS = {"temperature": "gen_ai.request.temperature", "max_tokens": "gen_ai.request.max_tokens"}
_URLS = ("gen_ai.openai.api_base", "server.address")
# Seconds, and the events that stand for the first part of a stream.
_FIRST_TOKEN = ("gen_ai.response.time_to_first_chunk", "gen_ai.client.operation.time_to_first_chunk",
                "gen_ai.server.time_to_first_token")  # fmt: skip
_FIRST_EVENTS = ("First Token Stream Event", "gen_ai.content.completion.chunk", "llm.content.completion.chunk")
# Headers are no part of an answer, and may hold a key in a text that nobody can look into.
_HEADERS = frozenset({"gen_ai.headers", "llm.headers"})
# Messages one by one, as OpenLLMetry wrote them and OpenInference writes them: number, member.
_ONE_MESSAGE = re.compile(r"^(?:gen_ai\.prompt|llm\.input_messages)\.(\d{1,6})\.(?:message\.)?(.+)$")


def type_of(given: Mapping[str, Any]) -> str | None:
    """Return the type of the operation that a span is, None when it is none."""
    kind = _first(given, _KINDS)
    if kind is not None:
        return _CALLS.get(kind)
    return "completion" if _first(given, _MODELS) and any(".usage." in one for one in given) else None


def provider_of(given: Mapping[str, Any]) -> str:
    """Return who answered by the name that we have for it, so that one filter finds all of them."""
    told = _first(given, _PROVIDERS)
    return "otel" if told is None else canonical(told)


def request_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was asked: the model, parameters, messages; and of which server."""
    asked = unpacked(next((given[one] for one in _MESSAGES if one in given), None)) or _one_by_one(given)
    # OpenInference keeps the whole request of an SDK, model and all.
    told = asked if isinstance(asked, dict) else {"messages": asked or None}
    found = {"model": _first(given, _MODELS), **{key: given.get(one) for key, one in _PARAMETERS.items()}}
    found = {**found, "base_url": _url(given), **told}
    return {key: value for key, value in found.items() if value is not None}


def answer_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that are the answer: without what was asked, which is kept as the request."""
    taken = next((one for one in _MESSAGES if one in given), None)
    return {
        name: value
        for name, value in given.items()
        if name != taken and name not in _HEADERS and not _ONE_MESSAGE.match(name)
    }


def scopes_of(given: Mapping[str, Any]) -> dict[str, str | None]:
    """Return whose call it was: of which session, user and agent."""
    return {
        "session_id": _first(given, _SESSIONS),
        "user_id": _first(given, _USERS),
        "agent_id": _first(given, _AGENTS),
    }


def error_of(
    given: Mapping[str, Any], described: str | None, events: Iterable[tuple[str, Mapping[str, Any]]]
) -> dict[str, str | None]:
    """Return the error of a span whose status says that there was one; ``described`` is what the status adds."""
    told = next((attributes for name, attributes in events if name == "exception"), {})
    return {
        "type": text(told.get("exception.type")) or text(given.get("error.type")),
        "message": text(told.get("exception.message")) or text(described),
        "stack": text(told.get("exception.stacktrace")),
    }


def first_token_ms(given: Mapping[str, Any], start_ns: int, events: Iterable[tuple[str, int]]) -> float | None:
    """Return when the first part of a stream came; ``events`` are names and times (ns). None where nothing tells."""
    seconds = next((told for one in _FIRST_TOKEN if (told := number(given.get(one))) is not None), None)
    if seconds is not None:
        return seconds * 1000
    first_ns = next((when for name, when in events if name in _FIRST_EVENTS), None)
    return (first_ns - start_ns) / 1e6 if first_ns is not None and first_ns >= start_ns else None


def _url(given: Mapping[str, Any]) -> str | None:
    found = _first(given, _URLS)
    port = given.get("server.port")
    return f"{found}:{port}" if found is not None and found == given.get("server.address") and port else found


def _one_by_one(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages: dict[int, dict[str, Any]] = {}
    for name, value in given.items():
        match = _ONE_MESSAGE.match(name)
        if match is not None:
            messages.setdefault(int(match[1]), {})[match[2]] = value
    return [messages[place] for place in sorted(messages)]


def _first(given: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((given[one] for one in names if text(given.get(one))), None)
