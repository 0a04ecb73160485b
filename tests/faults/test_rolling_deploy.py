"""This module is where a program of the schema version before writes beside this one, and each inherits from the other.

The older program is taken out of the history of this repository: the last commit before the newest schema step.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from aicore_obs import LlmOperationCollector
from tests.faults.law import assert_nothing_lost
from tests.faults.places import Place, assert_exactly_once

ROOT = Path(__file__).parents[2]
COUNT = 50
ROUNDS = 4
PROGRAM = """
import json, sys
import aicore_obs
from aicore_obs import LlmOperationCollector
collector = LlmOperationCollector(**json.loads(sys.argv[1]))
answer = {"id": "r", "model": "gpt-4o-2024-08-06", "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
for word in map(str.strip, sys.stdin):
    if word == "record":
        asked = {"model": "gpt-4o"}
        print(*[collector.record_completion(asked, provider="openai", response=answer) for _ in range(50)])
    elif word == "flush":
        print(bool(collector.flush(30)))
    elif word == "where":
        print(aicore_obs.__file__)
    elif word == "read":
        print(collector.polars_from_db().height)
    elif word == "close":
        print(bool(collector.close(30)))
        break
    sys.stdout.flush()
"""


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as it was before the newest schema step."""
    steps = ROOT / "aicore_obs" / "stores" / "sql" / "migrations" / "versions"
    newest = max(steps.glob("v[0-9]*.py")).relative_to(ROOT)
    history = git("log", "--diff-filter=A", "--format=%H", "--", str(newest)).decode().split()
    package = git("archive", f"{history[0]}^", "aicore_obs") if history else b""
    if not package or newest.name.startswith("v0001"):
        pytest.skip("there is no history here (a shallow clone has none), or nothing before the first step")
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        archive.extractall(folder, filter="data")
    assert not (folder / newest).exists()
    return folder


def git(*arguments: str) -> bytes:
    """Return what git says, nothing where there is none."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False).stdout


class Running:
    """A program of one version that records when it is told to."""

    def __init__(self, package: Path, place: Place) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(place.arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=package,
        )

    def told(self, word: str) -> list[str]:
        """Give a command and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().split()

    def end(self) -> None:
        """Close in order."""
        assert self.told("close") == ["True"]
        self._over()

    def kill(self) -> None:
        """Die in the middle of anything."""
        self._process.kill()
        self._over()

    def _over(self) -> None:
        self._process.communicate(timeout=120)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "json"])
def test_two_versions_side_by_side(kind: str, older: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The older one starts, the newer one takes its step, both write, die and inherit; then one goes back and forth."""
    place = (
        Place("postgresql", request.getfixturevalue("postgres_url"))
        if kind == "postgresql"
        else Place.file(kind, tmp_path)
    )
    ids: list[str] = []
    old = Running(older, place)
    assert old.told("where") == [str(older / "aicore_obs" / "__init__.py")]
    ids += old.told("record")
    assert old.told("flush") == ["True"]
    new = Running(ROOT, place)
    for _ in range(ROUNDS):
        ids += new.told("record") + old.told("record")
        assert new.told("flush") == old.told("flush") == ["True"]
    if kind != "json":
        assert new.told("read") == old.told("read") == [str(len(ids))]
    ids += old.told("record")
    old.kill()
    ids += new.told("record")
    new.kill()
    # The newer one's step stays when the deployment is taken back.
    back = Running(older, place)
    ids += back.told("record")
    back.told("flush")
    back.end()
    with LlmOperationCollector(**place.arguments) as collector:
        assert collector.flush(30), collector.stats()
        assert_nothing_lost(collector.stats())
    assert len(ids) == (2 * ROUNDS + 4) * COUNT
    assert assert_exactly_once(place, ids, kills=2) == len(ids)
    assert place.missing_payloads() == 0
    assert place.journal_files() == []
