"""This module is where all benchmarks are run by one command and come out as one table."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import caller, end_to_end, loop_lag, memory, observing, plot, reading, replay, report, starting
from benchmarks.figures import Figure
from benchmarks.machine import load, machine
from benchmarks.peers import side_by_side, watching
from benchmarks.peers.side_by_side import Survival
from benchmarks.peers.watching import Watched
from benchmarks.turns import Case, Stage, TurnFailed, run

MEASUREMENTS: dict[str, Callable[[Stage], Sequence[Case]]] = {
    "caller": caller.cases,
    "loop": loop_lag.cases,
    "end-to-end": end_to_end.cases,
    "replay": replay.cases,
    "import": starting.cases,
    "reading": reading.cases,
    "memory": memory.cases,
    "observing": observing.cases,
}
# Of these there is a second half, beside others.
OBSERVING = "observing"
PEERS = side_by_side.GROUP
_NAMES = f"run some of them: {', '.join([*MEASUREMENTS, PEERS])}"


def main() -> int:
    """Run what was asked for; 1 when some of it failed."""
    given = _arguments()
    start, load_before = time.monotonic(), load()
    stage = Stage(quick=given.quick)
    failures: list[str] = []
    figures: list[Figure] = []
    survival: list[Survival] = []
    watched: list[Watched] = []
    pythons = [_absolute(python) for python in given.peers_python or [sys.executable]]
    try:
        for name in [one for one in given.only or MEASUREMENTS if one != PEERS]:
            figures += _measured(name, stage, failures)
        if given.peers and (given.only is None or OBSERVING in given.only):
            more, watched = watching.costs(pythons, stage, _tell, failures)
            figures += more
        if given.peers and (given.only is None or PEERS in given.only):
            found = side_by_side.installed(pythons)
            figures += side_by_side.costs(found, stage, _tell, failures)
            survival = side_by_side.survival(found, stage, _tell, failures)
    finally:
        stage.close()
    about = machine() | {
        "load before": f"{load_before:.2f}" + (" – busy: the figures mean little" if load_before > 0.5 else ""),
        "run": f"{'quick, ' if given.quick else ''}{(time.monotonic() - start) / 60:.0f} minutes",
    }
    done = report.Run(machine=about, figures=figures, survival=survival, watched=watched)
    report.show(done)
    if given.out:
        plot.draw(done, given.out.with_name("results.svg"))
        report.write(done, given.out)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("--only", nargs="+", choices=[*MEASUREMENTS, PEERS], metavar="NAME", help=_NAMES)
    options.add_argument("--quick", action="store_true", help="small numbers: shows that it runs, not how fast")
    options.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True, help="others beside ours")
    options.add_argument(
        "--peers-python",
        action="append",
        metavar="PYTHON",
        help="an interpreter that has peers, may be given again; each peer takes the first that has it (this one)",
    )
    options.add_argument("--out", type=Path, help="also write a page; results.json and results.svg beside it")
    return options.parse_args()


def _absolute(python: str) -> str:
    """Return an interpreter's whole path, since peers are started in folders of their own."""
    return str(Path(shutil.which(python) or python).absolute())


def _measured(name: str, stage: Stage, failures: list[str]) -> list[Figure]:
    """Run one measurement; one that fails costs its own figures and no other's."""
    try:
        return run(name, MEASUREMENTS[name](stage), stage, _tell)
    except TurnFailed as error:
        failures.append(f"{name} failed: {error}")
        return []


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
