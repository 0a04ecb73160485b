"""This module is where `aicore-obs demo` is tested as its first user runs it: as a program, off line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from aicore_obs import LlmOperationCollector
from aicore_obs.cli import demo
from aicore_obs.cli.app import app


def test_the_demo_as_a_program(tmp_path: Path) -> None:
    """It ends well within its 15 seconds, shows the frame and the file, and every id is in it once."""
    command = [sys.executable, "-m", "aicore_obs.cli.app", "demo", "--dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    said = re.search(r"Each of the (\d+) ids that were handed out is there exactly once\.", done.stdout)
    assert said is not None
    assert f"The file: {tmp_path / 'demo.db'}" in done.stdout
    frame = LlmOperationCollector.polars_from_db(f"sqlite:///{tmp_path}/demo.db")
    assert frame.height >= int(said[1]) > demo.KILL_AFTER_IDS
    assert frame["operation_id"].is_unique().all()
    assert frame["status"].to_list().count("error") == 1
    assert {"openai", "anthropic", "mistral", "ollama"} <= set(frame["provider"])
    assert {"sync", "async", "child"} == set(frame["session_id"])


def test_the_demo_may_be_run_again_in_the_same_folder(tmp_path: Path) -> None:
    """What the first one recorded is still there."""
    folder = tmp_path / "with space & 100%"
    for _ in range(2):
        assert CliRunner().invoke(app, ["demo", "--dir", str(folder)]).exit_code == 0
    frame = LlmOperationCollector.polars_from_db("sqlite:///" + str(folder / "demo.db").replace("%", "%25"))
    assert frame["operation_id"].is_unique().all()
    assert frame["status"].to_list().count("error") == 2


def test_without_a_folder_it_makes_one_and_says_where() -> None:
    """The file is not deleted: a user looks at it next."""
    done = CliRunner().invoke(app, ["demo"])
    assert done.exit_code == 0
    said = re.search(r"The file: (.*)", done.stdout)
    assert said is not None
    database = Path(said[1])
    assert database.exists()
    database.unlink()
    database.parent.rmdir()


def test_a_record_that_is_missing_is_not_passed_over(tmp_path: Path) -> None:
    """Turned off, nothing is recorded, and the demonstration says that it failed."""
    done = CliRunner().invoke(app, ["demo", "--dir", str(tmp_path)], env={"AICORE_OBS_ENABLED": "0"})
    assert done.exit_code == 2
    assert "AICORE_OBS_ENABLED" in done.stderr
