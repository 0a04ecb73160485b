"""This module is where it is tested what `aicore-obs stats` says of all processes: tables, JSON, metrics, probes."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from aicore_obs import LlmOperationCollector
from aicore_obs.cli.app import app
from aicore_obs.pipeline.owners import SinkPosition, owner_folders
from aicore_obs.pipeline.role import DELIVERY, Role
from tests.left_behind import keep_aside, leave

SINK = "postgresql://db:5432/calls#aicore_obs"
_SAMPLE = re.compile(r'(aicore_obs_[a-z_]+)\{((?:[a-z]+="(?:[^"\\\n]|\\[\\n"])*",?)+)\} (\S+)')
_LABEL = re.compile(r'([a-z]+)="((?:[^"\\\n]|\\[\\n"])*)"')


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["stats", *arguments])


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Journals of this test stay in its own folder."""
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state"


def _metrics(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Parse the text format strictly: every line is HELP, TYPE or a sample of the metric that was announced last."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    name = ""
    assert text.endswith("\n")
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            kind = next(lines).removeprefix(f"# TYPE {name} ")
            assert kind == ("counter" if name.endswith("_total") else "gauge")
            assert name not in found
            found[name] = []
            continue
        sample = _SAMPLE.fullmatch(line)
        assert sample is not None, line
        assert sample[1] == name
        found[name].append((dict(_LABEL.findall(sample[2])), float(sample[3])))
    return found


def _owners(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [owner for journal in told["journals"] for owner in journal["owners"]]


def test_every_process_is_told_living_and_dead(state: Path) -> None:
    """With what waits, for how long, what became of the rest, and why a sink takes nothing."""
    living = leave(state / "feed", [SINK], range(5), alive=True, external=True, delivered={SINK: 2})
    positions = living.load_positions([SINK])
    positions[SINK].stored, positions[SINK].error = 2, "OSError: no route"
    living.save_positions(positions)
    leave(state / "beef", [SINK], range(3))
    try:
        done = _run("--all", "--json")
        table = _run("--all").stdout
    finally:
        living.release()
    told = json.loads(done.stdout)
    assert done.exit_code == 0
    assert told["stores"] == []
    assert told["oldest_pending_seconds"] > 0
    dead, alive = _owners(told)
    assert (alive["alive"], alive["writer"], dead["alive"], dead["writer"]) == (True, "external", False, "internal")
    assert (alive["pending"], alive["stored"], alive["last_error"]) == (
        {SINK: 3},
        {SINK: 2},
        {SINK: "OSError: no route"},
    )
    assert (dead["pending"], dead["stored"]) == ({SINK: 3}, {SINK: 0})
    assert [journal["drain_alive"] for journal in told["journals"]] == [None, False]
    assert all(0 < journal["bytes"] < journal["max_bytes"] for journal in told["journals"])
    assert "alive, appends only" in table
    assert "nobody delivers" in table
    assert "no route" in table


def test_a_drain_that_delivers_is_seen(state: Path) -> None:
    """By the lock that it holds."""
    living = leave(state / "feed", [SINK], range(2), alive=True, external=True)
    role = Role.take(DELIVERY, state / "feed", "0123456789abcdef")
    assert role is not None
    try:
        (journal,) = json.loads(_run("--all", "--json").stdout)["journals"]
        assert journal["drain_alive"] is True
        assert _metrics(_run("--all", "--prometheus").stdout)["aicore_obs_drain_alive"][0][1] == 1
    finally:
        role.release()
        living.release()


def test_metrics_have_names_units_and_numbers(state: Path) -> None:
    """Each is announced once, and its numbers are those of the journals."""
    left = leave(state / "feed", [SINK], range(7), delivered={SINK: 4})
    left.save_positions({SINK: SinkPosition(at=left.load_positions([SINK])[SINK].at, stored=3, dropped={'a\n"b\\': 1})})
    keep_aside(state / "feed", SINK, [99])
    done = _run("--all", "--prometheus")
    assert done.exit_code == 0
    found = _metrics(done.stdout)
    values = {name: [value for _, value in samples] for name, samples in found.items()}
    assert values["aicore_obs_pending_records"] == [3]
    assert values["aicore_obs_stored_records_total"] == [3]
    assert values["aicore_obs_dropped_records_total"] == [1]
    assert values["aicore_obs_dead_letters"] == [1]
    assert values["aicore_obs_processes"] == [0, 1]
    assert values["aicore_obs_journal_max_bytes"] > values["aicore_obs_journal_bytes"] > [100]
    assert values["aicore_obs_oldest_pending_seconds"] > [0]
    assert found["aicore_obs_dropped_records_total"][0][0]["reason"] == r"a\n\"b\\"
    assert found["aicore_obs_pending_records"][0][0] == {
        "journal": str(state / "feed"),
        "owner": left.path.name,
        "pid": str(os.getpid()),
        "sink": SINK,
    }


def test_metrics_of_nothing_are_announced() -> None:
    """A scrape of a quiet machine is valid, and opens no store."""
    found = _metrics(_run("--prometheus").stdout)
    assert "aicore_obs_journal_bytes" in found
    assert not any(found.values())
    assert not Path("aicore_obs.db").exists()


def test_a_probe_asks_for_an_age(state: Path) -> None:
    """1 when a record has waited for longer, 0 when none has; no store is opened for it."""
    assert _run("--all", "--max-age", "1").exit_code == 0
    leave(state / "feed", [SINK], range(1))
    assert _run("--all", "--max-age", "1").exit_code == 1
    assert json.loads(_run("--all", "--json", "--max-age", "1").stdout)["oldest_pending_seconds"] > 1
    # The ids of these records were made in 2023 or so.
    assert _run("--all", "--max-age", "1e12").exit_code == 0


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_the_file_mode_lets_a_drain_of_another_user_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders, locks, segments and positions are for the group too, whatever the umask."""
    monkeypatch.setenv("AICORE_OBS_FILE_MODE", "0660")
    before = os.umask(0o077)
    try:
        appends = LlmOperationCollector(db_url="sqlite:///some.db", writer="external")
        appends.record_completion({"model": "m"})
        with LlmOperationCollector(db_url="sqlite:///some.db") as ordinary:
            assert ordinary.flush()
            assert appends.flush(20)
            journal = Path("some.db.journal")
            modes = {
                path.relative_to(journal).parts[-1]: stat.S_IMODE(path.stat().st_mode)
                for folder in owner_folders(journal)
                for path in folder.iterdir()
            } | {path.name: stat.S_IMODE(path.stat().st_mode) for path in journal.iterdir() if path.is_file()}
            folders = [stat.S_IMODE(path.stat().st_mode) for path in (journal, *owner_folders(journal))]
        appends.close()
    finally:
        os.umask(before)
    assert {"lock", "positions.json", "0000000001.seg"} <= modes.keys()
    assert set(modes.values()) == {0o660}
    assert folders == [0o770] * 3


def test_doctor_finds_a_missing_drain(state: Path) -> None:
    """Living processes that only append, and nobody who delivers."""
    living = leave(
        Path("some.db.journal").absolute(),
        [f"sqlite:{Path('some.db').absolute()}"],
        range(2),
        alive=True,
        external=True,
    )
    try:
        found = json.loads(CliRunner().invoke(app, ["doctor", "some.db", "--json"]).stdout)
    finally:
        living.release()
    assert "no-drain" in [one["code"] for one in found]
