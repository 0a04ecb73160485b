"""This module is where sessions, runs and experiments are defined, as the changes that made them."""

from __future__ import annotations

from typing import Literal

import msgspec

from aicore_obs.model.record import Payload, Record

ScopeKind = Literal["session", "run", "experiment"]
ScopeChange = Literal["opened", "changed", "ended"]


class Scope(Record, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="scope"):
    """A session, run or experiment was opened, changed or ended. ``scope_id`` names it."""

    scope: ScopeKind
    change: ScopeChange
    scope_id: str
    name: str | None = None
    body: Payload = msgspec.UNSET
