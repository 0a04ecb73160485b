"""This module is where the words of `oplog` become those of an operation, and an operation becomes a record again.

Inputs are the request (``completion_args``) with the model beside them, outputs are the response, meta is ``extras``.
So the collector's frames show model, usage and cost of what looks like a provider's request and answer, and this door
reads what the collector recorded. docs/decisions/0010-oplog-mapping.md has the reasons.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from aicore_obs.model.ids import from_microseconds
from aicore_obs.oplog.record import Mark, Record, Score

# An input of the name "model" stands beside the model of the operation under this prefix; so does what already has it.
_OWN = "inputs."
_NEEDS_PREFIX = re.compile(r"(?:inputs\.)*model")
# A payload that is no object is an object with this one key.
VALUE = "value"
# The columns that a record is made of, in the order of :func:`record_of`.
COLUMNS = (
    "operation_id",
    "timestamp",
    "project",
    "operation_type",
    "model",
    "provider",
    "status",
    "finish_reason",
    "completion_args",
    "response",
    "extras_json",
    "tags",
    "run_id",
    "seq",
    "flags_json",
    "scores_json",
)
# What of meta is a column of its own, too.
_QUANTITIES = ("latency_ms", "time_to_first_token_ms")
_NUMBERS = frozenset({int, float})


def request_of(model: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request: the model, as given or else as the inputs name it, and the inputs."""
    # The plain question first: this is on every caller's path.
    for key in inputs:
        if key.endswith("model") and _NEEDS_PREFIX.fullmatch(key):
            return _request_with_prefixes(model, inputs)
    return dict(inputs) if model is None else {"model": model, **inputs}


def _request_with_prefixes(model: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    own = {f"{_OWN}{key}" if _NEEDS_PREFIX.fullmatch(key) else key: value for key, value in inputs.items()}
    if model is None and isinstance(inputs.get("model"), str):
        model = inputs["model"]
    return own if model is None else {"model": model, **own}


def inputs_of(request: Any) -> dict[str, Any]:
    """Take :func:`request_of` back: the inputs, without the model of the operation."""
    if not isinstance(request, dict):
        return {} if request is None else {VALUE: request}
    return {
        key.removeprefix(_OWN) if _NEEDS_PREFIX.fullmatch(key) else key: value
        for key, value in request.items()
        if key != "model"
    }


def outputs_of(response: Any) -> dict[str, Any]:
    """Return the outputs that a response is; what is no object stands under ``value``."""
    if isinstance(response, dict):
        return response
    return {} if response is None else {VALUE: response}


def quantities_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of meta is measured by the collector, too, where it is a number."""
    return {name: meta[name] for name in _QUANTITIES if type(meta.get(name)) in _NUMBERS}


def record_of(row: Sequence[Any]) -> Record:
    """Return the record of one row of :data:`COLUMNS`."""
    found = dict(zip(COLUMNS, row, strict=True))
    extras = decoded(found["extras_json"])
    return Record(
        id=found["operation_id"],
        project=found["project"],
        operation=found["operation_type"],
        model=found["model"],
        inputs=inputs_of(decoded(found["completion_args"])),
        outputs=outputs_of(decoded(found["response"])),
        meta=extras if isinstance(extras, dict) else {},
        tags=found["tags"] or [],
        run_id=found["run_id"],
        seq=found["seq"],
        created_at=_in_utc(found["timestamp"]),
        flags=marks_of(found["flags_json"]),
        provider=found["provider"],
        status=found["status"],
        finish_reason=found["finish_reason"],
        scores=scores_of(found["scores_json"]),
    )


def marks_of(text: str | None) -> list[Mark]:
    """Return the marks that a store lists, oldest first."""
    marks = sorted(decoded(text) or [], key=lambda mark: (mark["at"], mark["id"]))
    return [Mark(one["reason"], note=one["note"], flagged_at=from_microseconds(one["at"])) for one in marks]


def scores_of(text: str | None) -> dict[str, Score]:
    """Return the scores that a store lists, by their names in the order of the alphabet."""
    listed = sorted(decoded(text) or [], key=lambda score: score["name"])
    return {
        one["name"]: Score(
            name=one["name"],
            value=msgspec.json.decode(one["value"]),
            comment=one["comment"],
            scored_at=from_microseconds(one["at"]),
        )
        for one in listed
    }


def decoded(text: str | None) -> Any:
    """Return what JSON text holds."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        # Lone surrogates, which a payload may hold.
        return json.loads(text)


def _in_utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC)
