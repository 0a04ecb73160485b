"""This module is where programs are kept whose machine fails them: disks, clocks, signals, storms of exceptions.

``python -m tests.faults.machine_programs NAME ARGUMENTS``, as in ``programs``; each writes the ids that it was given
to the standard output, and its numbers as JSON to the standard error.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import random
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from aicore_obs import LlmOperationCollector
from tests.faults.law import assert_nothing_lost, wait_until
from tests.faults.programs import NEVER_S, record
from tests.faults.recorder import request, said
from tests.faults.seccomp import refuse

Arguments = dict[str, Any]
BALLAST_BYTES = 1024 * 1024
LARGE = {"model": "m", "messages": [{"role": "user", "content": "x" * 4000}]}
DAY_S = 24 * 3600


def tell(collector: LlmOperationCollector) -> None:
    """Say the numbers, and fail when they do not add up."""
    stats = collector.stats()
    assert_nothing_lost(stats)
    pending = sum(sink.pending for sink in stats.sinks.values())
    dead = sum(sink.dead_lettered for sink in stats.sinks.values())
    os.write(2, json.dumps({"refused": stats.refused, "pending": pending, "dead_lettered": dead}).encode())


# -- disks -------------------------------------------------------------------------------------------------------------


def disk_that_does_not_sync(arguments: Arguments) -> None:
    """Record, deliver, then lose fsync: the kernel answers EIO from there on."""
    logging.disable()
    collector = LlmOperationCollector(**arguments, durability="disk")
    record(collector, "before", 10)
    assert collector.flush(80)
    refuse(["fsync", "fdatasync"], errno.EIO)
    record(collector, "during", 10)
    collector.flush(1)
    tell(collector)
    os._exit(0)


def disk_that_is_full_for_a_while(arguments: Arguments) -> None:
    """Fill the disk on which journal and store are, go on recording, make room again and deliver."""
    logging.disable()
    collector = LlmOperationCollector(**arguments)
    record(collector, "before", 10)
    assert collector.flush(80)
    ballast = Path(arguments.get("storage_path") or arguments["db_url"].removeprefix("sqlite:///")).with_name("ballast")
    with ballast.open("wb", buffering=0) as file:
        size = BALLAST_BYTES
        while size:
            try:
                size = min(size, file.write(b"x" * size) or 0)
            except OSError:
                size //= 2
    for _ in range(30):
        said(collector.record_completion(LARGE))
    collector.flush(1)
    ballast.unlink()
    # What the journal may hold is a share of the free space, which is looked up from time to time.
    wait_until(lambda: said(again := collector.record_completion(LARGE)) or again, 30)
    record(collector, "after", 10)
    flushed = collector.flush(80)
    assert flushed, flushed
    tell(collector)


def files_that_may_not_grow(arguments: Arguments) -> None:
    """The same without a disk of one's own: the limit of a file's size stands for it."""
    logging.disable()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    collector = LlmOperationCollector(**arguments, batch_bytes="32KB")
    record(collector, "before", 10)
    assert collector.flush(80)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    for _ in range(60):
        said(collector.record_completion(LARGE))
    collector.flush(1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    record(collector, "after", 10)
    flushed = collector.flush(80)
    assert flushed, flushed
    tell(collector)


# -- clocks ------------------------------------------------------------------------------------------------------------


def clock_that_jumps_back(arguments: Arguments) -> None:
    """Let the wall clock jump back and forth by days while threads record, deliver, rotate and adopt."""
    real_ns, real = time.time_ns, time.time
    shift = [0]
    time.time_ns = lambda: real_ns() + shift[0] * 1_000_000_000
    time.time = lambda: real() + shift[0]
    collector = LlmOperationCollector(**arguments, journal_max_bytes=2_000_000, batch_bytes="32KB")
    stop = threading.Event()

    def jump() -> None:
        # Whole seconds: the same moments come again and again.
        while not stop.wait(0.001):
            shift[0] = random.choice((0, -1, -2, -DAY_S, DAY_S))

    jumper = threading.Thread(target=jump)
    jumper.start()
    threads = [threading.Thread(target=record, args=(collector, f"thread {n}", 400)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    jumper.join()
    assert collector.flush(80), collector.stats()
    tell(collector)


# -- signals and storms ------------------------------------------------------------------------------------------------


def terminated(arguments: Arguments) -> None:
    """Record, then wait for a signal that one does nothing about."""
    # Whoever started us may have had one ignored, as ``nohup`` does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    record(LlmOperationCollector(**arguments, batch_interval_s=NEVER_S))
    signal.pause()


def terminated_in_order(arguments: Arguments) -> None:
    """Record, then end at the signal as servers do: by SystemExit out of its handler."""
    told, telling = os.pipe()
    os.set_blocking(telling, False)
    signal.set_wakeup_fd(telling)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    record(LlmOperationCollector(**arguments, batch_interval_s=NEVER_S))
    # Not ``signal.pause``: it sleeps through a signal that comes between the interpreter's last look and the call.
    os.read(told, 1)


class Storm:
    """Raises at everything."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __call__(self, *_: object) -> Any:
        raise RecursionError

    def __repr__(self) -> str:
        raise MemoryError

    __str__ = __repr__


class ThunderingHandler(logging.Handler):
    """A log handler of the application that fails."""

    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("no space for logs")


def storm_of_exceptions(arguments: Arguments) -> None:
    """Let everything raise at once, for every other record: values, processors, sinks beside, log handlers, tasks."""
    logging.raiseExceptions = False
    logging.getLogger("aicore_obs").addHandler(ThunderingHandler())

    class Sick:
        name = "sick:sink"
        turn = 0

        async def open(self) -> None:
            self.turn += 1
            raise (OSError, SystemExit, RecursionError, asyncio.CancelledError)[self.turn % 4]

        async def write(self, batch: object) -> None:
            raise AssertionError

        async def aclose(self) -> None:
            raise KeyboardInterrupt

    def stormy(one: Any) -> Any:
        if one.session_id == "storm":
            raise (ValueError, KeyboardInterrupt, StopIteration, GeneratorExit)[hash(one.id) % 4]
        return one

    collector = LlmOperationCollector(**arguments, sinks=[Sick()], processors=[stormy])
    for number in range(300):
        said(collector.record_completion(request(number, "calm"), response=Storm(), extras={"storm": Storm()}))
        collector.record_completion(request(number, "storm"), session_id="storm", error=Storm())  # type: ignore[arg-type]
    (well,) = (name for name in collector.stats().sinks if name != Sick.name)
    wait_until(lambda: not collector.stats().sinks[well].pending)
    tell(collector)
    assert not collector.close(1)


def main(name: str, arguments: str) -> None:
    """Run one program."""
    globals()[name](json.loads(arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
