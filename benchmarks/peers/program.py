"""This module is where one peer is driven, in a process of its own and on its own interpreter.

``python -m benchmarks.peers.program '{"action": …}'``. A peer's class has these duties: its constructor takes a folder
and the URL of a stub and starts the library as its documentation says, with its default settings; ``record`` hands over
one call; ``flush`` and ``close`` are the library's own, where it has them.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from benchmarks.payload import RESPONSE, numbered


class Recorder(Protocol):
    """What a peer's class does."""

    def record(self, arguments: dict[str, Any], response: dict[str, Any]) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


def main() -> None:
    """Do what the command line says; the answer is in ``answer.json`` of the folder."""
    asked = json.loads(sys.argv[1])
    folder = Path(asked["folder"])
    module, name = asked["program"].split(":")
    recorder: Recorder = getattr(importlib.import_module(module), name)(folder, asked["stub"])
    answer = _ACTIONS[asked["action"]](recorder, asked)
    recorder.flush()
    recorder.close()
    _say(folder, answer)


def _say(folder: Path, answer: dict[str, Any]) -> None:
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


def _burst(recorder: Recorder, asked: dict[str, Any]) -> dict[str, Any]:
    """Record as fast as it goes, for as many as asked or as long as allowed."""
    start = time.perf_counter()
    offered = 0
    while offered < asked["count"] and time.perf_counter() - start < asked["limit_s"]:
        recorder.record(numbered(offered), RESPONSE)
        offered += 1
    _say(Path(asked["folder"]), {"offered": offered, "flushed": False})
    return {"offered": offered, "flushed": True}


def _kill(recorder: Recorder, asked: dict[str, Any]) -> dict[str, Any]:
    """Be killed in the middle of a burst."""
    _burst(recorder, {**asked, "count": asked["count"] // 2})
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def _recover(recorder: Recorder, asked: dict[str, Any]) -> dict[str, Any]:
    """Only start on the same place and end: what a killed process has left may be found again."""
    del recorder, asked
    return {}


def _cost(recorder: Recorder, asked: dict[str, Any]) -> dict[str, Any]:
    """Time single calls, in a tight loop and paced, in turns with the floor."""
    fd = os.open(Path(asked["folder"], "floor.bin"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    numbers = itertools.count()
    answer: dict[str, Any] = {}
    for pace, pause_s in (("tight", 0.0), ("1 ms apart", 0.001)):
        times: list[int] = []
        floors: list[int] = []
        for block in range(asked["blocks"] + 1):
            floor = _times(_floor(fd), numbers, asked["counts"][pace], pause_s, asked["limit_s"])
            ours = _times(
                lambda given: recorder.record(given, RESPONSE), numbers, len(floor), pause_s, asked["limit_s"]
            )
            recorder.flush()
            # The first block warms up.
            if block:
                times += ours
                floors += floor
        answer[pace] = {"ours": _summary(times), "floor": _summary(floors)}
    os.close(fd)
    return answer


def _floor(fd: int) -> Callable[[dict[str, Any]], object]:
    encode = importlib.import_module("msgspec").json.Encoder().encode
    return lambda given: os.write(fd, encode({"completion_args": given, "response": RESPONSE}))


def _times(
    call: Callable[[dict[str, Any]], object], numbers: Any, count: int, pause_s: float, limit_s: float
) -> list[int]:
    times: list[int] = []
    end = time.perf_counter() + limit_s
    while len(times) < count and time.perf_counter() < end:
        given = numbered(next(numbers))
        if pause_s:
            time.sleep(pause_s)
        start = time.perf_counter_ns()
        call(given)
        times.append(time.perf_counter_ns() - start)
    return times


def _summary(times: list[int]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "p50": ordered[len(ordered) // 2] / 1000,
        "p99": ordered[int(len(ordered) * 0.99)] / 1000,
        "mean": statistics.fmean(ordered) / 1000,
    }


_ACTIONS = {"burst": _burst, "kill": _kill, "recover": _recover, "cost": _cost}

if __name__ == "__main__":
    main()
