"""This module is where the disk is full: a batch is refused for now, and what was stored stays whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import records
from tests.databases import ROOT, Database

pytestmark = pytest.mark.skipif(os.name == "nt", reason="limits of file sizes are POSIX")

# Files of the child may grow up to a size, and not further: as on a full disk, a write gets a part or an error.
CHILD = """
import resource, signal, sys
from pathlib import Path
from aicore_obs.errors import SinkUnavailable
from tests import records
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
place = records.address(sys.argv[1], Path(sys.argv[2]))
async def work(sink):
    await sink.write(records.batch(records.operations(0)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
    while True:
        given = records.operations(3, response="x" * 300)
        await sink.write(records.batch(given))
        print(*(one.id for one in given), flush=True)
try:
    records.with_sink(place, work)
except SinkUnavailable as error:
    print("full", error, file=sys.stderr)
"""


@pytest.mark.parametrize(("kind", "size"), [("json", 20_000), ("jsonl", 20_000), ("sqlite", 400_000)])
def test_a_full_disk_leaves_a_valid_file(kind: str, size: int, tmp_path: Path) -> None:
    """The batch is refused and not rejected; when there is room again, writing goes on."""
    place = records.address(kind, tmp_path)
    child = subprocess.run(
        [sys.executable, "-c", CHILD, kind, str(tmp_path), str(size)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=200,
        check=False,
    )
    assert child.stderr.startswith("full "), child.stderr
    stored = child.stdout.split()
    assert len(stored) > 3
    assert records.kept_ids(place) == stored
    if kind == "sqlite":
        assert Database(str(place.path)).execute("PRAGMA integrity_check") == [("ok",)]
    given = records.operations(1)
    records.write(place, given)
    assert records.kept_ids(place) == [*stored, given[0].id]
