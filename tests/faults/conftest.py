"""This module is where the fixtures of the fault tests are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aicore_obs import LlmOperationCollector
from tests.faults.places import Place

KINDS = ("sqlite", "json", "jsonl", "postgresql")


@pytest.fixture(autouse=True)
def state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Journals of this test, and of the programs that it starts, stay in its own folder."""
    state = tmp_path / "state"
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(state))
    monkeypatch.chdir(tmp_path)
    return state


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A new, empty store of each kind."""
    if request.param == "postgresql":
        return Place("postgresql", request.getfixturevalue("postgres_url"))
    return Place.file(request.param, tmp_path)


@pytest.fixture
def open_collector() -> Iterator[Callable[..., LlmOperationCollector]]:
    """Open collectors that are closed at the end, without waiting for sinks that are sick on purpose."""
    opened: list[LlmOperationCollector] = []

    def opens(*places: Any, **options: Any) -> LlmOperationCollector:
        opened.append(LlmOperationCollector(*places, **options))
        return opened[-1]

    yield opens
    for collector in opened:
        collector.close(timeout_s=0.1)
