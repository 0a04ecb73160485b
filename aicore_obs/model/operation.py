"""This module is where one model or NLP call is defined: what the caller said and what the road read from it."""

from __future__ import annotations

import msgspec

from aicore_obs.model.cost import NO_BILLING, Billing, Cost
from aicore_obs.model.record import ErrorInfo, Payload, Record
from aicore_obs.model.usage import NO_USAGE, Usage


class Derived(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the road read out of the request and the response. It can be made again from them at any time."""

    model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    server_address: str | None = None
    finish_reason: str | None = None
    stream_state: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    usage: Usage = NO_USAGE
    # Where the usage was found: a provider's name, "shape:<name>" when only the shape told,
    # "estimate:<vocabulary>" when it was not reported; None when nowhere.
    usage_source: str | None = None
    usage_raw: Payload = msgspec.UNSET
    billing: Billing = NO_BILLING
    cost: Cost | None = None


class Operation(Record, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="operation"):
    """One model or NLP call. Payloads stay the JSON that the caller's thread wrote; ``derived`` comes on the road.

    ``escaped`` says that payload text holds escapes of :mod:`aicore_obs.model.escape`.
    """

    operation_type: str = "completion"
    provider: str | None = None
    api: str | None = None
    latency_ms: float | None = None
    time_to_first_token_ms: float | None = None
    # How a stream ended, where one was watched: ``complete``, ``abandoned``, ``cancelled``, ``error``.
    stream_state: str | None = None
    workspace: str | None = None
    agent_id: str | None = None
    action_id: str | None = None
    user_id: str | None = None
    error: ErrorInfo | None = None
    escaped: bool = False
    # A newer version of the operation of this id, which was recorded before; stores keep the newer one.
    replaces: bool = False
    completion_args: Payload = msgspec.UNSET
    response: Payload = msgspec.UNSET
    derived: Derived | None = None

    @property
    def status(self) -> str:
        """``"error"`` when the call raised, else ``"ok"``: text or no text says nothing about it."""
        return "ok" if self.error is None else "error"
