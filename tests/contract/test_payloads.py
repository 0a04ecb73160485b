"""This module is where it is checked that what a caller gave comes back unchanged from every store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aicore_obs.protocols import Address
from tests import records


@pytest.fixture(params=records.KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """The address of a store that does not exist yet, one of each kind."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    return records.address(request.param, tmp_path, url)


def nested(depth: int) -> Any:
    """Return a value that many levels deep."""
    value: Any = "ground"
    for level in range(depth):
        value = {"down": value} if level % 2 else [value]
    return value


VALUES: dict[str, Callable[[], Any]] = {
    "NUL": lambda: "a\x00b\x00",
    "NUL as a key": lambda: {"\x00": {"k\x00": 1}},
    "what looks like an escaped NUL": lambda: ["\\u0000", "\\", "\\\\u0000", "\\\x00u0000"],
    "lone surrogates": lambda: ["\ud800", "x\udfffy", "\udc00\ud800"],
    "a surrogate as a key": lambda: {"k\ud83d": "v"},
    "surrogates and NUL": lambda: ["\ud800\x00", "\x00\udfff"],
    "emoji": lambda: {"👩‍👩‍👧": "😀 family"},
    "the escape character": lambda: ["\ue000", "\ue0000", "\ue000uD800", {"\ue0001": "\ue000\ue000"}],
    "the escape character and NUL": lambda: ["\ue0000\x00", "\ue000uD800\x00", {"\ue0001\x00": "\ue000"}],
    "the escape character and surrogates": lambda: ["\ue000\ud800", "\ue000uD800", "\ue0001\udfff"],
    "all three": lambda: "\x00\ue000\ud800\ue0000\ue0001\\u0000",
    "line ends": lambda: "a\nb\r\nc\u2028d\u2029e\x85f\x0b\x0c",
    "controls": lambda: "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "every plane": lambda: "\ufffd\uffff\ufffe\U0001fffe\U0010ffff",
    "quotes": lambda: "\"'`\\\"\\'[]{},:",
    "10 MB": lambda: {"messages": [{"role": "user", "content": "prompt ✓ " * 1_000_000}]},
    "deep": lambda: nested(60),
    "deeper": lambda: nested(200),
    "numbers": lambda: [0, -1, 2**63 - 1, -(2**63), 10**40, 0.1, -0.0, 1e-300, 5e-324, 1e16],
    "empty": lambda: [{}, [], "", None, True, False],
    "a null": lambda: {"response": None},
    "text": lambda: "just text",
    "a list": lambda: [1, "two", None],
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_request_and_response_come_back(place: Address, value: Callable[[], Any]) -> None:
    """After json.loads, arguments and response are equal to what was given, and the neighbours are unharmed."""
    given = value()
    batch = [records.captured({"n": 1}), records.captured({"given": given}, given), records.captured({"n": 2})]
    records.write(place, batch)

    first, (arguments, response), last = records.read(place, "completion_args", "response")
    assert json.loads(arguments) == {"given": given}
    assert json.loads(response) == given
    assert [json.loads(first[0]), json.loads(last[0])] == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_sqlite_and_files_keep_the_very_bytes(tmp_path: Path, value: Callable[[], Any]) -> None:
    """What needs no escape is kept as the caller's thread wrote it, byte by byte."""
    one = records.captured({"given": value()})
    for kind in ("json", "jsonl", "sqlite"):
        place = records.address(kind, tmp_path)
        records.write(place, [one])
        [(arguments,)] = records.read(place, "completion_args")
        if not one.escaped:
            assert arguments.encode() == bytes(one.completion_args)  # type: ignore[arg-type]
        assert json.loads(arguments) == {"given": value()}


ODD_TEXTS = ["a\x00b", "\ud800", "\ue000", "\ue000u0041\x00", "é😀", "", " ", "'; DROP TABLE x; --", "%_\\"]


@pytest.mark.parametrize("text", ODD_TEXTS, ids=ascii)
def test_names_of_any_text_come_back(place: Address, text: str) -> None:
    """Ids, labels, tags and extras hold any text; a lone surrogate stands there by its name."""
    shown = text.encode("utf-8", "backslashreplace").decode()
    one = records.captured({}, session_id=text, tags=[text], labels={"k" + text: text}, error=f"failed: {text}")
    records.write(place, [one])

    [(session_id, tags, labels, message)] = records.read(place, "session_id", "tags", "labels", "error_message")
    assert (session_id, tags, labels, message) == (shown, [shown], {"k" + shown: shown}, f"failed: {shown}")
    assert len(records.read(place, session_id=text, tags=[text], labels={"k" + text: text})) == 1


@pytest.mark.parametrize("text", ODD_TEXTS, ids=ascii)
def test_extras_of_any_text_come_back(place: Address, text: str) -> None:
    """Extras come back as they were given, beside a prompt that needs escapes too; surrogates stand by their names."""
    shown = text.encode("utf-8", "backslashreplace").decode()
    for prompt in ("plain", "\ud800"):
        extras = {"k" + text: text, "n": {"deep": [text]}}
        records.write(place, [records.captured({"prompt": prompt}, extras=extras)])
    for (found,) in records.read(place, "extras"):
        assert found["k" + shown] == shown
        assert json.loads(found["n"]) == {"deep": [shown]}
