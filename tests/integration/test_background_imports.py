"""This module is where it is tested that the writer imports no package of others while the application may."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
from aicore_obs import LlmOperationCollector

collector = LlmOperationCollector(**json.loads(sys.argv[1]))
before = set(sys.modules)
collector.record_completion({"model": "m"}, provider="openai", response={"usage": {"prompt_tokens": 1}})
assert collector.flush(), collector.stats()
collector.close()
packages = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(packages - set(sys.stdlib_module_names))))
"""


@pytest.mark.parametrize("kind", ["sqlite", "json", "postgresql"])
def test_nothing_foreign_is_imported_in_the_background(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A first import of SQLAlchemy in two threads at once fails in one of them; ours must not be the other."""
    place = {
        "sqlite": lambda: {"db_url": f"sqlite:///{tmp_path}/some.db"},
        "json": lambda: {"storage_path": f"{tmp_path}/some.json"},
        "postgresql": lambda: {"db_url": request.getfixturevalue("postgres_url")},
    }[kind]()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(place)],
        cwd=tmp_path,
        env={"AICORE_OBS_STATE_DIR": str(tmp_path / "state"), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) <= {"aicore_obs"}
