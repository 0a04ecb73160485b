"""This module is where the peers are run beside this package: what a record costs, and what survives."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.figures import Figure
from benchmarks.peers.catalogue import OURS, PEERS, Peer
from benchmarks.turns import ROOT, Stage, TurnFailed, environment

GROUP = "peers"
PACES = ("tight", "1 ms apart")
_PROBE = (
    "import importlib.metadata, json, sys\n"
    "found = {one.metadata['Name'].lower(): one.version for one in importlib.metadata.distributions()}\n"
    "print(json.dumps({name: found.get(name) for name in sys.argv[1:]}))"
)


class Installed(msgspec.Struct, frozen=True):
    """A peer with the interpreter that has it; without one it is not installed."""

    peer: Peer
    version: str | None
    python: str


class Survival(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a burst, and of a burst whose process was killed in the middle, are found in the end."""

    name: str
    version: str | None
    counted: str
    offered: int = 0
    stored: int = 0
    accepted_before_kill: int = 0
    stored_after_kill: int = 0
    note: str = ""


def installed(pythons: Sequence[str]) -> list[Installed]:
    """Return every peer with the first interpreter that has it; ours first, on this one."""
    packages = [OURS.package, *(peer.package for peer in PEERS)]
    have = [(python, versions(python, packages)) for python in pythons]
    found = [Installed(OURS, versions(sys.executable, packages)[OURS.package], sys.executable)]
    for peer in PEERS:
        choices = [Installed(peer, version, python) for python, known in have if (version := known[peer.package])]
        found.append(choices[0] if choices else Installed(peer, None, ""))
    return found


def versions(python: str, packages: Sequence[str]) -> dict[str, str | None]:
    """Return which versions of packages an interpreter has."""
    done = subprocess.run([python, "-c", _PROBE, *packages], capture_output=True, check=True)
    return msgspec.json.decode(done.stdout, type=dict[str, str | None])


def costs(found: Sequence[Installed], stage: Stage, tell: Callable[[str], None], failed: list[str]) -> list[Figure]:
    """Return what a record costs, ours and theirs in turns, each beside the floor."""
    asked = {
        "action": "cost",
        "blocks": stage.size(full=3, quick=1),
        "counts": {"tight": stage.size(full=2_000, quick=200), "1 ms apart": stage.size(full=500, quick=50)},
        "limit_s": stage.size(full=4, quick=1),
    }
    answers: dict[str, list[Any]] = {one.peer.name: [] for one in found}
    for number in range(stage.size(full=3, quick=1)):
        for one in found:
            if one.version is not None:
                tell(f"{GROUP}: {one.peer.name}, cost, round {number + 1}")
                with _guarded(one, failed), place_for(stage) as place:
                    answers[one.peer.name].append(_run(one, {**asked, **place}, limit_s=600))
    figures = [figure for name, taken in answers.items() if taken for figure in _figures(name, taken)]
    shares = [_share(answers[OURS.name], name, taken, pace) for name, taken in _others(answers) for pace in PACES]
    return [*figures, *shares]


def _others(answers: dict[str, list[Any]]) -> Iterator[tuple[str, list[Any]]]:
    return ((name, taken) for name, taken in answers.items() if taken and answers[OURS.name] and name != OURS.name)


def _figures(name: str, taken: Sequence[Any]) -> Iterator[Figure]:
    for pace in PACES:
        for what in ("p50", "p99", "mean"):
            yield Figure(
                group=GROUP,
                case=name,
                what=f"{pace}, {what}",
                unit="µs",
                values=[one[pace]["ours"][what] for one in taken],
                floors=[one[pace]["floor"][what] for one in taken],
                more_is_better=False,
                floor_is="encode + os.write",
            )


def _share(ours: Sequence[Any], name: str, theirs: Sequence[Any], pace: str) -> Figure:
    pairs = zip(ours, theirs, strict=False)
    return Figure(
        group=GROUP,
        case=f"ours of {name}",
        what=f"{pace}, mean",
        unit="×",
        values=[one[pace]["ours"]["mean"] / other[pace]["ours"]["mean"] for one, other in pairs],
        floors=[],
        more_is_better=False,
        floor_is="",
    )


def survival(
    found: Sequence[Installed], stage: Stage, tell: Callable[[str], None], failed: list[str]
) -> list[Survival]:
    """Return, for each, how much of a burst survives, and how much of one that was killed in the middle."""
    asked = {"count": stage.size(full=100_000, quick=10_000), "limit_s": stage.size(full=60, quick=10)}
    results = []
    for one in found:
        result = Survival(name=one.peer.name, version=one.version, counted=one.peer.counted, note="could not be run")
        if one.version is not None:
            tell(f"{GROUP}: {one.peer.name}, survival")
            with _guarded(one, failed):
                result = _after_burst(one, stage, asked, result)
                result = _after_kill(one, stage, asked, result)
        results.append(result)
    return results


def _after_burst(one: Installed, stage: Stage, asked: dict[str, Any], result: Survival) -> Survival:
    with place_for(stage) as place:
        answer = _run(one, {"action": "burst", **asked, **place}, limit_s=asked["limit_s"] + 120)
        stored = one.peer.found(Path(place["folder"]), place["stub"])
    return msgspec.structs.replace(
        result,
        offered=answer["offered"],
        stored=stored,
        note="" if answer["flushed"] else "its flush did not end and was cut off",
    )


def _after_kill(one: Installed, stage: Stage, asked: dict[str, Any], result: Survival) -> Survival:
    with place_for(stage) as place:
        answer = _run(one, {"action": "kill", **asked, **place}, limit_s=asked["limit_s"] + 120)
        # A next start on the same place, for whoever finds again what was left.
        _run(one, {"action": "recover", **place}, limit_s=300)
        stored = one.peer.found(Path(place["folder"]), place["stub"])
    return msgspec.structs.replace(result, accepted_before_kill=answer["offered"], stored_after_kill=stored)


def _run(one: Installed, asked: dict[str, Any], *, limit_s: float) -> dict[str, Any]:
    """Run a peer's program; one that does not end in time is killed and what it had said by then counts.

    Raises:
        TurnFailed: it ended without having said anything.
    """
    folder = Path(asked["folder"])
    log = folder / "said.txt"
    command = [one.python, "-m", "benchmarks.peers.program", json.dumps({**asked, "program": one.peer.program})]
    with log.open("wb") as said, contextlib.suppress(subprocess.TimeoutExpired):
        # In its folder, since some leave files where they are started.
        its = environment(folder) | {"PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=folder, env=its, stdout=said, stderr=said, check=False, timeout=limit_s)
    answer = folder / "answer.json"
    if not answer.exists():
        raise TurnFailed(f"{one.peer.name}: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
    said_last: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return said_last


@contextlib.contextmanager
def _guarded(one: Installed, failed: list[str]) -> Iterator[None]:
    """Let a peer that cannot be run cost its own figures and nobody else's."""
    try:
        yield
    except TurnFailed as error:
        failed.append(f"{one.peer.name} failed: {error}")


@contextlib.contextmanager
def place_for(stage: Stage) -> Iterator[dict[str, str]]:
    """Give a run a folder, and a server of its own."""
    folder = Path(tempfile.mkdtemp(dir=stage.folder))
    command = [sys.executable, "-m", "benchmarks.peers.stub"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip() if server.stdout else ""
            yield {"folder": str(folder), "stub": f"http://127.0.0.1:{port}"}
        finally:
            server.kill()
            shutil.rmtree(folder, ignore_errors=True)
