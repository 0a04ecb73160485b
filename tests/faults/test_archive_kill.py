"""This module is where archiving is killed at each of its steps, one after the other, and then finished."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from aicore_obs import archive, scan
from aicore_obs.model.cost import Cost
from aicore_obs.model.record import Record
from aicore_obs.protocols import Address
from aicore_obs.stores.archive.manifest import read
from tests import records
from tests.databases import ROOT

OLD = records.WHEN - timedelta(days=100)
CUT = records.WHEN - timedelta(days=50)
COUNT = 1_200
# Dies by its own hand at the n-th call of a function of the package, or when it says for the n-th time how far it is.
PROGRAM = """
import importlib, os, signal, sys
from aicore_obs import archive
store, to, before, module, path, nth = sys.argv[1:]
left = [int(nth)]
def count():
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
def watch(owner, name):
    work = getattr(owner, name)
    def counted(*args, **options):
        count()
        return work(*args, **options)
    setattr(owner, name, counted)
if module != "tell":
    *owners, name = path.split(".")
    owner = importlib.import_module(f"aicore_obs.stores.{module}")
    watch(getattr(owner, owners[0]) if owners else owner, name)
archive(store, before=before, to=to, tell=lambda words, done: count() if (module, words) == ("tell", path) else None)
"""
# What is there then: module, function, call. Few of a kind, since each is a process; the order of work is one for all.
STEPS = {
    "sqlite": {
        "a file is written, read back, and has its name": ("archive.files", "sync_folder", 1),
        "it is in the manifest, and the next one half written": ("tell", "archiving", 1),
        "a part is deleted, and the next one begins": ("sql.archiving", "SqlOrigin._give", 2),
    },
    "postgresql": {"a part is being deleted": ("sql.archiving", "SqlOrigin._delete", 2)},
    "jsonl": {
        "a file is written": ("archive.files", "verify", 1),
        "the store's file is locked, to be written anew": ("json_archiving", "written", 1),
    },
}


def killed(place: Address, to: Path, step: tuple[str, str, int]) -> None:
    """Archive in a process that ends at a step."""
    arguments = (str(place.url or place.path), str(to), CUT.isoformat(), *map(str, step))
    child = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT, capture_output=True, check=False)
    assert child.returncode == -signal.SIGKILL, (step, child.stderr.decode())


@pytest.mark.parametrize("kind", list(STEPS))
def test_a_kill_at_any_step_loses_nothing(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """After each kill store and archive show what the store showed; at last the operations have left, each once."""
    url: str | None = request.getfixturevalue("postgres_url") if kind == "postgresql" else None
    place, to = records.address(kind, tmp_path, url), tmp_path / "archive"
    # Two months, so that there are two files.
    found = [
        records.operation(timestamp=OLD - timedelta(days=30 * (number % 2)), seq=number) for number in range(COUNT)
    ]
    said: list[Record] = [
        *(records.flag(*found[number : number + 3], reason="good") for number in range(0, COUNT, 100)),
        *(records.revision(one, Cost(source="a-book", reason="unknown")) for one in found[::7]),
    ]
    records.write(place, [*found, *said, records.operation()])
    before = scan(place).collect()
    flagged = scan(place, flagged_for="good").collect()
    for name, step in STEPS[kind].items():
        killed(place, to, step)
        if (to / "manifest.json").exists():
            assert_frame_equal(scan(place, archive=to).collect(), before), name
            assert_frame_equal(scan(place, archive=to, flagged_for="good").collect(), flagged), name
    archive(place, before=CUT, to=to)
    assert_frame_equal(scan(place, archive=to).collect(), before)
    assert_frame_equal(scan(place, archive=to, flagged_for="good").collect(), flagged)
    assert len(records.kept_ids(place)) == 1
    files = read(to).files
    assert sum(file.rows for file in files) == COUNT
    # Nothing of the runs that were killed is left.
    assert {path.name for path in to.glob("month=*/*")} == {Path(file.path).name for file in files}
