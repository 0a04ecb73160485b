"""This module is where measurements are run: rounds of turns, each turn a process of its own, beside its floor."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.figures import Figure, Taken
from tests.postgres import PostgresServer

ROOT = Path(__file__).parent.parent


class TurnFailed(Exception):  # noqa: N818 - what a measurement ends with
    """A turn's process ended badly; the message is the end of what it said."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to measure. ``ours`` and ``floor`` name functions as ``module:function``.

    Without ``floor`` the turn takes its floor itself, in the same process. ``floor_after``: the floor's turn comes
    second, since it works on what ours has left. Both get ``given`` and a ``folder`` that is removed after the round.
    """

    name: str
    ours: str
    given: dict[str, Any]
    floor_is: str
    floor: str | None = None
    floor_after: bool = False
    needs_postgres: bool = False
    rounds: int | None = None


class Stage:
    """What measurements stand on: how large they shall be, folders, a PostgreSQL that starts when it is needed."""

    def __init__(self, *, quick: bool) -> None:
        self.quick = quick
        self.rounds = 1 if quick else 5
        self.folder = Path(tempfile.mkdtemp(prefix="aicore-obs-bench-"))
        self._server: PostgresServer | None = None

    def size(self, *, full: int, quick: int) -> int:
        """Return how many, by the size of the run."""
        return quick if self.quick else full

    def database(self) -> str:
        """Return the URL of a new database."""
        if self._server is None:
            self._server = PostgresServer()
            self._server.start()
        return self._server.create_database()

    def drop(self, url: str) -> None:
        """Drop a database of :meth:`database`."""
        if self._server is not None:
            self._server.drop_database(url)

    def close(self) -> None:
        """Remove everything."""
        if self._server is not None:
            self._server.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def place(self, case: Case) -> Iterator[dict[str, Any]]:
        """Give one case of one round a folder, and a database if it needs one."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        url = self.database() if case.needs_postgres else None
        try:
            yield {"folder": str(folder), **({"url": url} if url else {})}
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if url is not None:
                self.drop(url)


def run(group: str, cases: Sequence[Case], stage: Stage, tell: Callable[[str], None]) -> list[Figure]:
    """Run all cases in rounds; return the figures in the order of the cases."""
    rounds: dict[str, list[list[Taken]]] = {case.name: [] for case in cases}
    for number in range(stage.rounds):
        for case in cases:
            if number < (case.rounds or stage.rounds):
                tell(f"{group}: {case.name}, round {number + 1}")
                rounds[case.name].append(_pair(case, stage))
    return [figure for case in cases for figure in _figures(group, case, rounds[case.name])]


def _pair(case: Case, stage: Stage) -> list[Taken]:
    """Take one case and its floor, one right after the other."""
    with stage.place(case) as place:
        given = {**case.given, **place}
        floors: list[Taken] = []
        if case.floor is not None and not case.floor_after:
            floors = take(case.floor, given)
        ours = take(case.ours, given)
        if case.floor is not None and case.floor_after:
            floors = take(case.floor, given)
    by_name = {floor.what: floor.value for floor in floors}
    return [msgspec.structs.replace(one, floor=by_name.get(one.what, one.floor)) for one in ours]


def take(function: str, given: dict[str, Any]) -> list[Taken]:
    """Run one turn in a process of its own and return its figures.

    Raises:
        TurnFailed: the process ended badly.
    """
    command = [sys.executable, "-m", "benchmarks.turn", function, msgspec.json.encode(given).decode()]
    done = subprocess.run(command, cwd=ROOT, env=environment(given["folder"]), capture_output=True, check=False)
    if done.returncode:
        raise TurnFailed(f"{function} {given}: {done.stderr.decode(errors='replace')[-2000:]}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=list[Taken])


def environment(folder: str | Path) -> dict[str, str]:
    """Return an environment without settings of ours, in which every state lies in ``folder``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AICORE_OBS_")}
    return {**kept, "AICORE_OBS_STATE_DIR": str(folder)}


def _figures(group: str, case: Case, rounds: Sequence[Sequence[Taken]]) -> Iterator[Figure]:
    for same in zip(*rounds, strict=True):
        first = same[0]
        yield Figure(
            group=group,
            case=case.name,
            what=first.what,
            unit=first.unit,
            values=[one.value for one in same],
            floors=[one.floor for one in same if one.floor is not None],
            more_is_better=first.more_is_better,
            floor_is=case.floor_is if first.floor is not None else "",
        )
