"""This module is where escapes are checked: whatever the text, they can be taken back, and JSON stays JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aicore_obs.model.escape import MARK, escape, escape_json_nul, unescape, unescape_json

# Any code point: NUL, lone surrogates and the mark itself included, and often.
TEXT = st.text(st.sampled_from('\x00\ue000\ud800\udfff01uD8\\"') | st.characters(exclude_categories=()))
WITHOUT_SURROGATES = st.text(st.sampled_from('\x00\ue00001uD8\\"') | st.characters())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | WITHOUT_SURROGATES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WITHOUT_SURROGATES, inner, max_size=3),
    max_leaves=10,
)


@given(TEXT)
@example("\ue0000")
@example("\ue000uD800")
@example("\ud83d\ude00")
def test_escapes_are_taken_back(text: str) -> None:
    """unescape(escape(x)) is x, and what is escaped can be encoded."""
    for nul in (False, True):
        kept = escape(text, nul=nul)
        assert unescape(kept) == text
        kept.encode()
        assert not nul or "\x00" not in kept


@given(st.text(st.characters(exclude_characters="\x00\ue000", exclude_categories=("Cs",))))
def test_text_without_need_stays(text: str) -> None:
    """Most text is kept as it is."""
    assert escape(text, nul=True) == text


def test_codes() -> None:
    """The codes are what the module's table says; they are stored and must not change."""
    assert escape("a\x00b", nul=True) == "a\ue0000b"
    assert escape("\ue000") == "\ue0001"
    assert escape("\ud83d") == "\ue000uD83D"
    assert escape("a\x00b") == "a\x00b"


@given(JSON)
@example({"\x00": "\ue0000"})
@example("\\u0000")
@example("\\\x00")
def test_json_without_nul(value: Any) -> None:
    """JSON text loses its NUL characters, stays JSON, and comes back."""
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        kept = escape_json_nul(text, escaped=False)
        assert "\x00" not in json.dumps(json.loads(kept), ensure_ascii=False)
        assert "\\u0000" not in kept.replace("\\\\", "")
        assert json.loads(unescape_json(kept)) == value


@given(TEXT)
def test_json_of_escaped_text(text: str) -> None:
    """Text that was escaped for its surrogates may be escaped again for its NULs; one undoing undoes both."""
    written = json.dumps({"k": escape(text)}, ensure_ascii=False)
    kept = escape_json_nul(written, escaped=True)
    kept.encode()
    assert json.loads(unescape_json(kept)) == {"k": text}
    assert json.loads(unescape_json(written)) == {"k": text}


@pytest.mark.parametrize("text", [MARK, MARK + "x", MARK + "u12", MARK + "uZZZZ", MARK + "2", "end" + MARK])
def test_what_is_no_code_stays(text: str) -> None:
    """A mark without a code behind it was not made by us, and is left alone."""
    assert unescape(text) == text
    assert unescape_json(text) == text
