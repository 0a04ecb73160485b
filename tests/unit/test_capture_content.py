"""This module is where it is checked that content stays out where it was not wanted, by switch or by hook."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from aicore_obs.capture.record import Capture, Content
from aicore_obs.derivation import derive
from aicore_obs.guard import log_window
from tests.captures import args_of, capture, extras_of, response_of

PROMPT, ANSWER = "the-secret-prompt", "the-secret-answer"
REQUEST = {"model": "gpt-4o", "temperature": 0.5, "max_tokens": 9, "messages": [{"role": "user", "content": PROMPT}]}
RESPONSE = {
    "id": "r-1",
    "model": "gpt-4o-2024",
    "choices": [{"finish_reason": "stop", "message": {"content": ANSWER}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4},
}


def without_content(request: Any, response: Any, **options: Any) -> bytes:
    """Return the line of a call whose content is not captured."""
    by = Capture(derive=derive, capture_content=False)
    record = capture(request, response, by=by, provider="openai", **options)
    assert record.derived is not None or response is None
    return by.operation(request, "completion", "openai", response, None, options).line


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        (REQUEST, RESPONSE),
        ({**REQUEST, "odd": {(1,): float("nan")}}, {**RESPONSE, "odd": object()}),
        ({**REQUEST, "text": PROMPT + "\ud800"}, {**RESPONSE, "text": ANSWER + "\ud800"}),
        (REQUEST, [{"choices": [{"delta": {"content": ANSWER}}]}, RESPONSE]),
    ],
    ids=["plain", "odd", "surrogates", "stream"],
)
def test_numbers_stay_and_texts_go(request_: Any, response: Any) -> None:
    """Nothing of prompt and answer is in the line; model, ids, usage, temperature and finish reason are."""
    line = without_content(request_, response)
    assert PROMPT.encode() not in line
    assert ANSWER.encode() not in line
    derived = json.loads(line)["derived"]
    assert (derived["model"], derived["response_model"], derived["response_id"]) == ("gpt-4o", "gpt-4o-2024", "r-1")
    assert (derived["temperature"], derived["max_tokens"], derived["finish_reason"]) == (0.5, 9, "stop")
    assert (derived["usage"]["input_tokens"], derived["usage"]["total_tokens"]) == (3, 7)


def test_of_an_error_only_the_type_stays() -> None:
    """Messages of errors quote prompts."""
    line = json.loads(without_content(REQUEST, None, error=ValueError(PROMPT), session_id="s"))
    assert line["error"] == {"type": "ValueError"}
    assert line["session_id"] == "s"


def redacted(redact: Any, *given: Any, **options: Any) -> Any:
    """Return the record of a call under a hook."""
    return capture(*given, by=Capture(derive=derive, redact=redact), **options)


def test_changes_of_the_hook_apply() -> None:
    """What the hook returns is what is kept, of arguments, response, extras and error."""

    def redact(content: Content) -> Content:
        assert set(content) == {"completion_args", "response", "extras", "error"}
        assert content["error"]["type"] == "ValueError"
        return {"completion_args": "a", "response": ["r"], "extras": {"e": 1}, "error": {"type": "T", "message": "m"}}

    record = redacted(redact, REQUEST, RESPONSE, extras={"x": PROMPT}, error=ValueError(PROMPT))
    assert (args_of(record), response_of(record), extras_of(record)) == ("a", ["r"], {"e": 1})
    assert record.error is not None
    assert (record.error.type, record.error.message, record.error.stack) == ("T", "m", None)
    assert record.odd == {}


def test_what_the_hook_leaves_out_is_gone() -> None:
    """A key that is missing or None keeps nothing."""
    record = redacted(
        lambda content: {"completion_args": content["completion_args"]}, REQUEST, RESPONSE, extras={"x": 1}
    )
    assert args_of(record) == REQUEST
    assert not record.response
    assert not record.extras


def test_the_hook_gets_a_copy() -> None:
    """A hook that changes what it is given changes the record and not the caller's objects."""

    def redact(content: Content) -> Content:
        content["completion_args"]["messages"][0]["content"] = "x"
        content["response"]["choices"].clear()
        content["extras"].clear()
        return content

    request = {"messages": [{"content": PROMPT}]}
    response, extras = {"choices": [ANSWER]}, {"k": "v"}
    record = redacted(redact, request, response, extras=extras)
    assert args_of(record) == {"messages": [{"content": "x"}]}
    assert (request, response, extras) == ({"messages": [{"content": PROMPT}]}, {"choices": [ANSWER]}, {"k": "v"})


def test_the_hook_gets_plain_data_without_secrets() -> None:
    """Whatever the caller gave, the hook sees dicts, lists, text and numbers; what was odd stays marked."""
    seen: list[Any] = []

    def redact(content: Content) -> Content:
        seen.append(content)
        return content

    odd = {"api_key": "sk-1", "n": 10**30, "nan": float("nan"), "o": object(), "t": (1, {2}), "s": "\ud800"}
    record = redacted(redact, odd, None)
    plain = seen[0]["completion_args"]
    assert (plain["api_key"], plain["n"], plain["nan"], plain["t"], plain["s"]) == (
        "[redacted]",
        10**30,
        "NaN",
        [1, [2]],
        "\ud800",
    )
    assert isinstance(plain["o"], str)
    assert "NaN" in record.odd["completion_args"]
    assert "repr" in record.odd["completion_args"]
    assert args_of(record)["n"] == 10**30


def _raises(_: Content) -> Content:
    raise ValueError(f"cannot redact {PROMPT}")


FAILING: dict[str, Any] = {
    "raises": _raises,
    "returns nothing": lambda _: None,
    "returns no mapping": lambda content: [content],
    "is no function": "redact",
    "exits by mistake": lambda content: content["nothing"],
}


@pytest.mark.parametrize("redact", FAILING.values(), ids=FAILING.keys())
def test_a_hook_that_fails_leaks_nothing(redact: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The content is dropped and the record kept, marked; neither the line nor the log has a word of it."""
    by = Capture(derive=derive, redact=redact)
    log_window._next.clear()
    with caplog.at_level(logging.WARNING):
        line = by.operation(
            REQUEST, "completion", "openai", RESPONSE, 5, {"extras": {"e": PROMPT}, "error": PROMPT}
        ).line
    for text in (line.decode(), caplog.text):
        assert PROMPT not in text
        assert ANSWER not in text
    kept = json.loads(line)
    assert (kept["provider"], kept["latency_ms"], kept["error"]) == ("openai", 5, {})
    assert "redact" in kept["odd"]
    assert "redact hook failed" in caplog.text


ODD = [pytest.param(object(), id="object()"), float("nan"), "\ud800", 10**30, {(1,): {2}}]


@pytest.mark.parametrize("answer", ODD, ids=repr)
def test_a_hook_may_return_what_json_has_no_word_for(answer: Any) -> None:
    """It is kept as anything else that is odd."""
    record = redacted(lambda _: {"completion_args": {"v": answer, "n": 1}}, REQUEST)
    assert args_of(record)["n"] == 1


def test_hook_and_switch_go_together() -> None:
    """Numbers are read from what the hook has left."""
    by = Capture(derive=derive, capture_content=False, redact=lambda content: {**content, "response": None})
    record = capture(REQUEST, RESPONSE, by=by, provider="openai")
    assert record.derived is not None
    assert (record.derived.model, record.derived.usage.total_tokens) == ("gpt-4o", None)
