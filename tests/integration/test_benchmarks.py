"""This module is where it is tested that the benchmarks run to their end; how fast anything is, no test says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers import watching
from benchmarks.peers.catalogue import PLAIN, Watcher
from benchmarks.turns import Stage

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


def test_what_watching_adds_is_beside_what_was_kept(tmp_path: Path) -> None:
    """Each watcher's calls are all found where it delivers to; one that does not start says why, and costs no other."""
    page = tmp_path / "RESULTS.md"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "observing", "--out", page]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    results = json.loads(page.with_name("results.json").read_bytes())
    assert {one["group"] for one in results["figures"]} == {"observing", "watching"}
    watched = {one["name"]: one for one in results["watched"]}
    ours = watched["this package"]
    assert ours["calls"] == ours["requests"] == ours["answers"] > 0
    # Which of the others this environment has is not ours to say.
    for one in watched.values():
        assert one["calls"] == one["requests"] == one["answers"]
        assert one["calls"] or one["note"] or one["version"] is None


def test_a_watcher_that_dies_in_the_middle_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended its process is its note, it has no figures, and the others have theirs."""
    dies = Watcher(name="dies", package="openai", program="tests.dying_watcher:Dies", how="", found=PLAIN.found)
    monkeypatch.setattr(watching, "WATCHERS", (dies,))
    stage, failed = Stage(quick=True), []
    try:
        figures, watched = watching.costs([sys.executable], stage, lambda _: None, failed)
    finally:
        stage.close()
    assert failed == []
    assert {one.case for one in figures} == {"this package"}
    assert [one.note for one in watched] == ["", "does not run: nothing is delivered to nobody"]
