"""This module is where watchers of OpenAI's SDK are set beside calls that nobody watches: what each adds, what it kept.

All of a round live at once, each in a process of its own, and take turns block by block, so that a busy moment of the
machine hits all of them. What a block took is set beside the same turn's block of the plain process, which runs on the
same interpreter. Plain and watched calls go to a server on this machine, and so does what OpenTelemetry and Langfuse
deliver; ours goes into SQLite.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.figures import Figure
from benchmarks.peers.catalogue import OUR_WATCHER, PLAIN, WATCHERS, Watcher
from benchmarks.peers.provider import CHUNKS
from benchmarks.peers.side_by_side import place_for, versions
from benchmarks.turns import ROOT, Stage, environment

GROUP = "watching"
TIMES = {"wall": "clock, p50", "caller": "CPU of the caller", "process": "CPU of the process, delivery included"}
WAYS = {"whole": "call", "stream": f"stream of {CHUNKS} chunks"}
# How long an answer may take before its process is given up.
LIMIT_S = 120

Times = dict[str, list[float]]
# What was added, and what a plain call took.
Added = dict[str, tuple[float, float]]


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """How many calls were made under a watcher, and how many requests and answers are where it delivers to."""

    name: str
    version: str | None
    how: str
    calls: int = 0
    requests: int = 0
    answers: int = 0
    note: str = ""


class _Program:
    """A watcher's process, between its blocks."""

    def __init__(self, watcher: Watcher, python: str, provider: str, place: dict[str, str]) -> None:
        self.watcher, self.python, self.place, self.calls = watcher, python, place, 0
        self._said = Path(place["folder"], "said.txt")
        command = [python, "-m", "benchmarks.peers.calls"]
        given = json.dumps({"program": watcher.program, "provider": provider, **place})
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [*command, given],
                cwd=place["folder"],
                env=environment(place["folder"]) | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
            )
        self.failed: str | None = None

    def begin(self) -> None:
        """Wait until it has started, or has said why it cannot."""
        if reason := self._answer().get("failed"):
            self.failed = f"does not start: {reason}"

    def block(self, way: str, count: int) -> dict[str, float]:
        """Have ``count`` calls made and return their times; none when it has failed."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"way": way, "count": count}).encode() + b"\n")
            self._process.stdin.flush()
        self.calls += count
        return self._answer()

    def end(self) -> None:
        """Have everything delivered."""
        assert self._process.stdin
        self._process.stdin.close()
        self._answer()

    def _answer(self) -> dict[str, Any]:
        """Return its next answer; one that ended, or had to be, has failed."""
        assert self._process.stdout
        late = threading.Timer(LIMIT_S, self._process.kill)
        late.start()
        line = self._process.stdout.readline()
        late.cancel()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        said = self._said.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        self.failed = f"does not run: {said[-1] if said else 'it said nothing'}"
        return {}

    def stop(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            # What a dead process did not read is of no use.
            with contextlib.suppress(BrokenPipeError):
                assert pipe
                pipe.close()


def costs(
    pythons: Sequence[str], stage: Stage, tell: Callable[[str], None], failed: list[str]
) -> tuple[list[Figure], list[Watched]]:
    """Return what each watcher adds to a call, and what it kept; why one did not run is its note."""
    packages = [watcher.package for watcher in (OUR_WATCHER, *WATCHERS)]
    have = [(python, versions(python, packages)) for python in pythons]
    found = {OUR_WATCHER: (sys.executable, versions(sys.executable, packages))}
    for watcher in WATCHERS:
        if known := next(((python, known) for python, known in have if known[watcher.package]), None):
            found[watcher] = known
    added: dict[str, list[Added]] = {watcher.name: [] for watcher in found}
    kept = {
        watcher.name: Watched(name=watcher.name, version=known[watcher.package], how=watcher.how)
        for watcher, (_, known) in found.items()
    }
    chosen = [(watcher, python) for watcher, (python, _) in found.items()]
    for number in range(stage.size(full=5, quick=1)):
        tell(f"{GROUP}: round {number + 1}")
        for program, times in _round(chosen, stage, failed):
            name = program.watcher.name
            kept[name] = _kept(program, kept[name])
            if times:
                added[name].append(times)
    figures = [figure for name, rounds in added.items() if rounds for figure in _figures(name, rounds)]
    missing = [Watched(name=one.name, version=None, how=one.how) for one in WATCHERS if one not in found]
    return figures, [*kept.values(), *missing]


def _round(chosen: Sequence[tuple[Watcher, str]], stage: Stage, failed: list[str]) -> Iterator[tuple[_Program, Added]]:
    """Give each watcher's program, ended, with what its blocks took more than the plain ones beside them."""
    counts = {"whole": stage.size(full=100, quick=5), "stream": stage.size(full=10, quick=2)}
    plain = [(PLAIN, python) for python in dict.fromkeys(python for _, python in chosen)]
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(_provider())
        programs = []
        for watcher, python in [*plain, *chosen]:
            programs.append(_Program(watcher, python, provider, stack.enter_context(place_for(stage))))
            stack.callback(programs[-1].stop)
        for program in programs:
            program.begin()
        taken = _blocks(programs, counts, stage.size(full=5, quick=1))
        for program in programs:
            if program.failed is None:
                program.end()
        # Others may fail, which their notes tell; without these two there is nothing to set them beside.
        failed += [f"{GROUP}: {one.watcher.name} {one.failed}" for one in programs if one.failed and _must_run(one)]
        floors = {program.python: taken[program] for program in programs if program.watcher == PLAIN}
        for program in programs[len(plain) :]:
            yield program, _beside(taken[program], floors[program.python])


def _must_run(program: _Program) -> bool:
    return program.watcher in (PLAIN, OUR_WATCHER)


def _blocks(programs: Sequence[_Program], counts: dict[str, int], number: int) -> dict[_Program, Times]:
    """Let all take turns, another first each time; the first turn warms up. What has failed gives no times."""
    taken: dict[_Program, Times] = {program: {} for program in programs}
    for turn in range(number + 1):
        first = turn % len(programs)
        for way, count in counts.items():
            for program in [*programs[first:], *programs[:first]]:
                times = program.block(way, count) if program.failed is None else {}
                for time, value in times.items():
                    if turn:
                        taken[program].setdefault(f"{way} {time}", []).append(value)
    return {program: times if program.failed is None else {} for program, times in taken.items()}


def _beside(times: Times, floors: Times) -> Added:
    """Return, for each kind of time, the median of what was added in a turn, and of what a plain call took."""
    return {
        kind: (
            statistics.median(value - floor for value, floor in zip(values, floors[kind], strict=True)),
            statistics.median(floors[kind]),
        )
        for kind, values in times.items()
        if kind in floors
    }


def _kept(program: _Program, before: Watched) -> Watched:
    """Add up what is found where the watcher delivers to."""
    if program.failed is not None:
        return msgspec.structs.replace(before, note=program.failed)
    requests, answers = program.watcher.found(Path(program.place["folder"]), program.place["stub"])
    return msgspec.structs.replace(
        before,
        calls=before.calls + program.calls,
        requests=before.requests + requests,
        answers=before.answers + answers,
    )


def _figures(name: str, rounds: Sequence[Added]) -> Iterator[Figure]:
    for way, called in WAYS.items():
        for time, what in TIMES.items():
            pairs = [one[f"{way} {time}"] for one in rounds]
            yield Figure(
                group=GROUP,
                case=name,
                what=f"{called}, {what}",
                unit="µs",
                values=[added for added, _ in pairs],
                floors=[floor for _, floor in pairs],
                more_is_better=False,
                floor_is="nobody watches",
            )


@contextlib.contextmanager
def _provider() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.peers.provider"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip() if server.stdout else ""
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()
