"""This module is where `aicore-obs drain` is tested: what dead processes left arrives once, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from aicore_obs import LlmOperationCollector
from aicore_obs.cli.app import app
from aicore_obs.pipeline.dead_letters import DeadLetters
from tests.left_behind import ids, leave, leave_newer
from tests.postgres import PostgresServer

DEADLINE_S = 90


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def _stored(place: str | Path) -> list[str]:
    if str(place).endswith((".json", ".jsonl")):
        return LlmOperationCollector.polars_from_file(place)["operation_id"].to_list()
    url = str(place) if "://" in str(place) else f"sqlite:///{place}"
    return LlmOperationCollector.polars_from_db(url)["operation_id"].to_list()


def _lines(path: Path) -> Counter[str]:
    """Count ids in the file itself: the reader shows an id once."""
    return Counter(line.split('"id":"')[1][:36] for line in path.read_text().splitlines() if '"id":"' in line)


def test_what_was_left_beside_a_file_store_arrives(tmp_path: Path) -> None:
    """Of several dead processes and projects; the journal's directory is gone afterwards."""
    database = tmp_path / "some.db"
    journal, sink = tmp_path / "some.db.journal", f"sqlite:{database}"
    leave(journal, [sink], range(10))
    leave(journal, [sink], range(10, 25), fingerprint="another project.")
    done = _run("drain", "some.db")
    assert done.exit_code == 0, done.output
    assert _stored(database) == ids(range(25))
    assert not journal.exists()
    assert _run("drain", "some.db").stdout == "Nothing was left by dead processes.\n"


def test_records_go_to_every_sink_that_they_were_accepted_for(tmp_path: Path) -> None:
    """One that had some of them already gets the rest; files are found by their names."""
    database, file = tmp_path / "some.db", tmp_path / "some.json"
    names = [f"json:{file}", f"sqlite:{database}"]
    leave(tmp_path / "some.json.journal", names, range(10), delivered={names[0]: 4})
    assert _run("drain", "some.json").exit_code == 0
    assert _stored(file) == ids(range(4, 10))
    assert _stored(database) == ids(range(10))


def test_records_wait_for_the_processors_of_their_application(tmp_path: Path) -> None:
    """A step that masks or drops must not be gone round in silence; --unprocessed says that it may."""
    database = tmp_path / "some.db"
    leave(tmp_path / "some.db.journal", [f"sqlite:{database}"], range(3), processors=["mask_names"])
    held = _run("drain", "some.db")
    assert held.exit_code == 1
    assert "mask_names" in held.stderr
    assert not database.exists()
    assert _run("drain", "some.db", "--unprocessed").exit_code == 0
    assert _stored(database) == ids(range(3))


def test_what_was_left_for_a_database_arrives(
    tmp_path: Path, postgres_url: str, postgres_server: PostgresServer
) -> None:
    """Its journal is found in the state directory, whatever the project."""
    name = postgres_url.rsplit("/", 1)[1]
    sink = f"postgresql://127.0.0.1:{postgres_server.port}/{name}#aicore_obs"
    leave(tmp_path / "state" / "feed", [sink], range(10))
    leave(tmp_path / "state" / "beef", ["postgresql://other:5432/x#aicore_obs"], range(5))
    assert _run("drain", postgres_url).exit_code == 0
    assert _stored(postgres_url) == ids(range(10))
    assert (tmp_path / "state" / "beef").exists()


def test_a_sink_that_nobody_can_reach_by_name_is_asked_for(tmp_path: Path) -> None:
    """Names hold no credentials; nothing is delivered half."""
    names = [f"sqlite:{tmp_path}/some.db", "postgresql://db:5432/x#aicore_obs"]
    leave(tmp_path / "some.db.journal", names, range(3))
    done = _run("drain", "some.db")
    assert done.exit_code == 1
    assert "give the URL of postgresql://db:5432/x#aicore_obs too" in done.stderr
    assert not (tmp_path / "some.db").exists()


def test_a_database_that_is_down_keeps_its_records(tmp_path: Path) -> None:
    """The exit code says that they remain; they wait where they were."""
    url = "postgresql://me:s3cret@127.0.0.1:1/x"
    leave(tmp_path / "state" / "feed", ["postgresql://127.0.0.1:1/x#aicore_obs"], range(3))
    done = _run("drain", url, "--timeout", "0.5")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[1].split()[1:4] == ["0", "3", "0"]
    assert "s3cret" not in done.output
    assert len(list((tmp_path / "state" / "feed").rglob("*.seg"))) == 1


def test_a_newer_version_is_left_alone_and_named(tmp_path: Path) -> None:
    """What this program does not know it does not touch."""
    sink = f"sqlite:{tmp_path}/some.db"
    leave(tmp_path / "some.db.journal", [sink], range(3))
    newer = leave_newer(tmp_path / "some.db.journal", [sink])
    done = _run("drain", "some.db", "--timeout", "1")
    assert done.exit_code == 1
    assert f"{newer.path}: written by a newer version" in done.stderr
    assert newer.segment(1).exists()
    assert _stored(tmp_path / "some.db") == ids(range(3))


def test_what_a_living_process_holds_is_its_own(tmp_path: Path) -> None:
    """Its lock is held, and nothing of it is delivered."""
    living = leave(tmp_path / "some.db.journal", [f"sqlite:{tmp_path}/some.db"], range(3), alive=True)
    try:
        assert _run("drain", "some.db").stdout == "Nothing was left by dead processes.\n"
        assert living.segments() == [1]
    finally:
        living.release()


def test_a_record_that_is_rejected_remains_as_a_dead_letter(tmp_path: Path) -> None:
    """A damaged piece of the journal is kept aside, and the exit code says so."""
    owner = leave(tmp_path / "some.db.journal", [f"sqlite:{tmp_path}/some.db"], range(3))
    data = owner.segment(1).read_bytes()
    owner.segment(1).write_bytes(data[:-20] + b"x" + data[-19:])
    assert _run("drain", "some.db").exit_code == 1
    assert _stored(tmp_path / "some.db") == ids(range(2))
    assert len(DeadLetters(tmp_path / "some.db.journal").all()) == 1


def test_orphans_are_rescued_into_another_store(tmp_path: Path) -> None:
    """Of whatever fingerprint, from where the slowest of their sinks had got to."""
    journal = tmp_path / "old.journal"
    leave(
        journal,
        ["postgresql://gone:5432/x#aicore_obs"],
        range(10),
        delivered={"postgresql://gone:5432/x#aicore_obs": 4},
    )
    leave(
        journal,
        ["json:/gone.json", "sqlite:/gone.db"],
        range(10, 20),
        fingerprint="b",
        delivered={"json:/gone.json": 9},
    )
    done = _run("drain", "--from", journal, "--to", f"sqlite:///{tmp_path}/new.db", "--yes")
    assert done.exit_code == 0, done.output
    assert _stored(tmp_path / "new.db") == ids(range(4, 20))
    assert not journal.exists()


def test_a_rescue_elsewhere_is_asked_about(tmp_path: Path) -> None:
    """Without a yes nothing moves."""
    journal = tmp_path / "old.journal"
    owner = leave(journal, ["sqlite:/gone.db"], range(3))
    done = CliRunner().invoke(app, ["drain", "--from", str(journal), "--to", "new.db"], input="n\n")
    assert done.exit_code == 1
    assert "accepted for sqlite:/gone.db" in done.stderr
    assert owner.segments() == [1]
    assert not (tmp_path / "new.db").exists()


def test_a_rescue_into_postgres(tmp_path: Path, postgres_url: str) -> None:
    """Records of a file store go to a server."""
    leave(tmp_path / "old.journal", ["sqlite:/gone.db"], range(30))
    assert _run("drain", "--from", tmp_path / "old.journal", "--to", postgres_url, "-y").exit_code == 0
    assert _stored(postgres_url) == ids(range(30))


def test_a_rescue_that_stops_half_way_loses_no_position(tmp_path: Path) -> None:
    """The old sink's own process goes on where it was, and its file has every record once."""
    file = tmp_path / "some.jsonl"
    sink = f"jsonl:{file}"
    journal = tmp_path / "some.jsonl.journal"
    with LlmOperationCollector(file) as collector:
        fingerprint = collector._road._options.writer.fingerprint
    first = leave(journal, [sink], range(5), fingerprint=fingerprint)
    assert _run("drain", "some.jsonl").exit_code == 0
    assert not first.path.exists()
    leave(journal, [sink], range(10), fingerprint=fingerprint, delivered={sink: 5})

    url = "postgresql://me:s3cret@127.0.0.1:1/x"
    assert _run("drain", "--from", journal, "--to", url, "--yes", "--timeout", "0.5").exit_code == 1
    with LlmOperationCollector(file) as collector:
        assert collector.flush()
    assert _lines(file) == Counter(ids(range(10)))


def test_from_and_to_go_together(tmp_path: Path) -> None:
    """One without the other is refused."""
    assert _run("drain", "--from", tmp_path).exit_code == 2
    assert _run("drain", "--to", "new.db").exit_code == 2
    assert _run("drain", "--from", tmp_path / "missing", "--to", "new.db").exit_code == 2


def test_records_of_a_killed_process_arrive(tmp_path: Path) -> None:
    """Every id that a killed process had been given is stored once by a drain in a process of its own."""
    database = tmp_path / "some.db"
    child = subprocess.Popen(
        [sys.executable, "-m", "aicore_obs.cli.demo_child", f"sqlite:///{database}"], stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        said = list(islice(child.stdout, 200))
        child.kill()
        said += list(child.stdout)
    given = [line.strip() for line in said if line.endswith("\n")]
    done = subprocess.run([sys.executable, "-m", "aicore_obs.cli.app", "drain", str(database)], timeout=DEADLINE_S)
    assert done.returncode == 0
    stored = Counter(_stored(database))
    assert all(stored[one] == 1 for one in given)


@pytest.mark.skipif(os.name != "posix", reason="kills by a signal")
@pytest.mark.parametrize("name", ["some.json", "some.db"])
def test_a_drain_that_is_killed_is_run_again(tmp_path: Path, name: str) -> None:
    """Killed after its first batch, and nothing is stored twice."""
    kind, path = ("json", tmp_path / name) if name.endswith("json") else ("sqlite", tmp_path / name)
    journal = tmp_path / f"{name}.journal"
    leave(journal, [f"{kind}:{path}"], range(8000), completion_args={"model": "m", "messages": ["x" * 2000]})
    command = [sys.executable, "-m", "aicore_obs.cli.app", "drain", str(path)]
    positions = next(journal.iterdir()) / "positions.json"
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as child:
        _wait_for(lambda: positions.exists() and positions.stat().st_size > 0, child)
        child.send_signal(signal.SIGKILL)
    assert journal.exists(), "killed too late"
    assert subprocess.run(command, timeout=200, stdout=subprocess.PIPE).returncode == 0
    assert Counter(_stored(path)) == Counter(ids(range(8000)))
    if kind == "json":
        assert set(_lines(path).values()) == {1}


def _wait_for(ready: object, child: subprocess.Popen[bytes]) -> None:
    """Wait for something that another process does, up to the deadline."""
    deadline, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while not ready():  # type: ignore[operator]
        assert child.poll() is None, "the drain ended first"
        assert time.monotonic() < deadline
        pause.wait(0.002)
