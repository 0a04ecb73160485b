"""This module is where runs of the oplog door are tested: nested, entered again, in tasks, threads and processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aicore_obs.model import codec
from aicore_obs.model.scope import Scope
from aicore_obs.oplog import Run, Tracer, carry
from tests.oplog_stores import backend, sqlite_tracer, tracer

__all__ = ["backend", "sqlite_tracer", "tracer"]
ROOT = Path(__file__).parents[2]


def _filed(tracer: Tracer) -> dict[str, tuple[str | None, int | None]]:
    return {one.operation: (one.run_id, one.seq) for one in tracer.db.query()}


def test_nested_runs_restore_the_outer_one(sqlite_tracer: Tracer) -> None:
    """An exception on the way included; each run numbers its own operations and has its own metadata."""
    with sqlite_tracer.run("outer", a=1):
        sqlite_tracer.op("1").save()
        with suppress(ValueError), sqlite_tracer.run("inner", b=2):
            sqlite_tracer.op("2").save()
            raise ValueError("stop")
        sqlite_tracer.op("3").save()
        with sqlite_tracer.run("outer"):
            sqlite_tracer.op("4").save()
        sqlite_tracer.op("5").save()
    sqlite_tracer.op("6").save()
    assert _filed(sqlite_tracer) == {
        "1": ("outer", 0),
        "2": ("inner", 0),
        "3": ("outer", 1),
        "4": ("outer", 2),
        "5": ("outer", 3),
        "6": (None, None),
    }
    assert [one.meta for one in sqlite_tracer.db.query(order="asc")] == [{"a": 1}, {"b": 2}, {"a": 1}, {}, {"a": 1}, {}]


def test_the_operation_s_own_value_wins(sqlite_tracer: Tracer) -> None:
    """Over the run's, which gets through where there is none."""
    with sqlite_tracer.run(strategy="a", latency_ms=5):
        sqlite_tracer.op("x").meta(strategy="b", note=1).save()
    [record] = sqlite_tracer.db.query()
    assert record.meta == {"strategy": "b", "latency_ms": 5, "note": 1}


def test_a_run_that_is_entered_again_goes_on(backend: str) -> None:
    """In this tracer, in another one, and in another process, by what is stored."""
    with Tracer("shop", backend) as first:
        for _ in range(2):
            with first.run("r"):
                first.op("here").save()
        with first.run() as made:
            first.op("here").save()
        with first.run(made.id):
            first.op("here").save()
        assert [one.seq for one in first.db.query(run_id=made.id)] == [1, 0]
    program = (
        "import sys; from aicore_obs.oplog import Tracer\n"
        "with Tracer('shop', sys.argv[1]) as t:\n"
        "    for _ in range(2):\n"
        "        with t.run('r'): t.op('there').save()\n"
    )
    subprocess.run([sys.executable, "-c", program, backend], check=True, cwd=ROOT, timeout=200)
    with Tracer("shop", backend) as again:
        assert [one.seq for one in again.db.query("there", run_id="r")] == [3, 2]
        assert [one.seq for one in again.db.query("here", run_id="r")] == [1, 0]


def test_interleaved_tasks_keep_their_own_runs(sqlite_tracer: Tracer) -> None:
    """Twenty tasks that take turns inside their runs, sync and async ones; what tasks start inherits the run."""

    async def child(number: int) -> None:
        await asyncio.sleep(0)
        sqlite_tracer.op(f"child-{number}").save()

    async def work(number: int) -> None:
        async with sqlite_tracer.run(f"run-{number}", number=number):
            for turn in range(3):
                sqlite_tracer.op(f"{number}-{turn}").save()
                await asyncio.sleep(0)
            with sqlite_tracer.run(f"inner-{number}"):
                await asyncio.gather(child(number), asyncio.to_thread(sqlite_tracer.op(f"thread-{number}").save))
            await asyncio.sleep(0)
            await sqlite_tracer.op(f"{number}-3").asave()

    async def main() -> None:
        await asyncio.gather(*map(work, range(20)))

    asyncio.run(main())
    filed = _filed(sqlite_tracer)
    assert len(filed) == 120
    for number in range(20):
        assert [filed[f"{number}-{turn}"] for turn in range(4)] == [(f"run-{number}", turn) for turn in range(4)]
        inside = [filed[f"child-{number}"], filed[f"thread-{number}"]]
        assert sorted(inside) == [(f"inner-{number}", 0), (f"inner-{number}", 1)]


def test_threads(sqlite_tracer: Tracer) -> None:
    """A plain thread has no run, one that is carried has ours; in all of them numbers come once each."""
    with sqlite_tracer.run("r"), ThreadPoolExecutor(8) as pool:
        plain = threading.Thread(target=sqlite_tracer.op("plain").save)
        plain.start()
        plain.join()
        work = carry(lambda number: sqlite_tracer.op(f"carried-{number}").save())
        assert all(pool.map(work, range(200)))
    filed = _filed(sqlite_tracer)
    assert filed.pop("plain") == (None, None)
    assert {run_id for run_id, _ in filed.values()} == {"r"}
    assert sorted(seq for _, seq in filed.values()) == list(range(200))  # type: ignore[type-var]


def test_one_run_in_many_tasks_and_threads(sqlite_tracer: Tracer) -> None:
    """The same object may be entered by all of them at once; each leaves it for itself alone."""
    shared = sqlite_tracer.run("shared")
    entered = threading.Barrier(4, timeout=30)

    def work(number: int) -> None:
        with shared:
            entered.wait()
            sqlite_tracer.op("in").save()
        sqlite_tracer.op("out").save()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert sorted(one.seq for one in sqlite_tracer.db.query("in", run_id="shared")) == [0, 1, 2, 3]  # type: ignore[type-var]
    assert [one.run_id for one in sqlite_tracer.db.query("out")] == [None] * 4


def test_a_run_is_left_in_another_context_than_it_was_entered(sqlite_tracer: Tracer) -> None:
    """As frameworks do with generators; nothing raises, and nobody else is in the run."""
    run = sqlite_tracer.run("r")

    async def main() -> None:
        await asyncio.gather(_enter(run))
        run.__exit__(None, None, None)
        sqlite_tracer.op("a").save()

    asyncio.run(main())
    assert _filed(sqlite_tracer) == {"a": (None, None)}


async def _enter(run: Run) -> None:
    run.__enter__()


def test_runs_are_records_too(tmp_path: Path) -> None:
    """Each is opened and ended, with the run it is in and the error it ended by."""
    with Tracer("shop", tmp_path / "t.jsonl") as traced:
        with pytest.raises(KeyError), traced.run("outer"), traced.run("inner"):
            raise KeyError("x")
        assert traced.flush()
    records = [codec.decode(line) for line in (tmp_path / "t.jsonl").read_bytes().splitlines()]
    scopes = [(one.scope_id, one.change, bytes(one.body or b"")) for one in records if isinstance(one, Scope)]
    assert scopes == [
        ("outer", "opened", b""),
        ("inner", "opened", b'{"parent_run_id":"outer"}'),
        ("inner", "ended", b'{"parent_run_id":"outer","error":"KeyError"}'),
        ("outer", "ended", b'{"error":"KeyError"}'),
    ]


@pytest.mark.parametrize("wrong", ["", 5, b"r"])
def test_an_id_that_is_no_text_is_refused(sqlite_tracer: Tracer, wrong: Any) -> None:
    """At once; without an id one is made, and it grows with time."""
    with pytest.raises(ValueError, match="text that is not empty"):
        sqlite_tracer.run(wrong)
    assert sqlite_tracer.run().id < sqlite_tracer.run().id


def test_a_store_that_is_down_numbers_from_0(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Entering a run neither raises nor waits for long; the log says it once."""
    url = "postgresql://nobody:none@127.0.0.1:9/none"
    with Tracer("shop", url, journal_dir=tmp_path / "journal") as down:
        with down.run("r") as entered:
            assert down.op("a").save()
        assert entered.next_seq() == 1
        down.close(timeout_s=0.1)
    assert "numbered from 0" in caplog.text
