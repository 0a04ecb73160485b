"""This module is where answers in OpenAI's shapes are read: chat completions, Responses, embeddings, their streams.

Many servers answer like this. Sources: openai 2.54.0 (``types.chat``, ``types.responses``, ``types.create_embedding_
response``) and the API reference (platform.openai.com/docs/api-reference), read 2026-11-21. Of a stream, the last usage
counts: some servers repeat a growing one in every chunk. Realtime sessions are the exception; there every
``response.done`` is billed by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from aicore_obs.model.cost import Bill, OtherUsage
from aicore_obs.model.record import Payload
from aicore_obs.model.usage import NO_USAGE, Usage, added, count_of, settled
from aicore_obs.protocols import RequestFacts, ResponseFacts
from aicore_obs.shapes import media
from aicore_obs.shapes.bill import bill_of, estimate
from aicore_obs.shapes.body import Members, is_there, joined, last, text_of, word
from aicore_obs.shapes.openai_chat import read_plain
from aicore_obs.shapes.openai_usage import PLAIN, Habits, Told, read_usage

# Types of other shapes that share members with this one.
_OTHERS = ("message", "message_start", "message_delta", "message-start", "message-end", "ai", "AIMessageChunk")


class _Choice(msgspec.Struct):
    index: Any = None
    finish_reason: Any = None
    message: Payload = msgspec.UNSET
    delta: Payload = msgspec.UNSET
    text: Any = None


class Body(msgspec.Struct):
    """A chat completion, a chunk of one, a Responses body, or (``response``) one of its stream's events."""

    id: Any = None
    type: Any = None
    object: Any = None
    model: Any = None
    usage: Payload = msgspec.UNSET
    choices: Payload = msgspec.UNSET
    service_tier: Any = None
    status: Any = None
    output: Payload = msgspec.UNSET
    output_text: Any = None
    # xAI's SDK
    outputs: Payload = msgspec.UNSET
    response: Payload = msgspec.UNSET
    # Events: a piece of text, one finished item; a line of a batch's output.
    delta: Payload = msgspec.UNSET
    item: Payload = msgspec.UNSET
    body: Payload = msgspec.UNSET
    custom_id: Any = None
    tool_usage: Payload = msgspec.UNSET
    x_groq: Payload = msgspec.UNSET
    # Embeddings and images; speech, transcriptions, videos
    data: Payload = msgspec.UNSET
    error: Payload = msgspec.UNSET
    text: Payload = msgspec.UNSET
    duration: Any = None
    seconds: Any = None
    size: Any = None
    quality: Any = None
    # Groq's systems of several models
    usage_breakdown: Payload = msgspec.UNSET
    hidden: Payload = msgspec.field(name="_hidden_params", default=msgspec.UNSET)


class _Breakdown(msgspec.Struct):
    models: Payload = msgspec.UNSET


class _Share(msgspec.Struct):
    model: Any = None
    usage: Payload = msgspec.UNSET


class _Said(msgspec.Struct):
    content: Any = None


class _Item(msgspec.Struct):
    """One item of a Responses body's output."""

    type: Any = None
    content: Any = None
    action: Payload = msgspec.UNSET


class _Action(msgspec.Struct):
    type: Any = None


class _Search(msgspec.Struct):
    num_requests: Any = None


class _Tools(msgspec.Struct):
    web_search: Payload = msgspec.UNSET


class _Groq(msgspec.Struct):
    usage: Payload = msgspec.UNSET


class _Hidden(msgspec.Struct):
    response_cost: Payload = msgspec.UNSET


_bodies = Members(Body)
_breakdown = Members(_Breakdown)
_shares = Members(_Share)
_choices = Members(_Choice)
_items = Members(_Item)
_said = Members(_Said)
_action = Members(_Action)
_tools = Members(_Tools)
_search = Members(_Search)
_groq = Members(_Groq)
_hidden = Members(_Hidden)


class OpenAI(msgspec.Struct, frozen=True):
    """The shape, with the habits of a server that differs in some of its numbers."""

    habits: Habits = PLAIN
    is_openrouter: bool = False
    name: str = "openai"
    marks: tuple[str, ...] = (
        "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens", "duration", "seconds",
        "url", "b64_json", "promptTokens",
    )  # fmt: skip

    def read(self, raw: bytes, asked: RequestFacts) -> ResponseFacts | None:
        """Read a body or events; None when it is of another shape."""
        if self.habits is PLAIN and raw[:1] == b"{" and (plain := read_plain(raw)) is not None:
            return plain
        return self.read_all(raw, asked)

    def read_all(self, raw: bytes, asked: RequestFacts) -> ResponseFacts | None:
        """Do as :meth:`read`, and look into every member."""
        events = _bodies.each(raw)
        if not events:
            usage = media.spoken(None, asked)
            return None if usage is NO_USAGE else ResponseFacts(usage=usage)
        bodies = [_inner(event) for event in events]
        if any(body.type in _OTHERS for body in bodies):
            return None
        told, usage_raw = self._told(events, bodies)
        body = bodies[-1]
        usage = media.measured(body, asked) if told is None else told.usage
        if usage is NO_USAGE and is_there(body.usage) and body.choices is msgspec.UNSET:
            return None
        if usage.web_searches is None and (body.output is not msgspec.UNSET or events[-1].type is not None):
            usage = _with_searches(usage, events, bodies)
        return ResponseFacts(
            model=last(bodies, _model),
            id=last(bodies, _id),
            finish_reason=last(bodies, _finish_reason),
            usage=usage,
            usage_raw=usage_raw,
            conditions=_conditions(bodies, told, is_batch=_is_batch(events[-1])),
            bill=_bill(body, told, usage_raw, is_openrouter=self.is_openrouter),
            others=(others := self._shared_out(body)),
            is_made_of_others=bool(others),
        )

    def text(self, raw: bytes) -> str | None:
        """Return the text of the first choice, or of all output items of a Responses body, or a transcription."""
        events = _bodies.each(raw)
        bodies = [_inner(event) for event in events]
        said = joined(_body_text(body) for body in bodies)
        if said:
            return said
        # A stream that was cut before its end has only its pieces.
        pieces = joined(text_of(event.delta) for event in events if event.type in _PIECES)
        if pieces:
            return pieces
        return last(bodies, lambda body: text_of(body.text)) if said is None else said

    def _shared_out(self, body: Body) -> tuple[OtherUsage, ...]:
        """Return the usage model by model, where the answer of a system of several says so."""
        if body.usage_breakdown is msgspec.UNSET:
            return ()
        found = _breakdown.of(body.usage_breakdown)
        models = _shares.each(found.models) if found is not None else []
        read = [(share.model, read_usage(share.usage, self.habits)) for share in models]
        return tuple(
            OtherUsage(model=model, usage=settled(told.usage))
            for model, told in read
            if isinstance(model, str) and told is not None
        )

    def _told(self, events: Sequence[Body], bodies: Sequence[Body]) -> tuple[Told | None, Payload]:
        if events[-1].type is not None and len(events) > 1:
            done = [body for event, body in zip(events, bodies, strict=True) if event.type == "response.done"]
            if len(done) > 1:
                return self._session(done)
        makes = media.made_by(bodies[-1])
        for body in reversed(bodies):
            for raw in _usages_of(body):
                told = None if raw is msgspec.UNSET else read_usage(raw, self.habits, makes=makes)
                if told is not None:
                    return told, raw
        return None, msgspec.UNSET

    def _session(self, done: Sequence[Body]) -> tuple[Told | None, Payload]:
        """Return the sum of what a realtime session's answers used; as its own object, the list of theirs."""
        read = [(told.usage, body.usage) for body in done if (told := read_usage(body.usage, self.habits)) is not None]
        if not read:
            return None, msgspec.UNSET
        raws = b",".join(bytes(cast("msgspec.Raw", raw)) for _, raw in read)
        return Told(usage=added([usage for usage, _ in read])), msgspec.Raw(b"[%b]" % raws)


SHAPE = OpenAI()
_PIECES = ("response.output_text.delta", "response.text.delta", "transcript.text.delta")


def _inner(event: Body) -> Body:
    """Return the body inside an event of a Responses stream, or inside a line of a batch's output."""
    if event.response is msgspec.UNSET:
        # Mistral's SDK puts every chunk of a stream into an envelope.
        wrapped = event.data is not msgspec.UNSET and event.choices is msgspec.UNSET and event.usage is msgspec.UNSET
        return (_bodies.of(event.data) if wrapped else None) or event
    inner = _bodies.of(event.response)
    if inner is None:
        return event
    return _bodies.of(inner.body) or inner


def _is_batch(event: Body) -> bool:
    """Return whether this is a line of a batch's output: an answer inside, under the name that the caller gave it."""
    return event.custom_id is not None and event.response is not msgspec.UNSET


def _usages_of(body: Body) -> Sequence[Payload]:
    if body.x_groq is msgspec.UNSET:
        return (body.usage,)
    groq = _groq.of(body.x_groq)  # the same numbers twice in the last chunk: once is enough
    return (body.usage,) if groq is None else (body.usage, groq.usage)


def _model(body: Body) -> str | None:
    return word(body.model)


def _id(body: Body) -> str | None:
    return word(body.id)


def _finish_reason(body: Body) -> str | None:
    choices = _choices_of(body)
    if choices is msgspec.UNSET:
        return word(body.status)
    for choice in _choices.each(choices):
        if isinstance(choice.finish_reason, str):
            return choice.finish_reason
    return None


def _choices_of(body: Body) -> Payload:
    return body.outputs if body.choices is msgspec.UNSET else body.choices


def _body_text(body: Body) -> str | None:
    for choice in _choices.each(_choices_of(body)):
        if choice.index:  # with n > 1, a chunk may be of another choice
            continue
        said = _said.of(choice.message) or _said.of(choice.delta)
        return _content_text(said.content) if said is not None else word(choice.text)
    if isinstance(body.output_text, str):
        return body.output_text
    return joined(_content_text(item.content) for item in _items.each(body.output))


def _content_text(content: Any) -> str | None:
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return word(content)


def _with_searches(usage: Usage, events: Sequence[Body], bodies: Sequence[Body]) -> Usage:
    searches = None if usage is NO_USAGE else _web_searches(events, bodies)
    return usage if searches is None else msgspec.structs.replace(usage, web_searches=searches)


def _web_searches(events: Sequence[Body], bodies: Sequence[Body]) -> int | None:
    """Return how often the web was searched: as told, else by counting; pages that were opened are no search."""
    for body in reversed(bodies):
        tools = None if body.tool_usage is msgspec.UNSET else _tools.of(body.tool_usage)
        search = None if tools is None else _search.of(tools.web_search)
        if search is not None and (told := count_of(search.num_requests)):
            return told
    items = next((found for body in reversed(bodies) if (found := _items_of(body))), [])
    # A stream that was cut has only its finished items.
    items = items or [item for event in events if event.item is not msgspec.UNSET
                      and event.type == "response.output_item.done" and (item := _items.of(event.item))]  # fmt: skip
    return sum(map(_is_search, items)) or None


def _items_of(body: Body) -> list[_Item]:
    if body.output is msgspec.UNSET or b"web_search_call" not in bytes(body.output):
        return []
    return _items.each(body.output)


def _is_search(item: _Item) -> bool:
    if item.type != "web_search_call":
        return False
    action = _action.of(item.action)
    return action is None or action.type in (None, "search")


def _conditions(bodies: Sequence[Body], told: Told | None, *, is_batch: bool) -> dict[str, str]:
    body, found = bodies[-1], {"tier": last(bodies, _tier)}
    if told is not None and (told.tier is not None or told.search_context is not None):
        found |= {"tier": found["tier"] or told.tier, "search_context": told.search_context}
    if body.size is not None or body.quality is not None:
        found |= {"size": word(body.size), "quality": word(body.quality)}
    if is_batch:
        found["batch"] = "true"
    return {name: value.lower() for name, value in found.items() if value is not None}


def _tier(body: Body) -> str | None:
    return word(body.service_tier)


def _bill(body: Body, told: Told | None, usage_raw: Payload, *, is_openrouter: bool) -> Bill | None:
    bill = bill_of(usage_raw, is_openrouter=is_openrouter) if told is not None and told.has_bill else None
    if bill is not None or body.hidden is msgspec.UNSET:
        return bill
    found = _hidden.of(body.hidden)
    return None if found is None else estimate(found.response_cost, "_hidden_params.response_cost")
