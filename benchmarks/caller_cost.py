"""This module is where it is measured what a record costs its caller, beside the floor in the same run.

The floor is what nobody can do without: ``msgspec`` encode of the two payloads and one ``os.write``. Both are measured
in a tight loop and paced 1 ms apart, in turns, so that a busy moment of the machine hits both.

Run with ``python benchmarks/caller_cost.py``.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from payload import ARGUMENTS, RESPONSE

from aicore_obs import LlmOperationCollector

TIGHT = 2_000
PACED = 200
ROUNDS = 10


def _times(call: Callable[[], object], count: int, pause_s: float) -> list[int]:
    times = []
    for _ in range(count):
        if pause_s:
            time.sleep(pause_s)
        start = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - start)
    return times


def _line(name: str, times: list[int]) -> tuple[float, str]:
    times.sort()
    median, p99 = times[len(times) // 2] / 1000, times[int(len(times) * 0.99)] / 1000
    return median, f"{name:24} median {median:7.1f} µs   p99 {p99:7.1f} µs"


def main() -> None:
    """Print median and p99 of caller and floor, and the ratio of the medians."""
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    folder = Path(tempfile.mkdtemp(prefix="aicore-obs-bench-"))
    collector = LlmOperationCollector(db_url=f"sqlite:///{folder}/caller.db")
    encoder = msgspec.json.Encoder()
    fd = os.open(folder / "floor.bin", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    payload = {"completion_args": ARGUMENTS, "response": RESPONSE}

    def floor() -> None:
        os.write(fd, encoder.encode(payload))

    def record() -> None:
        collector.record_completion(ARGUMENTS, "completion", "openai", RESPONSE, 1200)

    record()
    collector.flush()
    for title, count, pause_s in (("tight loop", TIGHT, 0.0), ("1 ms apart", PACED, 0.001)):
        floors: list[int] = []
        records: list[int] = []
        for _ in range(ROUNDS):
            floors += _times(floor, count, pause_s)
            records += _times(record, count, pause_s)
            if not pause_s:
                # The writer's own work is measured end to end elsewhere; here the question is the caller's path.
                collector.flush()
        floor_median, floor_line = _line(f"{title}: floor", floors)
        record_median, record_line = _line(f"{title}: record", records)
        print(floor_line, record_line, f"ratio {record_median / floor_median:.2f}", sep="\n")
    collector.close()
    os.close(fd)


if __name__ == "__main__":
    main()
