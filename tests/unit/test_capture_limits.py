"""This module is where it is checked that content is cut and sampled as told, and that numbers never suffer from it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicore_obs.capture.limits import Limits, cut
from aicore_obs.capture.record import Capture
from aicore_obs.capture.steps import Step, captured_step
from aicore_obs.context import bind
from aicore_obs.derivation import derive
from aicore_obs.model.escape import MARK
from tests.captures import args_of, capture, extras_of, response_of
from tests.records import WHEN

LEAST = 256
REQUEST = {"model": "gpt-4o", "temperature": 0.5, "messages": [{"role": "user", "content": "a question, " * 100}]}
RESPONSE = {
    "id": "r-1",
    "model": "gpt-4o-2024",
    "choices": [{"finish_reason": "stop", "message": {"content": "an answer, " * 100}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4},
}


def keeping(**limits: Any) -> Capture:
    return Capture(derive=derive, limits=Limits(**limits))


def numbers_of(record: Any) -> tuple[Any, ...]:
    assert record.derived is not None
    usage = record.derived.usage
    return (record.derived.model, record.derived.response_id, usage.input_tokens, usage.output_tokens)


NUMBERS = ("gpt-4o", "r-1", 3, 4)


def test_long_texts_are_cut_and_say_how_long_they_were() -> None:
    """The longest texts go first; numbers, short texts and structure stay; the record says that it was cut."""
    record = capture(REQUEST, RESPONSE, by=keeping(max_bytes=500), provider="openai", extras={"mine": 1})
    (message,) = args_of(record)["messages"]
    assert message["role"] == "user"
    assert message["content"].startswith("a question, a question, ")
    assert message["content"].endswith("… [1200 bytes in all]")
    assert len(bytes(record.completion_args)) <= 500  # type: ignore[arg-type]
    assert response_of(record)["usage"] == RESPONSE["usage"]
    assert numbers_of(record) == NUMBERS
    assert extras_of(record) == {"mine": 1, "content_state": "cut"}
    assert record.odd == {}


def test_what_is_small_enough_is_left_alone() -> None:
    """Each payload is measured by itself; where none is too long, nothing is marked."""
    by = keeping(max_bytes=len(msgspec.json.encode(REQUEST)))
    record = capture(REQUEST, {"id": "r"}, by=by)
    assert (args_of(record), record.extras) == (REQUEST, msgspec.UNSET)
    record = capture(REQUEST, {"id": "r", "text": "x" * 2_000}, by=by)
    assert args_of(record) == REQUEST
    assert response_of(record)["text"].endswith("x… [2000 bytes in all]")
    assert extras_of(record) == {"content_state": "cut"}


def test_the_texts_of_a_chat_are_cut_to_one_length() -> None:
    """A short message stays whole beside two long ones."""
    request = {"messages": [{"content": "hello"}, {"content": "x" * 5_000}, {"content": "z" * 9_000}]}
    short, first, second = args_of(capture(request, by=keeping(max_bytes=1_000)))["messages"]
    assert short == {"content": "hello"}
    assert first["content"].count("x") == second["content"].count("z") > 300


def test_what_has_no_texts_to_cut_is_replaced() -> None:
    """Size and hash stand for an embedding that is too large; what it used is known."""
    response = {
        "data": [{"embedding": [0.125] * 5_000}],
        "model": "e",
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
    record = capture({}, response, by=keeping(max_bytes=1_000), provider="openai")
    assert response_of(record).startswith("[30")
    assert "bytes of JSON, sha256 " in response_of(record)
    assert record.derived is not None
    assert record.derived.usage.input_tokens == 8


def test_what_is_billed_by_characters_is_counted_before_the_cut() -> None:
    """Speech is billed by the text that was given: all of it."""
    request = {"model": "tts-1", "input": "word " * 1_000, "voice": "alloy"}
    record = capture(request, {"content_type": "audio/mpeg"}, by=keeping(max_bytes=400), provider="openai",
                     api="audio.speech.create", operation_type="audio")  # fmt: skip
    assert record.derived is not None
    assert record.derived.usage.input_characters == 5_000


def test_the_hook_sees_whole_texts() -> None:
    """Redaction runs before the cut: half a secret would be none to the hook."""
    seen: list[Any] = []
    by = Capture(derive=derive, redact=lambda content: seen.append(content) or content, limits=Limits(max_bytes=LEAST))
    assert "bytes in all" in args_of(capture(REQUEST, by=by))["messages"][0]["content"]
    assert seen[0]["completion_args"] == REQUEST


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=600)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=6),
    max_leaves=30,
)


@settings(max_examples=200)
@given(JSON, st.integers(LEAST, 4_000))
def test_a_cut_fits_and_is_json(value: Any, max_bytes: int) -> None:
    """Whatever the payload: at most so many bytes, valid JSON, unchanged where it fits."""
    payload = msgspec.json.encode(value)
    shorter = cut(payload, max_bytes)
    assert len(shorter) <= max_bytes
    assert shorter == payload if len(payload) <= max_bytes else json.loads(shorter) != value


def test_no_code_is_cut_in_the_middle() -> None:
    """Of a lone surrogate's escape all is kept, or nothing."""
    for length in range(200, 220):
        text = json.loads(cut(msgspec.json.encode("a" * length + f"{MARK}uD83D" * 50), LEAST))
        kept = text.partition("…")[0].lstrip("a")
        assert kept == f"{MARK}uD83D" * (len(kept) // 6)


@pytest.mark.parametrize("payload", [b"[" * 100_000, b'{"a": "' + b"x" * 9_000])
def test_foreign_json_that_cannot_be_cut(payload: bytes) -> None:
    """Its size and its hash stand for it."""
    assert json.loads(cut(payload, LEAST)).startswith(f"[{len(payload)} bytes of JSON")


def test_sampled_out_is_counted_and_says_so() -> None:
    """Numbers, names and usage stay; content is gone; ``extras`` says why."""
    record = capture(REQUEST, RESPONSE, by=keeping(sample_rate=0), provider="openai", latency_ms=5, extras={"mine": 1})
    assert (record.completion_args, record.response) == (msgspec.UNSET, msgspec.UNSET)
    assert (record.provider, record.latency_ms) == ("openai", 5)
    assert numbers_of(record) == NUMBERS
    assert extras_of(record) == {"mine": 1, "content_state": "sampled_out"}


def test_errors_are_never_sampled_out() -> None:
    """What failed is what one wants to look at."""
    record = capture(REQUEST, None, by=keeping(sample_rate=0), error=ValueError("no"))
    assert (args_of(record), record.extras) == (REQUEST, msgspec.UNSET)
    assert record.error is not None
    assert record.error.message == "no"


def test_the_share_is_about_what_was_asked_for() -> None:
    """By a hash of the id, which is new for each record."""
    by = keeping(sample_rate=0.25)
    kept = sum(capture(REQUEST, by=by).completion_args is not msgspec.UNSET for _ in range(2_000))
    assert 350 < kept < 650


def test_a_trace_is_kept_as_a_whole() -> None:
    """All operations of one trace have content, or none; and whoever is in at a rate is in at a higher one."""
    rates = (0.2, 0.5, 0.8)
    for number in range(40):
        with bind(trace_id=f"{number:032x}"):
            kept = [
                {capture(REQUEST, by=keeping(sample_rate=rate)).completion_args is not msgspec.UNSET for _ in range(3)}
                for rate in rates
            ]
        assert all(len(one) == 1 for one in kept)
        assert [one.pop() for one in kept] == sorted(Limits(sample_rate=rate).is_sampled_out(f"{number:032x}") is False
                                                     for rate in rates)  # fmt: skip


def test_steps_are_cut_and_sampled_too() -> None:
    """Arguments and results of a function are content as requests and answers are."""
    step = Step(name="f", started=WHEN, duration_ms=1.0, arguments={"q": "word " * 200}, result={"a": 1})
    sampled = json.loads(captured_step(keeping(sample_rate=0), step).line)
    assert (sampled["body"], sampled["extras"]) == ({}, {"content_state": "sampled_out"})
    shorter = json.loads(captured_step(keeping(max_bytes=LEAST), step).line)
    assert shorter["body"]["arguments"]["q"].endswith("… [1000 bytes in all]")
    assert (shorter["body"]["result"], shorter["extras"]) == ({"a": 1}, {"content_state": "cut"})


def test_numbers_only_is_not_said_to_be_sampled() -> None:
    """``capture_content=False`` keeps none, whatever the rate."""
    record = capture(REQUEST, RESPONSE, by=Capture(derive=derive, capture_content=False, limits=Limits(sample_rate=0)))
    assert record.extras is msgspec.UNSET
