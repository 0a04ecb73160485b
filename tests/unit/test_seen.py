"""This module is where it is checked what is remembered of instrumented calls, for how long, and what joins it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from aicore_obs import seen
from aicore_obs.model import codec
from aicore_obs.model.operation import Operation
from aicore_obs.seen import Seen, response_id_of
from tests.captures import PLAIN, args_of, extras_of, response_of

IDS: list[tuple[Any, str | None]] = [
    ({"id": "r-1"}, "r-1"),
    (SimpleNamespace(id="r-1"), "r-1"),
    ({"responseId": "r-1"}, "r-1"),
    (SimpleNamespace(response_id="r-1"), "r-1"),
    ({"ResponseMetadata": {"RequestId": "r-1"}}, "r-1"),
    ([{"choices": []}, {"id": "r-1"}], "r-1"),
    ([{"type": "message_start", "message": {"id": "r-1"}}], "r-1"),
    ([{"type": "response.created", "response": {"id": "r-1"}}], "r-1"),
    ({"id": ""}, None),
    ({"id": 5}, None),
    ("r-1", None),
    (None, None),
    ([], None),
    (5, None),
]


@pytest.mark.parametrize(("response", "expected"), IDS, ids=[str(response)[:40] for response, _ in IDS])
def test_where_the_id_of_an_answer_stands(response: Any, expected: str | None) -> None:
    """In bodies, objects and the first events of streams; nowhere else."""
    assert response_id_of(response) == expected


def test_extras_may_say_the_id() -> None:
    """Where a program keeps no whole answer; what the answer says goes first."""
    assert response_id_of(None, {"extras": {"response_id": "r-2"}}) == "r-2"
    assert response_id_of({"id": "r-1"}, {"extras": {"response_id": "r-2"}}) == "r-1"
    assert response_id_of("text", {"extras": "odd"}) is None


def taken(response_id: str = "r-1", provider: str | None = "openai", **options: Any) -> Any:
    """Return what a capture makes of one call."""
    return PLAIN.operation({"model": "m"}, "completion", provider, {"id": response_id}, 5.0, options)


def remembering(**options: Any) -> tuple[Seen, Any]:
    found, first = Seen(), taken(**options)
    found.note("r-1", "openai", first.line)
    return found, first


def decoded(line: bytes) -> Operation:
    record = codec.decode(line)
    assert isinstance(record, Operation)
    return record


def test_what_is_said_joins_what_was_seen() -> None:
    """Measured as it was seen, labelled as it is said; twice is as good as once."""
    found, first = remembering(
        extras={"callsite": "a:1", "n": 1}, labels={"team": "a"}, tags=["x"], session_id="s-1", api="chat"
    )
    later = {"extras": {"n": 2}, "labels": {"team": "b", "step": "c"}, "tags": ["y"], "user_id": "u-1", "api": "mine"}
    for _ in range(2):
        joined = found.joined("r-1", "openai", taken(**later))
    both = decoded(joined.line)
    assert (joined.id, joined.is_known, both.replaces) == (first.id, True, True)
    assert (both.labels, both.tags) == ({"team": "b", "step": "c"}, ("x", "y"))
    assert (both.session_id, both.user_id, both.api, both.latency_ms) == ("s-1", "u-1", "chat", 5.0)
    assert extras_of(both) == {"callsite": "a:1", "n": 2}
    assert (args_of(both), response_of(both)) == ({"model": "m"}, {"id": "r-1"})


@pytest.mark.parametrize(("response_id", "provider"), [("r-2", "openai"), (None, "openai"), ("r-1", "anthropic")])
def test_another_answer_is_another_operation(response_id: str | None, provider: str) -> None:
    """By its id, and by who gave it."""
    found, _ = remembering()
    mine = taken()
    assert found.joined(response_id, provider, mine) is mine


def test_a_provider_may_have_another_name_or_none() -> None:
    """One name is as good as another of the same provider."""
    found = Seen()
    found.note("r-1", "google", taken(provider="google").line)
    assert found.joined("r-1", "gemini", taken()).is_known
    assert found.joined("r-1", None, taken()).is_known


def test_what_was_seen_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that comes again after ten minutes is another's."""
    now = [1000.0]
    monkeypatch.setattr(seen.time, "monotonic", lambda: now[0])
    found, _ = remembering()
    now[0] += seen.MAX_AGE_S
    assert found.joined("r-1", "openai", taken()).is_known
    now[0] += 1
    assert not found.joined("r-1", "openai", taken()).is_known


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes first, and what is too large is never held."""
    line = taken().line
    monkeypatch.setattr(seen, "MAX_BYTES", len(line) * 3)
    found = Seen()
    assert not found
    for number in range(5):
        found.note(f"r-{number}", None, line)
    assert [found.joined(f"r-{number}", None, taken()).is_known for number in (0, 1)] == [False, False]
    assert found._bytes == sum(len(kept.line) for kept in found._kept.values()) <= len(line) * 3
    monkeypatch.setattr(seen, "MAX_ONE_BYTES", 10)
    found.note("large", None, line)
    assert not found.joined("large", None, taken()).is_known


def test_numbers_only_stay_numbers_only() -> None:
    """What was not captured of the call is not brought in by the record of it."""
    found = Seen()
    bare = msgspec.structs.replace(decoded(taken().line), completion_args=msgspec.UNSET, response=msgspec.UNSET)
    found.note("r-1", "openai", codec.encode(bare))
    both = decoded(found.joined("r-1", "openai", taken(labels={"a": "b"})).line)
    assert (both.completion_args, both.response, both.labels) == (msgspec.UNSET, msgspec.UNSET, {"a": "b"})
