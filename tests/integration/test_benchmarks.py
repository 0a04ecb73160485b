"""This module is where it is tested that the benchmarks run to their end; how fast anything is, no test says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_benchmarks_end_with_a_table(tmp_path: Path) -> None:
    """One command runs what was asked for, prints a table, and writes a page with its raw numbers beside it."""
    page = tmp_path / "RESULTS.md"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--no-peers", "--only", "caller", "import", "--out", page]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    assert "What a record costs its caller" in done.stdout
    assert "sync, dict, tight loop" in page.read_text(encoding="utf-8")
    figures = json.loads(page.with_name("results.json").read_bytes())["figures"]
    assert {one["group"] for one in figures} == {"caller", "import"}
    assert all(value > 0 for one in figures for value in one["values"])
