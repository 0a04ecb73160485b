"""This module is where requests are read in tests: what was asked for, in the names of each SDK."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from aicore_obs.derivation import derive
from aicore_obs.model.usage import Usage
from aicore_obs.protocols import RequestFacts
from aicore_obs.shapes.request import read_request
from tests.captures import capture

REQUESTS: list[tuple[dict[str, Any], RequestFacts]] = [
    ({"modelId": "m", "inferenceConfig": {"maxTokens": 5, "temperature": 1}, "serviceTier": {"type": "flex"}},
     RequestFacts(model="m", temperature=1.0, max_tokens=5, conditions={"tier": "flex"})),
    ({"modelId": "m", "body": '{"max_tokens": 7, "temperature": 0.5}'},
     RequestFacts(model="m", temperature=0.5, max_tokens=7)),
    ({"model": "m", "generationConfig": {"maxOutputTokens": 6, "imageConfig": {"imageSize": "4K"}}},
     RequestFacts(model="m", max_tokens=6, conditions={"size": "4k"})),
    ({"model": "m",
      "config": {"max_output_tokens": 6, "image_config": {"image_size": "2K"}, "service_tier": "PRIORITY"}},
     RequestFacts(model="m", max_tokens=6, conditions={"size": "2k", "tier": "priority"})),
    ({"model": "m", "options": {"num_predict": 8, "temperature": 0}},
     RequestFacts(model="m", temperature=0.0, max_tokens=8)),
    ({"inputs": "x", "parameters": {"max_new_tokens": 9}}, RequestFacts(max_tokens=9)),
    ({"model": "m", "speed": "fast", "inference_geo": "us"},
     RequestFacts(model="m", conditions={"speed": "fast", "region": "us"})),
    ({"model": "m", "n": 2, "size": "1024x1024", "quality": "hd"},
     RequestFacts(model="m", answers=2, counts=Usage(images=2), conditions={"size": "1024x1024", "quality": "hd"})),
    ({"model": "sora-2", "seconds": "4"}, RequestFacts(model="sora-2", counts=Usage(video_seconds=4.0))),
    ({"model": "veo", "config": {"durationSeconds": "8s", "numberOfVideos": 2}},
     RequestFacts(model="veo", answers=2, counts=Usage(video_seconds=16.0))),
    ({"model": "text-embedding-3-small", "input": "not to be spoken"}, RequestFacts(model="text-embedding-3-small")),
    ({"model": "gpt-4o-mini-tts", "voice": "x", "input": "a\u00e9"},
     RequestFacts(model="gpt-4o-mini-tts", counts=Usage(input_characters=2))),
    ({"model": "m", "base_url": "", "api_base": "https://a.example"},
     RequestFacts(model="m", base_url="https://a.example")),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "expected"), REQUESTS, ids=lambda value: repr(value)[:40])
def test_what_was_asked(asked: dict[str, Any], expected: RequestFacts) -> None:
    """Limits and conditions stand in many places; they mean the same."""
    assert read_request(json.dumps(asked).encode()) == expected


APIS = [("batches", True), ("messages.batches", True), ("batchGenerateContent", True), ("/v1/batches/b", True),
        ("batchEmbedContents", False), ("chat.completions", False), ("batched", False), (None, False)]  # fmt: skip


@pytest.mark.parametrize(("api", "is_batch"), APIS)
def test_an_interface_of_batches(api: str | None, is_batch: bool) -> None:
    """Its name says that the price is that of a batch."""
    body = {"model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    found = derive(capture({"model": "m"}, body, provider="openai", api=api))
    assert found is not None
    assert found.billing.conditions == ({"batch": "true"} if is_batch else {})


ORDINARY = [{"service_tier": "auto"}, {"service_tier": "default"}, {"service_tier": "standard_only"}, {"size": "auto"},
            {"quality": "auto"}, {"speed": "standard"}, {"inference_geo": "global"}]  # fmt: skip


@pytest.mark.parametrize("asked", ORDINARY, ids=repr)
def test_what_is_ordinary_is_no_condition(asked: dict[str, Any]) -> None:
    """Only what makes another price is kept."""
    body = {"model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    found = derive(capture({"model": "m", **asked}, body, provider="openai"))
    assert found is not None
    assert found.billing.conditions == {}


def test_speech_without_a_response() -> None:
    """Sound is often not kept: what was to be spoken is counted, unless the call failed."""
    asked = {"model": "tts-1", "voice": "alloy", "input": "Hello"}
    spoken = derive(capture(asked, None, provider="openai"))
    failed = derive(capture(asked, None, provider="openai", error="timeout"))
    assert spoken is not None
    assert failed is not None
    assert (spoken.usage, failed.usage) == (Usage(input_characters=5), Usage())
    assert spoken.usage_raw is msgspec.UNSET
