"""This module is where real servers fork, reload, recycle and end their workers around a collector."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aicore_obs import LlmOperationCollector
from tests.faults.law import assert_nothing_lost, wait_until
from tests.faults.places import Place, assert_exactly_once

ROOT = Path(__file__).parents[2]
WORKERS, CLIENTS, REQUESTS = 2, 3, 120
TASKS, TASKS_PER_CHILD = 40, 5


@pytest.fixture(params=["sqlite", "jsonl", "postgresql"])
def shared_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty store that many processes write to."""
    if request.param == "postgresql":
        return Place("postgresql", request.getfixturevalue("postgres_url"))
    return Place.file(request.param, tmp_path)


def environment(place: Place, folder: Path) -> dict[str, str]:
    """Return what the programs are told."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DRILL_ARGUMENTS": json.dumps(place.arguments),
        "DRILL_FOLDER": str(folder),
    }


def deliver_the_rest(place: Place) -> None:
    """Start anew on the store, as the next process would."""
    with LlmOperationCollector(**place.arguments) as collector:
        assert collector.flush(30), collector.stats()
        assert_nothing_lost(collector.stats())
    assert place.journal_files() == []


def end(server: subprocess.Popen[bytes], folder: Path) -> None:
    """Let a server end in order."""
    server.terminate()
    try:
        server.wait(40)
    except subprocess.TimeoutExpired:
        server.kill()
        pytest.fail(f"the server does not end:\n{(folder / 'log').read_text()}")


# -- gunicorn ----------------------------------------------------------------------------------------------------------


def test_gunicorn_with_preload_and_uvicorn_workers(shared_place: Place, tmp_path: Path) -> None:
    """Workers are forked from a parent that has recorded, recycled, killed, reloaded, ended: every answer is stored."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    options = ["-k", "uvicorn_worker.UvicornWorker", "-b", f"127.0.0.1:{port}"]
    options += ["--preload", "--max-requests", "50", "--workers", str(WORKERS), "--graceful-timeout", "10"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *options, "tests.faults.served:app"],
            cwd=tmp_path,
            env=environment(shared_place, tmp_path),
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: ask(port), 40)
        answers: list[tuple[int, str, str]] = []
        clients = [threading.Thread(target=ask_often, args=(port, answers, REQUESTS)) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        wait_until(lambda: len(answers) > CLIENTS * REQUESTS // 4, 40)
        os.kill(answers[-1][0], signal.SIGKILL)
        wait_until(lambda: len(answers) > CLIENTS * REQUESTS // 2, 40)
        server.send_signal(signal.SIGHUP)
        for client in clients:
            client.join(60)
    finally:
        end(server, tmp_path)
    assert len(answers) == CLIENTS * REQUESTS
    assert len({process for process, _, _ in answers}) > 2 * WORKERS
    deliver_the_rest(shared_place)
    ids = {one for _, one, before in answers for one in (one, before)}
    assert len(ids) == len(answers) + 1
    assert_exactly_once(shared_place, ids, kills=1)


def ask(port: int) -> tuple[int, str, str] | None:
    """Make a request; None when nobody answers it to the end."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=200)
    try:
        connection.request("GET", "/some/path")
        process, record_id, before = connection.getresponse().read().decode().split()
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return int(process), record_id, before


def ask_often(port: int, answers: list[tuple[int, str, str]], count: int) -> None:
    """Make requests until ``count`` of them were answered."""
    for _ in range(count):
        answer = None
        while answer is None:
            answer = ask(port)
        answers.append(answer)


# -- celery ------------------------------------------------------------------------------------------------------------


def test_celery_with_children_that_are_replaced(shared_place: Place, tmp_path: Path) -> None:
    """A prefork worker replaces each child after five tasks: what every task recorded is stored."""
    known = environment(shared_place, tmp_path / "celery")
    options = ["--pool", "prefork", "-c", str(WORKERS), "--max-tasks-per-child", str(TASKS_PER_CHILD)]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"]
    queue = [sys.executable, "-m", "tests.faults.queued", str(TASKS)]
    subprocess.run(queue, env=known, cwd=tmp_path, check=True, timeout=200)
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tests.faults.queued", "worker", *options, *quiet],
            cwd=tmp_path,
            env=known,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: len(said(tmp_path)) == TASKS, 60)
    finally:
        end(worker, tmp_path)
    answers = said(tmp_path)
    assert len({process for process, _ in answers}) >= TASKS // TASKS_PER_CHILD
    deliver_the_rest(shared_place)
    assert assert_exactly_once(shared_place, [one for _, one in answers]) == TASKS


def said(folder: Path) -> list[tuple[str, str]]:
    """Return the process and the id that each task has written down."""
    path = folder / "celery" / "ids"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(process, record_id) for process, record_id in map(str.split, lines)]
