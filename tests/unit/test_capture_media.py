"""This module is where it is checked that media become their type, size and hash, and nothing else does."""

from __future__ import annotations

import base64
import copy
import hashlib
import random
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import ImagesResponse

from aicore_obs.capture.limits import Limits
from aicore_obs.capture.media import MIN_BYTES, MIN_CHARS, may_hold_media, without_media
from aicore_obs.capture.record import Capture
from aicore_obs.derivation import derive
from tests.captures import args_of, capture, extras_of, response_of

PNG = b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(5_000)
WAV = b"RIFF\x00\x00\x00\x00WAVE" + random.Random(2).randbytes(5_000)
BLOB = b"\x00\x01" + random.Random(3).randbytes(5_000)
WITHOUT = Capture(derive=derive, limits=Limits(media=False))


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def mark(kind: str, data: bytes) -> str:
    return f"[{kind}, {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}]"


def url_of(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{text_of(data)}"


# Where providers have media: (as given, as kept).
REQUESTS: dict[str, tuple[Any, Any]] = {
    "openai image": ({"image_url": {"url": url_of("image/png", PNG)}}, {"image_url": {"url": mark("image/png", PNG)}}),
    "openai responses": ({"image_url": url_of("image/webp", PNG)}, {"image_url": mark("image/webp", PNG)}),
    "openai audio": (
        {"input_audio": {"data": text_of(WAV), "format": "wav"}},
        {"input_audio": {"data": mark("audio/wav", WAV), "format": "wav"}},
    ),
    "openai file": (
        {"file": {"filename": "a.pdf", "file_data": url_of("application/pdf", BLOB)}},
        {"file": {"filename": "a.pdf", "file_data": mark("application/pdf", BLOB)}},
    ),
    "anthropic": (
        {"source": {"type": "base64", "media_type": "image/jpeg", "data": text_of(BLOB)}},
        {"source": {"type": "base64", "media_type": "image/jpeg", "data": mark("image/jpeg", BLOB)}},
    ),
    "google": (
        {"inlineData": {"mimeType": "audio/mp3", "data": text_of(BLOB)}},
        {"inlineData": {"mimeType": "audio/mp3", "data": mark("audio/mp3", BLOB)}},
    ),
    "google bytes": (
        {"inline_data": {"mime_type": "x/y", "data": BLOB}},
        {"inline_data": {"mime_type": "x/y", "data": mark("x/y", BLOB)}},
    ),
    "vertex": ({"bytesBase64Encoded": text_of(PNG)}, {"bytesBase64Encoded": mark("image/png", PNG)}),
    "bedrock": (
        {"image": {"format": "heic", "source": {"bytes": BLOB}}},
        {"image": {"format": "heic", "source": {"bytes": mark("heic", BLOB)}}},
    ),
    "bedrock after a snapshot": (
        {"document": {"format": "csv", "name": "n", "source": {"bytes": text_of(BLOB)}}},
        {"document": {"format": "csv", "name": "n", "source": {"bytes": mark("csv", BLOB)}}},
    ),
    "ollama": ({"images": [text_of(PNG), "short"]}, {"images": [mark("image/png", PNG), "short"]}),
    "mistral": (
        {"type": "input_audio", "input_audio": text_of(WAV)},
        {"type": "input_audio", "input_audio": mark("audio/wav", WAV)},
    ),
    "langchain": (
        {"base64": text_of(PNG), "mime_type": "image/png"},
        {"base64": mark("image/png", PNG), "mime_type": "image/png"},
    ),
    "inside of text": (
        {"content": f"look: ![it]({url_of('image/png', PNG)}) at once"},
        {"content": f"look: ![it]({mark('image/png', PNG)}) at once"},
    ),
    "url-safe": (
        {"inline_data": {"mime_type": "x/y", "data": base64.urlsafe_b64encode(BLOB).decode().rstrip("=")}},
        {"inline_data": {"mime_type": "x/y", "data": mark("x/y", BLOB)}},
    ),
    "bytes anywhere": (
        {"upload": [bytearray(BLOB)], "view": memoryview(PNG)},
        {"upload": [mark("data", BLOB)], "view": mark("image/png", PNG)},
    ),
}


@pytest.mark.parametrize(("given", "kept"), REQUESTS.values(), ids=REQUESTS.keys())
def test_media_of_requests(given: Any, kept: Any) -> None:
    """Type as told or as the bytes begin, size and hash of the bytes; the rest stays, the caller's objects too."""
    question = {"type": "text", "text": "what is it?"}
    request = {"model": "m", "messages": [{"role": "user", "content": [given, question]}]}
    before = copy.copy(given)
    record = capture(request, {"id": "r"}, by=WITHOUT)
    (message,) = args_of(record)["messages"]
    assert message["content"] == [kept, question]
    assert given == before
    assert record.odd == {}


RESPONSES: dict[str, tuple[Any, Any]] = {
    "images": ({"data": [{"b64_json": text_of(PNG)}]}, {"data": [{"b64_json": mark("image/png", PNG)}]}),
    "speech in a chat": (
        {"message": {"audio": {"id": "a", "data": text_of(BLOB), "expires_at": 1, "transcript": "Hi"}}},
        {"message": {"audio": {"id": "a", "data": mark("data", BLOB), "expires_at": 1, "transcript": "Hi"}}},
    ),
    "responses": (
        [{"type": "image_generation_call", "result": text_of(PNG)}],
        [{"type": "image_generation_call", "result": mark("image/png", PNG)}],
    ),
    "stream": (
        [
            {"type": "response.output_audio.delta", "delta": text_of(BLOB)},
            {"type": "speech.audio.delta", "audio": text_of(WAV)},
        ],
        [
            {"type": "response.output_audio.delta", "delta": mark("data", BLOB)},
            {"type": "speech.audio.delta", "audio": mark("audio/wav", WAV)},
        ],
    ),
}


@pytest.mark.parametrize(("given", "kept"), RESPONSES.values(), ids=RESPONSES.keys())
def test_media_of_responses(given: Any, kept: Any) -> None:
    """Bodies and events alike."""
    assert response_of(capture({}, given, by=WITHOUT)) == kept


def test_media_of_an_sdks_object() -> None:
    """What its own serialiser writes, but for the media."""
    response = ImagesResponse.model_validate({"created": 1, "data": [{"b64_json": text_of(PNG)}]})
    plain = response.model_dump(mode="json")
    plain["data"][0]["b64_json"] = mark("image/png", PNG)
    assert response_of(capture({}, response, by=WITHOUT)) == plain


LOOKS_LIKE_IT: dict[str, Any] = {
    "text": {"messages": [{"content": "x" * 100_000}]},
    "a signature": {"thinking": "…", "signature": text_of(BLOB)},
    "an embedding": {"data": [{"embedding": text_of(BLOB)}]},
    "data of nobody's": {"data": "A" * 10_000},
    "numbers": {"data": [{"embedding": [0.25, -1.5] * 2_000}]},
    "small": {"image_url": url_of("image/png", PNG[:500]), "bytes": PNG[:100]},
    "a url": {"image_url": "https://example.com/" + "a" * 10_000},
    "spaces": {"b64_json": "not base64 " * 1_000},
}


@pytest.mark.parametrize("given", LOOKS_LIKE_IT.values(), ids=LOOKS_LIKE_IT.keys())
def test_what_only_looks_like_media_stays(given: Any) -> None:
    """Long words, signatures, embeddings, and what is small."""
    assert args_of(capture(given, by=WITHOUT)) == args_of(capture(given))


def test_media_can_be_kept() -> None:
    """With ``capture_media=True`` everything is as it was given."""
    request = {"image_url": url_of("image/png", PNG)}
    assert args_of(capture(request)) == request


def test_media_among_odd_values_and_in_extras() -> None:
    """A value that takes the slow road has its media replaced too."""
    record = capture({"n": float("nan"), "o": object(), "b64_json": text_of(PNG)}, extras={"chart": PNG}, by=WITHOUT)
    assert (args_of(record)["b64_json"], args_of(record)["n"]) == (mark("image/png", PNG), "NaN")
    assert extras_of(record) == {"chart": mark("image/png", PNG)}


def test_the_redact_hook_sees_no_media() -> None:
    """What nobody keeps need not be searched; its texts are whole."""
    seen: list[Any] = []
    by = Capture(derive=derive, redact=lambda content: seen.append(content) or content, limits=Limits(media=False))
    capture({"b64_json": text_of(PNG), "upload": BLOB}, by=by)
    assert seen[0]["completion_args"] == {"b64_json": mark("image/png", PNG), "upload": mark("data", BLOB)}


class Part(pydantic.BaseModel):
    data: bytes
    mime_type: str


def test_objects_of_strangers_are_looked_into() -> None:
    """Also in lists and deep inside; one without media stays the very object."""
    assert without_media([{"parts": [Part(data=text_of(BLOB).encode(), mime_type="x/y")]}]) == [
        {"parts": [{"data": mark("x/y", BLOB), "mime_type": "x/y"}]}
    ]
    harmless = [Part(data=b"a", mime_type="x/y")]
    assert without_media(harmless) is harmless


@given(st.text(max_size=MIN_CHARS * 2), st.integers(MIN_CHARS, MIN_CHARS + 300), st.text(max_size=40))
def test_no_run_of_base64_is_passed_over(before: str, length: int, behind: str) -> None:
    """Wherever a long run of base64 stands in a line, the line is looked at."""
    line = msgspec.json.encode([before, "Ab+/"[length % 4] * length, behind])
    assert may_hold_media(line)


def test_bytes_of_the_least_size_are_seen() -> None:
    """The smallest bytes that are replaced have as much base64 as the smallest base64."""
    assert may_hold_media(msgspec.json.encode({"a": bytes(MIN_BYTES)}))
    assert len(text_of(bytes(MIN_BYTES))) == MIN_CHARS
