"""This module is where it is said how much of the content is kept, and where a request or an answer is cut to a size.

Of a payload that is too large its longest texts are cut, all to one length, so that the whole fits; behind each stands
how long it was. Where that is not enough, since it is made of numbers or of very many texts, its size and its hash
stand for the whole.
"""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec

from aicore_obs.guard import attempt

# What a reader finds in ``extras`` of an operation of which something was left out.
CONTENT_STATE = "content_state"
CUT, SAMPLED_OUT = "cut", "sampled_out"
# Room for what stands behind a text that was cut.
_BEHIND = len("… [9999999999 bytes in all]".encode())
# A text of which less would be left says nothing any more.
_LEAST_KEPT = 16
# A code of aicore_obs.model.escape that was cut in the middle.
_PART_OF_CODE = re.compile("\ue000(?:u[0-9A-F]{0,3})?$")
# That one character takes in JSON (``\\u0001``).
_MOST_BYTES = 6
_json = msgspec.json.Encoder()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the content one collector keeps.

    ``media``: pictures, sound and files as they are given. ``max_bytes``: of request and response each, as JSON.
    ``sample_rate``: of which share of the operations there is content at all, from 0 to 1.
    """

    media: bool = True
    max_bytes: int | None = None
    sample_rate: float = 1.0

    def least_bytes(self, least_media: int) -> float:
        """Return from what size on a record is looked at."""
        return min(math.inf if self.media else least_media, math.inf if self.max_bytes is None else self.max_bytes)

    def is_sampled_out(self, identity: str) -> bool:
        """Return whether a record keeps its numbers only; the same for the same trace or id, in every process.

        Who is in at some rate is in at every higher one.
        """
        return self.sample_rate < 1 and zlib.crc32(identity.encode(errors="replace")) >= self.sample_rate * 2**32


def cut(payload: bytes, max_bytes: int) -> bytes:
    """Return JSON of at most ``max_bytes``; ``payload`` itself where it is no longer than that."""
    if len(payload) <= max_bytes:
        return payload
    # Nested too deeply, or not quite JSON: it is foreign text.
    shorter = attempt(_shorter, payload, max_bytes).value
    return _json.encode(_stand_in(payload)) if shorter is None else shorter


def _shorter(payload: bytes, max_bytes: int) -> bytes | None:
    value = msgspec.json.decode(payload)
    lengths = sorted(len(_json.encode(text)) - 2 for text in _texts(value))
    kept_bytes = _fair_share(lengths, max_bytes - len(payload) + sum(lengths))
    shorter = _json.encode(_shortened(value, kept_bytes)) if kept_bytes >= _LEAST_KEPT else payload
    return shorter if len(shorter) <= max_bytes else None


def with_state(extras: msgspec.Raw | msgspec.UnsetType, state: str) -> msgspec.Raw:
    """Return extras that say what was left out of the content."""
    given = {} if extras is msgspec.UNSET else msgspec.json.decode(extras)
    return msgspec.Raw(_json.encode({**given, CONTENT_STATE: state} if isinstance(given, dict) else given))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _fair_share(lengths: list[int], room: int) -> int:
    """Return to how many bytes the longest texts must be cut so that all of them fit into the room."""
    for index, length in enumerate(lengths):
        share = room // (len(lengths) - index)
        if length > share:
            return share - _BEHIND
        room -= length
    return 0


def _shortened(value: Any, kept_bytes: int) -> Any:
    if isinstance(value, str):
        return value if len(value) * _MOST_BYTES <= kept_bytes else _cut_text(value, kept_bytes)
    if isinstance(value, dict):
        return {key: _shortened(item, kept_bytes) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item, kept_bytes) for item in value]
    return value


def _cut_text(text: str, kept_bytes: int) -> str:
    """Return what of a text takes so many bytes in JSON, and how many it had; the text itself where it fits."""
    if len(_json.encode(text)) - 2 <= kept_bytes + _BEHIND:
        return text
    kept = text[:kept_bytes]
    while (size := len(_json.encode(kept)) - 2) > kept_bytes:
        kept = kept[: min(len(kept) - 1, len(kept) * kept_bytes // size)]
    return f"{_PART_OF_CODE.sub('', kept)}… [{len(text.encode())} bytes in all]"


def _stand_in(payload: bytes) -> str:
    return f"[{len(payload)} bytes of JSON, sha256 {hashlib.sha256(payload).hexdigest()}]"
