"""This module is where pictures, sound and files inside of messages and answers become their type, size and hash.

What is taken for one: a URL that holds its data, base64 where a provider's request or answer has media, and bytes
anywhere. Long text that only looks like base64 stays, and so does what is shorter than :data:`MIN_CHARS`.

Sources: the references of OpenAI's chat, Responses, images and audio, Anthropic's messages, Gemini's and Vertex'
``Blob`` and ``predict``, Bedrock's Converse, Ollama's ``images``, Mistral's ``input_audio``; read 2026-11-28.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from aicore_obs.capture.plain import encode_hook, to_plain
from aicore_obs.guard import attempt_briefly

# Of base64: 3 KiB. Smaller ones fill no store.
MIN_CHARS = 4096
MIN_BYTES = MIN_CHARS // 4 * 3
# Half of it: a run of that length has at least one whole window in it, wherever it begins.
_WINDOW = MIN_CHARS // 2
_SPACE = ord(" ")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_="
_DATA = r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[\w.+-]+)*;base64,"
_URL_START = re.compile(_DATA)
_URL_INSIDE = re.compile(rf"{_DATA}([A-Za-z0-9+/_-]{{{MIN_CHARS - 2},}}={{0,2}})")
_SCALARS = frozenset({int, float, bool, type(None), msgspec.Raw, msgspec.UnsetType})
_BYTES = (bytes, bytearray, memoryview)
# Members that hold base64 and nothing else, and lists of it.
_MEDIA = frozenset(
    {
        *("audio_bytes", "audioBytes", "b64_json", "base64", "bytes", "bytesBase64Encoded", "file_data", "image_bytes"),
        *("imageBytes", "images", "inputImage", "input_audio", "partial_image_b64", "video_bytes", "videoBytes"),
    }
)
# Members that hold base64 where a neighbour says so.
_BESIDE_DATA = frozenset({"media_type", "mediaType", "mime_type", "mimeType", "format", "transcript", "expires_at"})
_MEDIA_BESIDE: dict[str, Callable[[Mapping[Any, Any]], bool]] = {
    "data": lambda beside: not _BESIDE_DATA.isdisjoint(beside),
    "result": lambda beside: beside.get("type") == "image_generation_call",
    "delta": lambda beside: str(beside.get("type")).endswith("audio.delta"),
    "audio": lambda beside: beside.get("type") == "speech.audio.delta",
}
_TYPES = ("media_type", "mediaType", "mime_type", "mimeType", "format", "output_format")
# How files of a kind begin: who is told no type still knows what it was.
_MAGIC = (
    (b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"), (b"%PDF", "application/pdf"),
    (b"RIFF", "audio/wav"), (b"ID3", "audio/mpeg"), (b"\xff\xfb", "audio/mpeg"), (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"), (b"PK\x03\x04", "application/zip"),
)  # fmt: skip
_WEBP, _MP4 = b"WEBP", b"ftyp"


def may_hold_media(line: bytes) -> bool:
    """Return whether something in a line of JSON may be base64 of :data:`MIN_CHARS` or more.

    No run of it is passed over; a false alarm only costs time. Ordinary text has a space in every window, so that one
    search in each is all that it costs.
    """
    find = line.find
    for start in range(0, len(line) - _WINDOW + 1, _WINDOW):
        if find(_SPACE, start, start + _WINDOW) < 0 and _is_base64(line[start : start + _WINDOW]):
            return True
    return False


def _is_base64(window: bytes) -> bool:
    # Lists of numbers and texts without spaces are told by less than the whole.
    return not window[:_GLANCE].translate(None, _ALPHABET) and not window.translate(None, _ALPHABET)


_GLANCE = 64


def without_media(value: Any) -> Any:
    """Return ``value`` with media replaced at any depth: the same object where there are none, else a copy."""
    return _clean(value, "", {})


def _clean(value: Any, key: Any, beside: Mapping[Any, Any]) -> Any:
    kind = type(value)
    if kind is str:
        return _clean_text(value, key, beside) if len(value) >= MIN_CHARS else value
    if kind in _SCALARS:
        return value
    if kind is dict:
        return _clean_mapping(value, beside)
    if kind is list or kind is tuple:
        return _clean_sequence(value, key, beside)
    if isinstance(value, _BYTES):
        return _marker(bytes(value), beside) if len(value) >= MIN_BYTES else value
    # An object of a stranger: look at what would be written of it.
    plain = _plain(value)
    clean = value if type(plain) is kind else _clean(plain, key, beside)
    return value if clean is plain else clean


def _clean_mapping(mapping: dict[Any, Any], outer: Mapping[Any, Any]) -> Any:
    copy: dict[Any, Any] | None = None
    # A type may stand one level higher: Bedrock's {"format": "png", "source": {"bytes": …}}.
    beside = mapping if len(mapping) > 1 else {**outer, **mapping}
    for key, item in mapping.items():
        clean = _clean(item, key, beside)
        if clean is not item:
            copy = dict(mapping) if copy is None else copy
            copy[key] = clean
    return mapping if copy is None else copy


def _clean_sequence(items: Any, key: Any, beside: Mapping[Any, Any]) -> Any:
    copy: list[Any] | None = None
    for index, item in enumerate(items):
        if type(item) in _SCALARS:
            continue
        clean = _clean(item, key, beside)
        if clean is not item:
            copy = list(items) if copy is None else copy
            copy[index] = clean
    return items if copy is None else copy


def _clean_text(text: str, key: Any, beside: Mapping[Any, Any]) -> str:
    start = _URL_START.match(text)
    if start is not None:
        data = _decoded(text[start.end() :])
        if data is not None:
            return _marker(data, {}, start[1])
    if ";base64," in text:
        return _URL_INSIDE.sub(_inside, text)
    is_media = key in _MEDIA or (key in _MEDIA_BESIDE and _MEDIA_BESIDE[key](beside))
    data = _decoded(text) if is_media else None
    return text if data is None else _marker(data, beside)


def _inside(found: re.Match[str]) -> str:
    data = _decoded(found[2])
    return found[0] if data is None else _marker(data, {}, found[1])


def _decoded(text: str) -> bytes | None:
    """Return what base64 of either alphabet holds, padded or not; None for what is none."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    # Three times as fast as binascii.a2b_base64 (4 MB in 5 ms), and it says no to any other character.
    return attempt_briefly(msgspec.convert, plain + "=" * (-len(plain) % 4), bytes).value


def _marker(data: bytes, beside: Mapping[Any, Any], told: str | None = None) -> str:
    """Return what stands in the place of media: ``[image/png, 48213 bytes, sha256 9f86…]``, of what they decode to."""
    named = (beside[name] for name in _TYPES if isinstance(beside.get(name), str))
    found = told or _type_of(data) or next(named, None) or "data"
    return f"[{found[:_MAX_TYPE]}, {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}]"


_MAX_TYPE = 100


def _type_of(data: bytes) -> str | None:
    if data[4:8] == _MP4:
        return "video/mp4"
    if data[8:12] == _WEBP:
        return "image/webp"
    return next((name for start, name in _MAGIC if data.startswith(start)), None)


def _plain(value: Any) -> Any:
    """Return an object as plain data, its bytes still bytes where it has some."""
    outcome = attempt_briefly(msgspec.to_builtins, value, builtin_types=(bytes, bytearray), str_keys=True,
                              enc_hook=_builtins_hook)  # fmt: skip
    return to_plain(value)[0] if outcome.error is not None else outcome.value


def _builtins_hook(value: Any) -> Any:
    plain = encode_hook(value)
    return msgspec.json.decode(plain) if isinstance(plain, msgspec.Raw) else plain
