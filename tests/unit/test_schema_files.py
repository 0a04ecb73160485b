"""This module is where the files in ``schema/`` are compared with the code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from aicore_obs.cli import schema_files

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command as CI does."""
    command = [sys.executable, "-m", "aicore_obs.cli.schema_files", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, check=False)


def test_schema_files_equal_the_code() -> None:
    """What is committed is what the code makes."""
    assert schema_files.differences(ROOT / "schema") == []


def test_check_names_the_file_that_differs(tmp_path: Path) -> None:
    """The check fails for a changed, a missing and a left-over file, and passes after writing."""
    assert run(tmp_path).returncode == 0
    assert run("--check", tmp_path).returncode == 0
    (tmp_path / "sqlite" / "v0001.sql").write_text("DROP TABLE x;")
    (tmp_path / "record.schema.json").unlink()
    (tmp_path / "sqlite" / "v9999.sql").touch()
    done = run("--check", tmp_path)
    assert done.returncode == 1
    for line in (
        "sqlite/v0001.sql: differs from the code",
        "record.schema.json: missing",
        "sqlite/v9999.sql: no longer made by the code",
    ):
        assert line in done.stdout
