"""This module is where records are made after the road has ended: by other people's exit handlers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from aicore_obs import LlmOperationCollector

PROGRAM = """
import atexit
from aicore_obs import LlmOperationCollector

collector = LlmOperationCollector(db_url="sqlite:///some.db")
atexit.register(lambda: print(collector.record_completion({"model": "late"})))
print(collector.record_completion({"model": "early"}))
"""


def test_a_record_of_an_exit_handler_waits_for_the_next_start(tmp_path: Path) -> None:
    """Exit handlers run after the last drain: what they record is journaled, and delivered by whoever comes next."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=True
    )
    printed = done.stdout.split()
    assert len(printed) == 2
    with LlmOperationCollector(db_url=f"sqlite:///{tmp_path}/some.db") as collector:
        assert collector.flush()
        assert collector.polars_from_db()["operation_id"].to_list() == printed
