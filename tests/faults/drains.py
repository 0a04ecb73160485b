"""This module is where tests start `aicore-obs drain --watch` and processes that only append, and end them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.law import wait_until
from tests.faults.places import Place

ROOT = Path(__file__).parents[2]
END_S = 50.0


class Drain:
    """An `aicore-obs drain --watch` in a process of its own; what it says is in ``log``."""

    def __init__(self, place: Place, log: Path) -> None:
        self.log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "aicore_obs.cli.app", "drain", "--watch", place.target],
                stdout=file,
                stderr=file,
                cwd=ROOT,
            )

    def has_said(self, words: str) -> bool:
        """Return whether some words are in its log."""
        return words in self.log.read_text()

    def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        self._process.kill()
        self._process.wait(END_S)

    def end(self) -> None:
        """Ask it to end; it must do so well and in time."""
        wait_until(lambda: self.has_said("watching"), END_S)
        self._process.terminate()
        assert self._process.wait(END_S) == 0, self.log.read_text()


class Drains:
    """All drains of a test."""

    def __init__(self, place: Place, folder: Path) -> None:
        self._place = place
        self._folder = folder
        self.alive: list[Drain] = []
        self.started = 0

    def start(self) -> Drain:
        """Start another one."""
        self.started += 1
        self.alive.append(Drain(self._place, self._folder / f"drain-{self.started}.log"))
        return self.alive[-1]

    def kill(self, one: Drain) -> None:
        """Kill one."""
        self.alive.remove(one)
        one.kill()

    def end(self) -> None:
        """Ask all to end."""
        while self.alive:
            self.alive.pop().end()


@contextmanager
def drains_of(place: Place, folder: Path) -> Iterator[Drains]:
    """Start drains that are killed at the latest at the end of the block."""
    drains = Drains(place, folder)
    try:
        yield drains
    finally:
        for one in drains.alive:
            one.kill()


def arguments(place: Place) -> dict[str, Any]:
    """Return what a collector is opened with that only appends."""
    return {**place.arguments, "writer": "external"}


def worker(place: Place, name: str = "recorder") -> subprocess.Popen[bytes]:
    """Start a process that only appends, one that records until it is killed or a program by its name."""
    given = json.dumps(arguments(place))
    command = ["tests.faults.recorder", given] if name == "recorder" else ["tests.faults.programs", name, given]
    return subprocess.Popen([sys.executable, "-m", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)


def ids_until(child: subprocess.Popen[bytes], count: int) -> list[str]:
    """Return what a child was given, up to ``count`` ids; then kill it and return the rest."""
    assert child.stdout is not None
    with child.stdout as output:
        lines = [line for line, _ in zip(output, range(count), strict=False)]
        child.kill()
        lines += output
    child.wait(END_S)
    if child.stdin is not None:
        child.stdin.close()
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]


def ids_of(child: subprocess.Popen[bytes]) -> list[str]:
    """Return what a child was given that ends by itself, and must end well."""
    output, _ = child.communicate(timeout=4 * END_S)
    assert child.returncode == 0
    return output.decode().split()


def nothing_waits(place: Place) -> bool:
    """Return whether no segment is left anywhere."""
    # Folders go while we look.
    return not any(name.endswith(".seg") for _, _, names in os.walk(place.journal()) for name in names)
