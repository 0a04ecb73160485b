"""This module is where it is tested what a store may rely on when it looks into escaped text and escaped JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore_obs.model.escape import MARK, escape, escape_json_nul, unescape, unescape_json

# Any character; those that matter, and whole codes of ours, come often.
pieces = st.sampled_from(["\x00", MARK, MARK + "0", MARK + "1", MARK + "uD83D", "\\", "\\u0000", "\\ue000"])
texts = st.lists(pieces | st.text(max_size=5), max_size=6).map("".join)
anything = st.lists(pieces | st.text(st.characters(codec=None), max_size=5), max_size=6).map("".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
# JSON as others may have written it.
spellings: st.SearchStrategy[dict[str, Any]] = st.sampled_from([{}, {"ensure_ascii": False}, {"indent": 1}])


@given(anything, anything, st.booleans())
def test_different_texts_stay_different(one: str, other: str, nul: bool) -> None:
    """No two texts share an escaped form, so that a store may compare escaped texts."""
    assert (escape(one, nul=nul) == escape(other, nul=nul)) == (one == other)


@given(values, spellings)
def test_json_means_the_same_when_taken_back(value: Any, how: dict[str, Any]) -> None:
    """However it was spelled."""
    text = json.dumps(value, **how)
    assert json.loads(unescape_json(escape_json_nul(text, escaped=False))) == json.loads(text)


@given(values, spellings)
def test_texts_within_escaped_json_are_escaped_texts(value: Any, how: dict[str, Any]) -> None:
    """A text that a store takes out of the JSON, or a key, has no NUL and is taken back by itself."""
    inside = all_texts(json.loads(escape_json_nul(json.dumps(value, **how), escaped=False)))
    assert "\x00" not in "".join(inside)
    assert [unescape(one) for one in inside] == all_texts(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'"\u0000"', f'"{MARK}0"'),
        (r'"\\u0000"', r'"\\u0000"'),
        (r'"\\\u0000"', rf'"\\{MARK}0"'),
        (f'"{MARK}"', f'"{MARK}1"'),
        (r'"\uE000\ue0000"', f'"{MARK}1{MARK}10"'),
        (r'"\n\"\u0001"', r'"\n\"\u0001"'),
    ],
)
def test_escapes_of_json_are_read_as_units(text: str, expected: str) -> None:
    """A backslash that is text itself begins no NUL."""
    assert escape_json_nul(text, escaped=False) == expected


def all_texts(value: Any) -> list[str]:
    """Return every text and every key of plain data, in order."""
    if isinstance(value, dict):
        return [one for key, inner in value.items() for one in (key, *all_texts(inner))]
    if isinstance(value, list):
        return [one for inner in value for one in all_texts(inner)]
    return [value] if isinstance(value, str) else []
