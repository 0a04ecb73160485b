"""This module is where calls of OpenAI's SDK are made under one watcher, in a process that waits for its turns.

``python -m benchmarks.peers.calls '{"program": …}'`` says on a line that it is ready, or why not. Each line that it
then reads asks for a block of calls; it answers with a line of their times. At the end of its input it delivers.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from benchmarks.payload import asked


def main() -> None:
    """Start the watcher that the command line names, and do what is asked."""
    given = json.loads(sys.argv[1])
    answers = _answers()
    try:
        module, name = given["program"].split(":")
        watcher = getattr(importlib.import_module(module), name)(Path(given["folder"]), given["stub"])
        calls = _Calls(watcher.client(given["provider"]))
    except Exception as error:  # noqa: BLE001 - whatever keeps a library from starting is what the table tells
        _say(answers, {"failed": f"{type(error).__name__}: {error}"})
        return
    _say(answers, {"failed": None})
    for line in sys.stdin:
        _say(answers, _block(calls, watcher.flush, **json.loads(line)))
    watcher.flush()
    watcher.close()
    _say(answers, {"ended": True})


def _answers() -> TextIO:
    """Return where answers go; what libraries print goes where errors do."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _say(answers: TextIO, answer: dict[str, Any]) -> None:
    print(json.dumps(answer), file=answers, flush=True)


class _Calls:
    """One client, whose calls are numbered on."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._numbers: Iterator[int] = itertools.count()

    def whole(self) -> None:
        self._client.chat.completions.create(**asked(next(self._numbers)))

    def stream(self) -> None:
        # With usage, since some watchers count tokens themselves where none comes.
        options = {"include_usage": True}
        for _ in self._client.chat.completions.create(
            **asked(next(self._numbers)), stream=True, stream_options=options
        ):
            pass


def _block(calls: _Calls, flush: Callable[[], None], *, way: str, count: int) -> dict[str, float]:
    """Return the µs of a call: by the clock (median), of the caller's CPU, of the process's until all is delivered."""
    call: Callable[[], None] = getattr(calls, way)
    walls = []
    process, thread = time.process_time_ns(), time.thread_time_ns()
    for _ in range(count):
        start = time.perf_counter_ns()
        call()
        walls.append(time.perf_counter_ns() - start)
    thread = time.thread_time_ns() - thread
    flush()
    process = time.process_time_ns() - process
    return {
        "wall": statistics.median(walls) / 1000,
        "caller": thread / count / 1000,
        "process": process / count / 1000,
    }


if __name__ == "__main__":
    main()
