"""This module is where tests get a tracer of the oplog door on each kind of store, and words that are hard to keep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aicore_obs.oplog import Tracer

KINDS = ("sqlite", "postgresql", "jsonl", "json")
ODD = (
    *(
        "a_b",
        "axb",
        "a%b",
        "%",
        "_",
        '"',
        "'",
        "é",
        "e\u0301",
        "😀",
        " a",
        "a ",
        "a b",
        "a,b",
        "\\",
        "$1",
        "%(x)s",
        ":x",
    ),
    *("'; DROP TABLE aicore_obs_operations; --", '" OR ""="', "a\x00b", "line\nbreak", "\ue000", "{}", "null"),
)


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every kind of store, in turn."""
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/traces.db" if request.param == "sqlite" else f"{tmp_path}/traces.{request.param}"


@pytest.fixture
def tracer(backend: str) -> Iterator[Tracer]:
    """A tracer on every kind of store, in turn."""
    with Tracer("shop", backend) as made:
        yield made


@pytest.fixture
def sqlite_tracer(tmp_path: Path) -> Iterator[Tracer]:
    """A tracer on a SQLite file."""
    with Tracer("shop", f"sqlite:///{tmp_path}/traces.db") as made:
        yield made
