"""This module is where it is tested what the writer may import while the application imports and forks."""

from __future__ import annotations

import json
import os
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


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
# What the table of prices brings along; it is loaded at the first price, since it takes a third of a second.
OF_PRICES = """
import json, sys
import aicore_obs.costing
before = set(sys.modules)
import genai_prices
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""

RECORD = """
import os, sys, time
from aicore_obs import LlmOperationCollector

collector = LlmOperationCollector(storage_path="some.jsonl")
collector.record_completion({"model": "gpt-4o"}, provider="openai", response={"usage": {"prompt_tokens": 1}})
deadline = time.monotonic() + 30
while sys.argv[1] not in sys.modules and time.monotonic() < deadline:
    pass
"""
IMPORT = (
    RECORD
    + """
import pydantic, httpx2
class Model(pydantic.BaseModel):
    name: str
assert Model(name="x").name == "x" and httpx2.Client
assert collector.flush()
"""
)
FORK = (
    RECORD
    + """
import warnings
warnings.simplefilter("ignore")
child = os.fork()
if child == 0:
    import pydantic
    class Model(pydantic.BaseModel):
        name: str
    import genai_prices
    assert genai_prices.calc_price and Model(name="x").name == "x"
    collector.record_completion({"model": "gpt-4o"}, provider="openai", response={"usage": {"prompt_tokens": 1}})
    assert collector.flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert collector.flush()
"""
)
# Modules in the middle of whose import the application does something: early, late, and in between.
MOMENTS = (
    "genai_prices",
    "pydantic",
    "pydantic_core",
    "pydantic.main",
    "httpx2",
    "genai_prices.types",
    "genai_prices.data",
)


@pytest.mark.parametrize("kind", ["sqlite", "json", "postgresql"])
def test_nothing_foreign_but_prices_is_imported_in_the_background(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A first import of SQLAlchemy in two threads at once fails in one of them; ours must not be the other."""
    place = {
        "sqlite": lambda: {"db_url": f"sqlite:///{tmp_path}/some.db"},
        "json": lambda: {"storage_path": f"{tmp_path}/some.json"},
        "postgresql": lambda: {"db_url": request.getfixturevalue("postgres_url")},
    }[kind]()
    found = set(json.loads(run(PROGRAM, json.dumps(place), cwd=tmp_path)))
    assert found - {"aicore_obs"} <= set(json.loads(run(OF_PRICES, cwd=tmp_path)))


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("program", [IMPORT, pytest.param(FORK, marks=forks)], ids=["import", "fork"])
def test_the_application_imports_and_forks_while_prices_are_loaded(program: str, moment: str, tmp_path: Path) -> None:
    """What it imports works, in the parent and in a child that is forked in the middle of the load."""
    run(program, moment, cwd=tmp_path)


def run(program: str, *arguments: str, cwd: Path) -> str:
    """Run a program of its own and return what it printed; fails when it does."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=cwd,
        env={"AICORE_OBS_STATE_DIR": str(cwd / "state"), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
