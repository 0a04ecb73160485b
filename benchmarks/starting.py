"""This module is where the cost of ``import aicore_obs`` and of a first record is measured: fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Taken
from benchmarks.turns import ROOT, Case, Stage

# What is imported, and what it is set beside.
IMPORTS = {
    "import aicore_obs": "pass",
    "from aicore_obs import *": "import msgspec, anyio",
    "import aicore_obs, polars": "import polars",
}
_FIRST = """
import sys, time
from benchmarks.payload import ARGUMENTS, RESPONSE
{begin}
accepted = time.perf_counter()
{store}
stored = time.perf_counter()
print(accepted - float(sys.argv[1]), stored - float(sys.argv[1]))
"""
_OURS = _FIRST.format(
    begin="""
from aicore_obs import LlmOperationCollector
collector = LlmOperationCollector(db_url="sqlite:///" + sys.argv[2])
collector.record_completion(ARGUMENTS, "completion", "openai", RESPONSE, 1200)
""",
    store="assert collector.flush()",
)
_RAW = _FIRST.format(
    begin="""
import json, os
fd = os.open(sys.argv[2] + ".bin", os.O_WRONLY | os.O_CREAT, 0o600)
os.write(fd, json.dumps([ARGUMENTS, RESPONSE]).encode())
""",
    store="""
import sqlite3
connection = sqlite3.connect(sys.argv[2])
connection.execute("CREATE TABLE records (body TEXT)")
connection.execute("INSERT INTO records VALUES (?)", [json.dumps([ARGUMENTS, RESPONSE])])
connection.commit()
""",
)


def cases(stage: Stage) -> Sequence[Case]:
    repeats = stage.size(full=4, quick=1)
    imports = [
        Case(
            name=program,
            ours="benchmarks.starting:import_turn",
            given={"program": program, "beside": beside, "repeats": repeats},
            floor_is=beside,
        )
        for program, beside in IMPORTS.items()
    ]
    first = Case(
        name="a first record in a new process, SQLite",
        ours="benchmarks.starting:first_turn",
        given={"repeats": repeats},
        floor_is="json + os.write; sqlite3",
    )
    return [*imports, first]


def import_turn(*, program: str, beside: str, repeats: int, folder: str) -> list[Taken]:
    """Return how long an interpreter lives that only imports; the best of some, in turns."""
    del folder
    # The first reads the files from the disk.
    times = [(_lifetime_ms(beside), _lifetime_ms(program)) for _ in range(repeats + 1)][1:]
    floor, ours = (min(some) for some in zip(*times, strict=True))
    return [Taken(what="wall", unit="ms", value=ours, floor=floor)]


def _lifetime_ms(program: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    return (time.perf_counter() - start) * 1000


def first_turn(*, repeats: int, folder: str) -> list[Taken]:
    """Return how long after its start a process has its first record accepted, and stored."""
    pairs = [(_first_ms(_RAW, Path(folder, f"raw{n}")), _first_ms(_OURS, Path(folder, f"{n}"))) for n in range(repeats)]
    return [
        Taken(
            what=what,
            unit="ms",
            value=min(ours[index] for _, ours in pairs),
            floor=min(raw[index] for raw, _ in pairs),
        )
        for index, what in enumerate(("accepted", "stored"))
    ]


def _first_ms(program: str, path: Path) -> tuple[float, float]:
    # The clock of perf_counter is one for all processes of a machine.
    start = time.perf_counter()
    command = [sys.executable, "-c", program, repr(start), f"{path}.db"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    accepted, stored = map(float, done.stdout.split())
    return accepted * 1000, stored * 1000
