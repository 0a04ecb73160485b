"""This module is where the shape of the tree is held: sizes, first lines, extras, public names, what an import loads.

The direction of imports is held by ``lint-imports``; its contracts are in ``pyproject.toml``.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import aicore_obs

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "aicore_obs"
PUBLIC_NAMES = ROOT / "tests" / "fixtures" / "public_names.txt"
MODULES = sorted(PACKAGE.rglob("*.py"))
OURS = [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))]
MAX_LINES = 400
HEAVY = ("polars", "sqlalchemy", "alembic", "asyncpg", "aiosqlite", "typer", "rich", "genai_prices", "altair")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return set(project["optional-dependencies"])


@pytest.mark.parametrize("path", OURS, ids=_name)
def test_a_file_holds_one_noun(path: Path) -> None:
    """No file is longer than 400 lines."""
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{_name(path)} has {lines} lines; look for the second noun in it"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    """The first line of every module's docstring says what is found there."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    noun = "package" if path.name == "__init__.py" else "module"
    assert docstring.startswith(f"This {noun} is where "), f"{_name(path)} begins with {docstring[:40]!r}"


def test_an_extra_that_an_error_names_can_be_installed() -> None:
    """Every ``aicore-obs[extra]`` that the package speaks of is an extra of the distribution."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in MODULES)
    named = set(re.findall(r"aicore-obs\[([a-z0-9_-]+)\]", text))
    assert named <= _extras()


def test_public_names_change_on_purpose() -> None:
    """``__all__`` is sorted and equals the snapshot."""
    assert list(aicore_obs.__all__) == sorted(aicore_obs.__all__)
    assert list(aicore_obs.__all__) == PUBLIC_NAMES.read_text(encoding="utf-8").split()


def test_every_public_name_is_there() -> None:
    """Each public name can be had from the package, lazy ones included."""
    assert [name for name in aicore_obs.__all__ if not hasattr(aicore_obs, name)] == []


@pytest.mark.parametrize("statement", ["import aicore_obs", "from aicore_obs import *"])
def test_import_is_light(statement: str) -> None:
    """No public name loads a package that only a store, the reader or the command needs."""
    program = f"import sys\n{statement}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []
