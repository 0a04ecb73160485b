"""This module is where it is measured what a record costs its caller.

The floor is what nobody can do without: ``msgspec`` encode of the two payloads (of an SDK's object its own
``model_dump_json``) and one ``os.write``. Floor and record take turns inside one process, so that a busy moment of the
machine hits both. Between blocks the collector is flushed: the writer's own work is measured end to end elsewhere.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from aicore_obs.oplog import Tracer
from benchmarks.figures import Taken, percentiles
from benchmarks.payload import ARGUMENTS, RESPONSE
from benchmarks.sdk_object import sdk_response
from benchmarks.turns import Case, Stage

Call = Callable[[], object]
THREADS = 8
WAYS = ("sync", "async", f"{THREADS} threads")
# The same call through the oplog door; what it adds does not depend on payload and pace.
SAVE = "oplog save"
# Of a process that only appends; what others deliver costs it nothing.
APPEND = "writer elsewhere"
PAYLOADS = ("dict", "SDK object")
PACES = {"tight loop": 0.0, "1 ms apart": 0.001}
FLOOR = "encode + os.write"


# Each way, payload and pace once.
QUICK = {("sync", "dict", "tight loop"), ("async", "SDK object", "tight loop"), (WAYS[-1], "dict", "1 ms apart")}


def cases(stage: Stage) -> Sequence[Case]:
    counts = {"tight loop": stage.size(full=4_000, quick=400), "1 ms apart": stage.size(full=500, quick=50)}
    chosen = [*itertools.product(WAYS, PAYLOADS, PACES), (SAVE, "dict", "tight loop"), (APPEND, "dict", "tight loop")]
    return [
        Case(
            name=f"{way}, {payload}, {pace}",
            ours="benchmarks.caller:turn",
            given={"way": way, "payload": payload, "pause_s": PACES[pace], "count": counts[pace], "blocks": 3},
            floor_is=FLOOR,
        )
        for way, payload, pace in chosen
        if not stage.quick or (way, payload, pace) in QUICK
    ]


def turn(*, way: str, payload: str, pause_s: float, count: int, blocks: int, folder: str) -> list[Taken]:
    """Take floor and record in alternate blocks of ``count`` calls, and return the times of all calls."""
    response = RESPONSE if payload == "dict" else sdk_response()
    fd = os.open(Path(folder, "floor.bin"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    floor = floor_of(fd, response)
    floors: list[int] = []
    records: list[int] = []
    measure = _WAYS[way]
    with Tracer(backend=f"sqlite:///{folder}/caller.db", writer=_WRITERS.get(way, "internal")) as tracer:
        collector = tracer.collector
        inputs = {name: value for name, value in ARGUMENTS.items() if name != "model"}

        def record() -> object:
            return collector.record_completion(ARGUMENTS, "completion", "openai", response, 1200)

        def arecord() -> Awaitable[object]:
            return collector.arecord_completion(ARGUMENTS, "completion", "openai", response, 1200)

        def save() -> object:
            described = tracer.op("completion").model(ARGUMENTS["model"]).provider("openai").input(**inputs)
            return described.output(**response).meta(latency_ms=1200).save()

        call: Call = {"async": arecord, SAVE: save}.get(way, record)
        for block in range(blocks + 1):
            found = measure(floor, count, pause_s), measure(call, count, pause_s)
            if way != APPEND and not collector.flush(60):
                raise SystemExit(f"not everything arrived: {collector.stats()}")
            # The first block warms up.
            if block:
                floors += found[0]
                records += found[1]
    os.close(fd)
    return percentiles(records, floors)


def floor_of(fd: int, response: Any) -> Call:
    """Return the floor: encode and write."""
    encoder = msgspec.json.Encoder(enc_hook=lambda given: msgspec.Raw(given.model_dump_json().encode()))
    content = {"completion_args": ARGUMENTS, "response": response}
    return lambda: os.write(fd, encoder.encode(content))


def sync_times(call: Call, count: int, pause_s: float) -> list[int]:
    """Return the nanoseconds that each of ``count`` calls took."""
    times = []
    for _ in range(count):
        if pause_s:
            time.sleep(pause_s)
        start = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - start)
    return times


def _async_times(call: Call, count: int, pause_s: float) -> list[int]:
    async def all_of_them() -> list[int]:
        times = []
        for _ in range(count):
            if pause_s:
                await asyncio.sleep(pause_s)
            start = time.perf_counter_ns()
            outcome = call()
            if isinstance(outcome, Awaitable):
                await outcome
            times.append(time.perf_counter_ns() - start)
        return times

    return asyncio.run(all_of_them())


def _thread_times(call: Call, count: int, pause_s: float) -> list[int]:
    times: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: times.append(sync_times(call, count // THREADS, pause_s)))
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return list(itertools.chain.from_iterable(times))


_WAYS = dict(zip((*WAYS, SAVE, APPEND), (sync_times, _async_times, _thread_times, sync_times, sync_times), strict=True))
_WRITERS = {APPEND: "external"}
