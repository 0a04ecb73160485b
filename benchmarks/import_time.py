"""This module is where the cost of ``import aicore_obs`` is measured: fresh interpreters, beside an empty one.

Run with ``python benchmarks/import_time.py``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 20
PROGRAMS = {
    "an empty interpreter": "pass",
    "import msgspec, anyio (floor)": "import msgspec, anyio",
    "import aicore_obs": "import aicore_obs",
    "from aicore_obs import * (every name)": "from aicore_obs import *",
    "import polars (for comparison)": "import polars",
}


def _start_ms(program: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return (time.perf_counter() - start) * 1000


def main() -> None:
    """Print the median time per program, and what lies above an empty interpreter."""
    # The rounds are interleaved, so that a busy moment of the machine hits all alike.
    rounds = [{name: _start_ms(program) for name, program in PROGRAMS.items()} for _ in range(ROUNDS + 1)][1:]
    medians = {name: statistics.median(times[name] for times in rounds) for name in PROGRAMS}
    empty = medians["an empty interpreter"]
    for name, median in medians.items():
        print(f"{name:40} {median:8.1f} ms   +{median - empty:.1f} ms")


if __name__ == "__main__":
    main()
