"""This module is where an operation's payloads are read: model, usage, and what its price depends on.

Who answered is told by the host of the request's ``base_url``, else by the provider's name, else by the shape of the
answer alone, which ``usage_source`` then says (``shape:<name>``).
"""

from __future__ import annotations

import re

import msgspec

from aicore_obs.descriptions import Server, canonical, common, described, registry, server_of
from aicore_obs.guard import attempt
from aicore_obs.model.cost import NO_BILLING, Billing
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.usage import NO_USAGE, settled
from aicore_obs.protocols import Provider, RequestFacts, ResponseFacts

_NO_REQUEST, _NO_RESPONSE, _NO_SERVER = RequestFacts(), ResponseFacts(), Server()
# What is served when nothing else was asked for; a condition of this kind is no condition.
_ORDINARY = {
    "tier": frozenset({"default", "standard", "standard_only", "auto", "on_demand", "unspecified", "none",
                       "traffic_type_unspecified", ""}),
    "speed": frozenset({"standard", "normal", ""}),
    "region": frozenset({"global", "not_available", ""}),
    "size": frozenset({"auto", ""}),
    "quality": frozenset({"auto", ""}),
}  # fmt: skip
_TIERS = {"reserved": "provisioned", "provisioned_throughput": "provisioned"}
# How the api of operations begins that others tell of in words of their own → whose description reads those.
_TOLD_BY = {
    "span.attributes": "otel",
    "langchain.chat_model": "langchain",
    "langchain.llm": "langchain",
    "litellm.": "litellm",
}
# The region in the name of a host, such as ``us-east5-aiplatform.googleapis.com``.
_REGION = re.compile(r"^(?:https?://)?(?:bedrock-runtime\.)?([a-z]+-[a-z0-9-]*[0-9])[.-](?:aiplatform|amazonaws)\.")
# An interface of batches, not one that takes several at once (``batchEmbedContents``).
_BATCHES = re.compile(r"(?:^|[./_-])batch(?:es)?(?:$|[./_-])|batchGenerateContent")


def derive(operation: Operation) -> Derived | None:
    """Return what can be read out of an operation's payloads, None when there is nothing. Cost comes later."""
    named = described(operation.provider)
    description = named or common()
    request, server = _NO_REQUEST, _NO_SERVER
    if operation.completion_args is not msgspec.UNSET:
        raw = bytes(operation.completion_args)
        request = description.read_request(raw)
        if request.base_url is not None:
            server = server_of(request.base_url)
            if server.provider is not None and server.provider is not named:
                named = description = server.provider
                request = description.read_request(raw)
    response, source = _read_response(operation, request, named)
    if request == _NO_REQUEST and response == _NO_RESPONSE and operation.stream_state is None:
        return None
    return Derived(
        model=request.model or response.model,
        response_model=response.model,
        response_id=response.id,
        server_address=server.address,
        finish_reason=response.finish_reason,
        stream_state=operation.stream_state,
        temperature=request.temperature,
        max_tokens=request.max_tokens,
        usage=settled(response.usage) if response.usage is not NO_USAGE else NO_USAGE,
        usage_source=source,
        usage_raw=response.usage_raw,
        billing=_billing(operation, request, response, server),
    )


def told_by(api: str | None) -> Provider | None:
    """Return the description of who tells of an operation in words of its own, None where it is the provider."""
    found = next((who for beginning, who in _TOLD_BY.items() if (api or "").startswith(beginning)), None)
    return described(found)


def read_text(provider: str | None, response: bytes) -> str | None:
    """Return the text that the model wrote, by the provider's description or else by the shape; never raises."""
    description = described(provider)
    if description is None:
        return attempt(registry().text_by_shape, response).value
    text = attempt(description.read_text, response).value
    if text is not None or _fits(description, response):
        return text
    return attempt(registry().text_by_shape, response).value


def _fits(description: Provider, response: bytes) -> bool:
    facts = attempt(description.read_response, response, _NO_REQUEST).value
    return facts is not None and facts != _NO_RESPONSE


def _read_response(
    operation: Operation, request: RequestFacts, named: Provider | None
) -> tuple[ResponseFacts, str | None]:
    """Return what the response says, and where its usage was found."""
    if operation.response is msgspec.UNSET:
        if operation.error is not None or request.counts == NO_USAGE:
            return _NO_RESPONSE, None
        raw = b"null"  # sound, which nobody keeps: what was asked for is what was used
    else:
        raw = bytes(operation.response)
    facts = _NO_RESPONSE
    named = told_by(operation.api) or named
    if named is not None:
        facts = named.read_response(raw, request)
        if facts.usage != NO_USAGE:
            return facts, named.name
    found = registry().by_shape(raw, request)
    if found is not None:
        return found[1], f"shape:{found[0]}"
    if named is None:
        # What it is called and how it ended is worth knowing; what it used is not clear.
        facts = common().read_response(raw, request)
        facts = msgspec.structs.replace(facts, usage=NO_USAGE, usage_raw=msgspec.UNSET, bill=None)
    return facts, None


def _billing(operation: Operation, request: RequestFacts, response: ResponseFacts, server: Server) -> Billing:
    found = Billing(
        provider=_who_bills(operation.provider, response.provider, server),
        asked_model=request.model if request.model != response.model else None,
        base_url=request.base_url,
        conditions=_conditions(operation.api, request, response),
        bill=response.bill,
        others=response.others,
        is_made_of_others=response.is_made_of_others,
    )
    return found if found != NO_BILLING else NO_BILLING


def _who_bills(provider: str | None, told: str | None, server: Server) -> str | None:
    """Return who bills, where that is not whom the operation names."""
    found = canonical(told) if told is not None else server.provider.name if server.provider is not None else None
    return found if found is not None and (provider is None or canonical(provider) != found) else None


def _conditions(api: str | None, request: RequestFacts, response: ResponseFacts) -> dict[str, str]:
    """Return what was served, else what was asked; what is ordinary is left out."""
    told = {**request.conditions, **response.conditions} if response.conditions else request.conditions
    if request.base_url is not None and "region" not in told and (found := _REGION.match(request.base_url)):
        told = {**told, "region": found[1]}
    told = {name: _TIERS.get(value, value) for name, value in told.items() if value not in _ORDINARY.get(name, ())}
    if told.get("tier") == "batch" or (api is not None and _BATCHES.search(api)):
        told.pop("tier", None)
        told["batch"] = "true"
    return told
