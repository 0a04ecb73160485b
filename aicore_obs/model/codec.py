"""This module is where records become JSON bytes and JSON bytes become records.

A record is one JSON object. Its payloads (``completion_args``, ``response``, ``extras``) are written once, on the
caller's thread; reading it back takes them as :class:`msgspec.Raw` slices, so that the road never parses them whole.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aicore_obs.model.events import CostRevision, Flag, Score, Span
from aicore_obs.model.operation import Derived, Operation
from aicore_obs.model.record import CODEC_VERSION, Record
from aicore_obs.model.scope import Scope

KINDS: tuple[type[Record], ...] = (Operation, Scope, Span, Flag, CostRevision, Score)

_encoder = msgspec.json.Encoder()
_AnyKind = Operation | Scope | Span | Flag | CostRevision | Score
_decoder: msgspec.json.Decoder[_AnyKind] = msgspec.json.Decoder(_AnyKind)


class _Version(msgspec.Struct):
    v: int = 0


_version_decoder = msgspec.json.Decoder(_Version)


class UnknownCodecError(ValueError):
    """The record was written by a newer program; it must be left alone, not thrown away."""


def encode(record: Record) -> bytes:
    """Return the record as one line of JSON (no newline inside)."""
    return _encoder.encode(record)


def decode(line: bytes) -> Record:
    """Return the record of one line of JSON; payloads stay raw.

    Raises:
        UnknownCodecError: the record's version is higher than this program's.
        ValueError: the line is not a record.
    """
    try:
        record = _decoder.decode(line)
    except msgspec.DecodeError:
        _raise_if_newer(line)
        raise
    except RecursionError as error:
        raise ValueError("the line is nested too deeply") from error
    if record.v > CODEC_VERSION:
        _raise_if_newer(line)
    return record


def with_derived(line: bytes, derived: Derived | None) -> bytes:
    """Return the caller's own bytes with ``derived`` added as the last member; nothing is encoded again."""
    if derived is None:
        return line
    return b'%b,"derived":%b}' % (line[:-1], _encoder.encode(derived))


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of every kind of record (draft 2020-12)."""
    schemas, components = msgspec.json.schema_components(KINDS, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"aicore-obs/record/v{CODEC_VERSION}",
        "anyOf": list(schemas),
        "$defs": components,
    }


def _raise_if_newer(line: bytes) -> None:
    try:
        version = _version_decoder.decode(line).v
    except (msgspec.DecodeError, RecursionError):
        return
    if version > CODEC_VERSION:
        raise UnknownCodecError(f"record version {version}; this program reads up to {CODEC_VERSION}")
