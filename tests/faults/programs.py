"""This module is where programs that fork, exit and die are kept, each a function; tests run them in a process each.

``python -m tests.faults.programs NAME ARGUMENTS`` with the collector's arguments as JSON. Each writes the ids that it
was given to the standard output, one a line.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from aicore_obs import LlmOperationCollector
from tests.faults.law import assert_nothing_lost, wait_until
from tests.faults.recorder import request, said

RECORDS = 50
WORKERS = 3
FORKS = 6
ROUNDS = 60
MORE_BYTES = 16 * 1024 * 1024
BURSTS = 20
FLUSH_S = 100.0
INTERRUPTS = 500
# A gather so long that what was recorded is still in the journal when the process dies.
NEVER_S = 600.0
Arguments = dict[str, Any]


def record(collector: LlmOperationCollector, who: str = "main", count: int = RECORDS) -> None:
    """Record ``count`` calls and say each id."""
    for number in range(count):
        said(collector.record_completion(request(number, who), response={"text": "because"}))


def child_exited_well(pid: int) -> None:
    """Wait for a forked child; fail when it failed."""
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def forked(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked child that ends as a program ends; return its pid."""
    pid = os.fork()
    if pid == 0:
        work()
        sys.exit(0)
    return pid


# -- exits -------------------------------------------------------------------------------------------------------------


def end_without_close(arguments: Arguments) -> None:
    """Record and fall off the end."""
    record(LlmOperationCollector(**arguments))


def end_with_an_exception(arguments: Arguments) -> None:
    """Record and die of a mistake of one's own."""
    record(LlmOperationCollector(**arguments))
    raise SystemExit(3)


def end_under_a_thread(arguments: Arguments) -> None:
    """Fall off the end while a thread, which the interpreter waits for, goes on recording."""
    collector = LlmOperationCollector(**arguments)
    record(collector)
    threading.Thread(target=lambda: threading.main_thread().join() or record(collector, "late")).start()


def end_and_record_at_exit(arguments: Arguments) -> None:
    """Record in an exit handler of one's own."""
    import atexit

    collector = LlmOperationCollector(**arguments)
    record(collector)
    atexit.register(record, collector, "atexit")


def sys_exit_in_a_thread(arguments: Arguments) -> None:
    """Leave a thread by sys.exit right after recording."""
    collector = LlmOperationCollector(**arguments)

    def work() -> None:
        record(collector)
        sys.exit(5)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def exit_at_once(arguments: Arguments) -> None:
    """Record and leave without any cleaning up."""
    record(LlmOperationCollector(**arguments, batch_interval_s=NEVER_S))
    os._exit(0)


def loop_that_ends_at_once(arguments: Arguments) -> None:
    """Record from a loop that is closed right after, and from another one, under the same collector."""
    collector = LlmOperationCollector(**arguments)

    async def work(who: str) -> None:
        for number in range(RECORDS):
            said(await collector.arecord_completion(request(number, who)))

    asyncio.run(work("first"))
    asyncio.run(work("second"))


def loop_stopped_in_the_middle(arguments: Arguments) -> None:
    """Stop a loop by force while tasks of it record and flush."""
    collector = LlmOperationCollector(**arguments)
    loop = asyncio.new_event_loop()

    async def work() -> None:
        for number in range(RECORDS):
            said(await collector.arecord_completion(request(number, "stopped")))
        flushing = asyncio.ensure_future(collector.aflush(80))
        await asyncio.sleep(0)
        loop.stop()
        await flushing

    task = loop.create_task(work())
    loop.run_forever()
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    record(collector, "after")


def interrupted_at_random(arguments: Arguments) -> None:
    """Record while a timer's handler raises again and again in the middle of it."""
    collector = LlmOperationCollector(**arguments)

    class Interrupt(BaseException):
        pass

    left = [INTERRUPTS]

    def interrupt(_: int, frame: FrameType | None) -> None:
        if left[0] and frame is not None and "/aicore_obs/" in frame.f_code.co_filename:
            left[0] -= 1
            raise Interrupt

    given: list[str | None] = []
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
    while left[0] > 0:
        try:
            given.append(collector.record_completion(request(len(given), "interrupted")))
        except Interrupt:
            continue
    signal.setitimer(signal.ITIMER_REAL, 0)
    for record_id in given:
        said(record_id)
    assert collector.flush(80), collector.stats()
    os.write(2, f"{collector.stats().sinks}\n".encode())


# -- forks -------------------------------------------------------------------------------------------------------------


def fork_after_recording(arguments: Arguments) -> None:
    """Fork while the writer runs; both record; the child ends first and as programs end; the parent goes on."""
    collector = LlmOperationCollector(**arguments)
    record(collector)
    assert collector.flush(80), collector.stats()
    child_exited_well(forked(lambda: record(collector, "child")))
    record(collector, "parent")
    assert collector.flush(5), collector.stats()
    assert all(sink.last_error is None for sink in collector.stats().sinks.values()), collector.stats()


def fork_before_recording(arguments: Arguments) -> None:
    """Make the collector, fork, and record only in the children."""
    collector = LlmOperationCollector(**arguments)
    for pid in [forked(lambda: record(collector, "child")) for _ in range(WORKERS)]:
        child_exited_well(pid)


def fork_of_a_fork(arguments: Arguments) -> None:
    """Three generations record, each after the fork."""
    collector = LlmOperationCollector(**arguments)
    record(collector)

    def child() -> None:
        record(collector, "child")
        child_exited_well(forked(lambda: record(collector, "grandchild")))

    child_exited_well(forked(child))


def fork_beside_recording_threads(arguments: Arguments) -> None:
    """Fork again and again while threads are in the middle of an append, holding its locks."""
    collector = LlmOperationCollector(**arguments)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            record(collector, "beside", 1)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()

    def child() -> None:
        collector.stats()
        record(collector, "child", 5)

    children = [forked(child) for _ in range(FORKS)]
    stop.set()
    for pid in children:
        child_exited_well(pid)
    for thread in threads:
        thread.join()


def fork_into_threads(arguments: Arguments) -> None:
    """Let several threads of a forked child make their first record at the same moment."""
    collector = LlmOperationCollector(**arguments)
    record(collector)

    def child() -> None:
        together = threading.Barrier(4)
        threads = [threading.Thread(target=lambda: together.wait(90) + 1 and record(collector)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    for _ in range(5):
        child_exited_well(forked(child))


def record_in_child(arguments: Arguments) -> None:
    """What a child of multiprocessing does: it has a collector of its own, and ends without closing it."""
    record(LlmOperationCollector(**arguments), "process")


def children_of_multiprocessing(arguments: Arguments) -> None:
    """Start children by the method that is asked for; they record, and skip exit handlers."""
    method = arguments.pop("method")
    context: Any = multiprocessing.get_context(method)
    collector = LlmOperationCollector(**arguments)
    record(collector)
    children = [context.Process(target=record_in_child, args=(arguments,)) for _ in range(WORKERS)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
        assert child.exitcode == 0, child.exitcode


def prefork(arguments: Arguments) -> None:
    """A server that records, forks workers and waits to be killed; they record, and flush when they are told to."""
    collector = LlmOperationCollector(**arguments, batch_interval_s=NEVER_S)
    # The first batch of a process is not gathered.
    record(collector, count=1)
    collector.flush(80)
    record(collector)

    def worker() -> None:
        record(collector, "worker")
        os.read(0, 1)
        flushed = collector.flush(80)
        os.write(2, f"flushed {flushed.ok}\n".encode())

    for _ in range(WORKERS):
        forked(worker)
    signal.pause()


# -- processes that only append ----------------------------------------------------------------------------------------


def append_and_flush(arguments: Arguments) -> None:
    """Record in bursts while the law is looked at, and flush: what others have stored is known to the last record."""
    collector = LlmOperationCollector(**arguments)
    for _ in range(BURSTS):
        record(collector, "appends")
        assert_nothing_lost(collector.stats())
    assert collector.flush(FLUSH_S), collector.stats()
    stats = collector.stats()
    assert_nothing_lost(stats)
    assert [one.stored for one in stats.sinks.values()] == [BURSTS * RECORDS] * len(stats.sinks), stats
    assert collector.close()


def append_and_fork(arguments: Arguments) -> None:
    """Record, fork workers that record and flush, as a preloading server does."""
    collector = LlmOperationCollector(**arguments)
    record(collector)

    def child() -> None:
        record(collector, "child")
        assert collector.flush(FLUSH_S), collector.stats()

    for pid in [forked(child) for _ in range(WORKERS)]:
        child_exited_well(pid)
    assert collector.flush(FLUSH_S), collector.stats()


# -- collectors --------------------------------------------------------------------------------------------------------


def two_hundred_collectors(arguments: Arguments) -> None:
    """Open, use and close a collector 200 times; threads, files and memory in the end as after the first few."""
    import psutil

    process = psutil.Process()

    def held() -> tuple[int, int]:
        return process.num_threads(), process.num_fds()

    def use() -> None:
        with LlmOperationCollector(**arguments) as collector:
            record(collector, "one of many", 2)

    for _ in range(20):
        use()
    before, bytes_before = held(), process.memory_info().rss
    for _ in range(180):
        use()
    assert process.memory_info().rss - bytes_before < MORE_BYTES
    # A thread that Python has joined may still be on its way out of the system.
    wait_until(lambda: all(now <= then for now, then in zip(held(), before, strict=True)))


def come_and_go(arguments: Arguments) -> None:
    """Open, use and close a collector again and again, beside others that do the same."""
    for _ in range(ROUNDS):
        with LlmOperationCollector(**arguments) as collector:
            record(collector, "come and go", 1)


def without_descriptors(arguments: Arguments) -> None:
    """Make a collector when the process may open no file any more; say which durability it has."""
    import resource

    from aicore_obs.errors import DurabilityError
    from tests.faults.sinks import Healthy

    LlmOperationCollector(sinks=[Healthy("before")], **arguments).close()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    collector = LlmOperationCollector(sinks=[Healthy()], **arguments)
    print(collector.stats().durability)
    try:
        LlmOperationCollector(sinks=[Healthy("other")], durability="process", **arguments)
    except DurabilityError as error:
        print(type(error).__name__)
    os._exit(0) if sys.stdout.flush() is None else None


def main(name: str, arguments: str) -> None:
    """Run one program."""
    globals()[name](json.loads(arguments))


if __name__ == "__main__":
    # Children that are spawned import this module by name and not as __main__.
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import tests.faults.programs as programs

    programs.main(*sys.argv[1:])
