"""This module is where training data of the oplog door is tested: conversations, splits, secrets, manifests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aicore_obs.oplog import Record, Tracer, export
from aicore_obs.oplog.chat import Talk
from aicore_obs.oplog.fields import as_json
from tests.integration.test_oplog_export import record
from tests.oplog_stores import backend, sqlite_tracer, tracer

__all__ = ["backend", "sqlite_tracer", "tracer"]
USER = {"role": "user", "content": "hi"}
SYSTEM = {"role": "system", "content": "be kind"}
BLUE = {"role": "assistant", "content": "Blue."}
CALL = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
TOOL = {"type": "function", "function": {"name": "f"}}
OPENAI = {"choices": [{"index": 0, "message": {**BLUE, "refusal": None, "annotations": []}, "finish_reason": "stop"}]}
ANTHROPIC = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": "Blue."}],
    "stop_reason": "end_turn",
}
GOOGLE = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Blue."}]}, "finishReason": "STOP"}]}

# what was asked and answered, by whom → the messages of the example
EXAMPLES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "openai": ({"inputs": {"messages": [SYSTEM, USER], "temperature": 0}, "outputs": OPENAI}, [SYSTEM, USER, BLUE]),
    "parts": (
        {"inputs": {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}, "outputs": OPENAI},
        [USER, BLUE],
    ),
    "tool call": (
        {
            "inputs": {"messages": [USER], "tools": [TOOL]},
            "outputs": {"choices": [{"message": {"role": "assistant", "content": None, "tool_calls": CALL}}]},
        },
        [USER, {"role": "assistant", "tool_calls": CALL}],
    ),
    "anthropic": (
        {"provider": "anthropic", "inputs": {"system": "be kind", "messages": [USER]}, "outputs": ANTHROPIC},
        [SYSTEM, USER, BLUE],
    ),
    "google": (
        {
            "provider": "google",
            "inputs": {
                "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
                "systemInstruction": {"parts": [{"text": "be kind"}]},
            },
            "outputs": GOOGLE,
        },
        [SYSTEM, USER, BLUE],
    ),
    "responses": (
        {"inputs": {"input": "hi", "instructions": "be kind"}, "outputs": {"text": "Blue."}},
        [SYSTEM, USER, BLUE],
    ),
    "one value": ({"inputs": {"text": "hi"}, "outputs": {"label": "Blue."}}, [USER, BLUE]),
    "several values": (
        {"inputs": {"query": "hi", "k": 10}, "outputs": {"score": 1, "label": "é"}},
        [
            {"role": "user", "content": '{"k":10,"query":"hi"}'},
            {"role": "assistant", "content": '{"label":"é","score":1}'},
        ],
    ),
}
NO_EXAMPLES: dict[str, dict[str, Any]] = {
    "failed": {"inputs": {"text": "hi"}, "outputs": {"a": "b"}, "status": "error"},
    "cut_off": {"inputs": {"text": "hi"}, "outputs": {"a": "b"}, "finish_reason": "length"},
    "no_prompt": {"inputs": {"temperature": 1}, "outputs": {"a": "b"}},
    "no_answer": {"inputs": {"text": "hi"}},
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_was_asked_and_answered_is_a_conversation(name: str) -> None:
    """Providers' requests and answers by their own shape, one value as it is, several as JSON with their names."""
    given, messages = EXAMPLES[name]
    example = Talk().example(record(**given))
    assert isinstance(example, dict)
    assert example["messages"] == messages
    assert example.get("tools") == ([TOOL] if name == "tool call" else None)


@pytest.mark.parametrize("reason", NO_EXAMPLES)
def test_what_is_no_example_says_why(reason: str, tmp_path: Path) -> None:
    """It is counted and not written."""
    assert Talk().example(record(**NO_EXAMPLES[reason])) == reason
    manifest = export.to_chat_jsonl([record(**NO_EXAMPLES[reason])], tmp_path / "c.jsonl")
    assert manifest.counts == {"read": 1, "written": 0, reason: 1}


def test_prompt_answer_and_system_may_be_named() -> None:
    """By dotted paths; a system message of its own stays."""
    talk = Talk(system="be brief", prompt="inputs.query", answer="outputs.ranked.0")
    given = record(inputs={"query": "hi", "k": 3}, outputs={"ranked": ["Blue."]})
    assert talk.example(given) == {"messages": [{"role": "system", "content": "be brief"}, USER, BLUE]}
    assert Talk(system="be brief").example(record(inputs={"messages": [SYSTEM, USER]}, outputs=OPENAI)) == {
        "messages": [SYSTEM, USER, BLUE]
    }
    assert talk.example(record(inputs={"q": "hi"}, outputs={})) == "no_prompt"
    assert talk.example(record(inputs={"query": "hi"}, outputs={"ranked": []})) == "no_answer"


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _questions(count: int) -> list[Record]:
    return [record(number, inputs={"text": f"q{number}"}, outputs={"text": f"a{number}"}) for number in range(count)]


def test_equal_examples_are_written_once(tmp_path: Path) -> None:
    """Unless that is not wanted; the first stays."""
    twice = [*_questions(3), *_questions(4)]
    assert export.to_chat_jsonl(twice, tmp_path / "c.jsonl").counts == {"duplicates": 3, "read": 7, "written": 4}
    assert export.to_chat_jsonl(twice, tmp_path / "c.jsonl", deduplicate=False).counts == {"read": 7, "written": 7}


def test_splits_are_stable(tmp_path: Path) -> None:
    """A question stays in its split when others come or the order turns, and is never in two."""
    shares = {"train": 0.8, "valid": 0.1, "test": 0.1}
    few = export.to_chat_jsonl(_questions(200), tmp_path / "few.jsonl", split=shares)
    many = export.to_chat_jsonl(_questions(400)[::-1], tmp_path / "many.jsonl", split=shares)
    assert [one.name for one in few.files] == ["few.train.jsonl", "few.valid.jsonl", "few.test.jsonl"]
    assert sum(one.rows for one in many.files) == 400
    assert 130 < few.files[0].rows < 180
    for name in shares:
        first = {as_json(line) for line in _lines(tmp_path / f"few.{name}.jsonl")}
        assert first <= {as_json(line) for line in _lines(tmp_path / f"many.{name}.jsonl")}
    warm = [
        record(number, inputs={"messages": [USER], "temperature": number}, outputs={"a": 1}) for number in range(20)
    ]
    manifest = export.to_chat_jsonl(warm, tmp_path / "w.jsonl", split={"a": 0.5, "b": 0.5}, deduplicate=False)
    assert {one.rows for one in manifest.files} == {0, 20}
    by_run = [record(number, run_id=f"r{number % 10}", inputs={"n": number}, outputs={"a": 1}) for number in range(100)]
    manifest = export.to_chat_jsonl(by_run, tmp_path / "runs.jsonl", split={"a": 0.5, "b": 0.5}, split_by="run_id")
    assert {one.rows % 10 for one in manifest.files} == {0}


@pytest.mark.parametrize("wrong", [{}, {"a": 0.5}, {"a/b": 1}, {"a": -1, "b": 2}, {"a": "x"}, "train", {"": 1}])
def test_shares_that_cannot_be_are_refused(tmp_path: Path, wrong: Any) -> None:
    """Before a file is made."""
    with pytest.raises(ValueError, match="shares that add up to 1"):
        export.to_chat_jsonl(_questions(1), tmp_path / "c.jsonl", split=wrong)
    assert list(tmp_path.iterdir()) == []


def test_secrets_are_masked_dropped_or_kept(tmp_path: Path) -> None:
    """In what people said and what models wrote; what is masked is counted."""
    key = "sk-" + "a1" * 20
    given = [record(inputs={"text": f"my key is {key}"}, outputs={"a": "do not say that"}), *_questions(1)]
    masked = export.to_chat_jsonl(given, tmp_path / "m.jsonl")
    assert masked.counts == {"read": 2, "secrets_masked": 1, "written": 2}
    assert key not in (tmp_path / "m.jsonl").read_text(encoding="utf-8")
    dropped = export.to_chat_jsonl(given, tmp_path / "d.jsonl", secrets="drop")
    assert dropped.counts == {"read": 2, "secrets_dropped": 1, "written": 1}
    export.to_chat_jsonl(given, tmp_path / "k.jsonl", secrets="keep")
    assert key in (tmp_path / "k.jsonl").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="mask, drop, keep"):
        export.to_chat_jsonl(given, tmp_path / "x.jsonl", secrets="eat")  # type: ignore[arg-type]


def test_a_redaction_of_one_s_own(tmp_path: Path) -> None:
    """It gets each row, changes it or leaves it out; what it raises is the caller's."""

    def redact(row: dict[str, Any]) -> dict[str, Any] | None:
        text = row["messages"][0]["content"]
        return None if text == "q0" else {"messages": [{"role": "user", "content": text.upper()}, row["messages"][-1]]}

    manifest = export.to_chat_jsonl(_questions(2), tmp_path / "c.jsonl", redact=redact)
    assert (manifest.counts, manifest.options["redact"]) == (
        {"read": 2, "redacted": 1, "written": 1},
        "test_a_redaction_of_one_s_own.<locals>.redact",
    )
    assert _lines(tmp_path / "c.jsonl")[0]["messages"][0]["content"] == "Q1"
    with pytest.raises(ZeroDivisionError):
        export.to_chat_jsonl(_questions(2), tmp_path / "c.jsonl", redact=lambda _row: 1 // 0)  # type: ignore[arg-type,return-value]
    with pytest.raises(ValueError, match="no option 'shuffle'"):
        export.to_chat_jsonl(_questions(2), tmp_path / "c.jsonl", shuffle=True)  # type: ignore[call-arg]


def test_the_same_store_gives_the_same_bytes(tracer: Tracer, tmp_path: Path) -> None:
    """Whatever the store and however often; the manifest says what was asked and what came of it."""
    for number in range(20):
        saved = tracer.op("qa").input(text=f"q{number % 15}").output(b=number % 15, a=[1.5, None]).tags("x").save()
    tracer.db.flag(tracer.db.query("qa"), reason="training")
    tracer.op("other").input(text="no").output(a=1).save()
    assert saved
    made = []
    for name in ("one", "two"):
        records = tracer.db.stream("qa", flagged_for="training", tags=["x"])
        manifest = export.to_chat_jsonl(records, tmp_path / name / "c.jsonl", split={"train": 0.5, "test": 0.5})
        export.to_parquet(tracer.db.stream("qa"), tmp_path / name / "c.parquet", chat=True)
        made.append(
            [path.read_bytes() for path in sorted((tmp_path / name).iterdir()) if not path.name.endswith(".json")]
        )
    assert made[0] == made[1]
    assert manifest.counts == {"duplicates": 5, "read": 20, "written": 15}
    assert manifest.filters == {
        "operation_type": "qa",
        "flagged_for": "training",
        "tags": ["x"],
        "project": "shop",
        "order": "desc",
    }
    # The same from every kind of store.
    assert [one.sha256[:8] for one in manifest.files] == ["55be19f9", "23e5f6f4"]
