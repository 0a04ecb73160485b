"""This module is where the rules for labels of sessions are checked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicore_obs.observer import labels

GOOD_KEYS = st.from_regex(r"\A[a-z][a-z0-9_]{0,62}\Z").filter(lambda key: not key.startswith("aiobs_"))


@settings(max_examples=25)
@given(st.dictionaries(GOOD_KEYS, st.text(max_size=256).filter(lambda text: text.isprintable()), max_size=64))
def test_what_keeps_the_rules_is_kept(given_labels: dict[str, str]) -> None:
    """Labels within the rules come back equal, and as a dict of their own."""
    checked = labels.checked(given_labels)
    assert checked == given_labels
    assert checked is not given_labels


BAD: list[Any] = [
    {"": "x"},
    {"Team": "x"},
    {"1st": "x"},
    {"team\n": "x"},
    {"a" * 64: "x"},
    {"é": "x"},
    {"aiobs_team": "x"},
    {7: "x"},
    {"team": 7},
    {"team": None},
    {"team": "x" * 257},
    {"team": "\ud800"},
    {f"k{number}": "x" for number in range(65)},
    ["team"],
    "team",
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: repr(bad)[:30])
def test_what_breaks_a_rule_is_a_value_error(bad: Any) -> None:
    """Any bad label is a ValueError, one that is no text included."""
    with pytest.raises(ValueError, match="label"):
        labels.checked(bad)


@pytest.mark.parametrize("value", ["", "x" * 256, "é" * 256, "a b\n", "\0"])
def test_values_are_any_text_of_256_characters(value: str) -> None:
    """Characters count, not bytes."""
    assert labels.checked({"team": value}) == {"team": value}


def test_environment_gives_way_and_is_never_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables become labels in lower case; explicit ones win, bad ones and the system's are left out."""
    for name, value in {"TEAM": "ml", "SERVICE": "api", "AIOBS_OS": "none", "BAD-KEY": "x", "LONG": "x" * 257}.items():
        monkeypatch.setenv(f"AIOBS_LABEL_{name}", value)
    assert labels.with_environment({"team": "mine"}) == {"team": "mine", "service": "api"}


def test_environment_fills_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 64 labels in code, no variable makes it 65, and none raises."""
    monkeypatch.setenv("AIOBS_LABEL_TEAM", "ml")
    full = {f"k{number}": "x" for number in range(64)}
    assert labels.with_environment(full) == full


def test_system_labels() -> None:
    """The four labels of the document are there and are text."""
    found = labels.of_system()
    assert found.keys() == {"aiobs_sdk_version", "aiobs_python_version", "aiobs_hostname", "aiobs_os"}
    assert all(isinstance(value, str) for value in found.values())
