"""This module is where a type checker is run over the calls that users will write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_public_calls_are_typed() -> None:
    """mypy, in strict mode, takes every call of ``api.py`` and refuses those that say that they are wrong."""
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "tests/typing/api.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=280)
    assert done.returncode == 0, done.stdout
