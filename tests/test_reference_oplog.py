"""This module is where the reference document of the oplog door is run, block by block, as a reader would type it.

The document is in ``tests/fixtures/reference``. :data:`CHANGES` lists all that is changed in it before it runs.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aicore_obs.oplog import default
from aicore_obs.reading import open_collectors
from tests.code_blocks import CodeBlock, code_blocks, run_block

PAGE = Path(__file__).parent / "fixtures" / "reference" / "oplog.md"
HERE = "sqlite:///traces.db"
TRACES = 'backend="sqlite:///traces.db"'

# Block number → (old, new) pairs; each old text stands in that block exactly once.
CHANGES: dict[int, list[tuple[str, str]]] = {
    0: [("from oplog import", "from aicore_obs.oplog import"), (TRACES, 'backend="{backend}"')],
    1: [(TRACES, 'backend="{backend}"')],
    2: [  # an indented chain
        ('op("operation_type")        # Start building an operation\n', '(op("operation_type")\n'),
        (".save()                 # Persist and return operation ID", ".save())"),
        # placeholders
        ("    .input(**kwargs)        #", "    .input(**{{'query': 'q'}})        #"),
        ("    .output(**kwargs)       #", "    .output(**{{'score': 1}})       #"),
        ("    .meta(**kwargs)         #", "    .meta(**{{'latency_ms': 42}})         #"),
    ],
    3: [
        ("    op(...).save()          # seq=0", "    op('first').save()"),
        ("    op(...).save()          # seq=1", "    op('second').save()"),
    ],
    4: [  # placeholders
        ('run_id="...",           # Filter by run', "run_id=r.id,"),
        ("db.flag(ids=[...], ", "db.flag(ids=[a_id], "),
        ('db.flag(run_id="...", ', "db.flag(run_id=r.id, "),
        ("db.unflag(ids=[...])", "db.unflag(ids=[a_id])"),
        ('db.unflag(run_id="...")', "db.unflag(run_id=r.id)"),
    ],
    5: [],
    6: [  # placeholders
        ("from oplog import Tracer", "from aicore_obs.oplog import Tracer"),
        (TRACES, 'backend="{backend}"'),
        ('tracer.op("classify").input(...)', "tracer.op('classify').input(text='a')"),
        ('tracer.op("rerank").input(...)', "tracer.op('rerank').input(text='b')"),
    ],
}


@pytest.fixture(params=["sqlite", "postgresql", "jsonl", "json"])
def backend(request: pytest.FixtureRequest) -> str:
    """Every kind of store; the document's own is the first."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return HERE if request.param == "sqlite" else f"deep/traces.{request.param}"


@pytest.fixture
def blocks(backend: str) -> list[CodeBlock]:
    """The Python blocks of the document, changed as :data:`CHANGES` says."""
    found = [block for block in code_blocks(PAGE.read_text(encoding="utf-8")) if block.language == "python"]
    return [_changed(block, CHANGES[number], backend) for number, block in enumerate(found)]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names of the page, in an empty directory; what the page leaves open is closed, as at the program's end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    names: dict[str, Any] = {}
    yield names
    names.clear()
    default.close()
    for collector in list(open_collectors):
        collector.close()


def _changed(block: CodeBlock, changes: list[tuple[str, str]], backend: str) -> CodeBlock:
    code = block.code
    for old, new in changes:
        assert code.count(old) == 1, f"line {block.line}: {old!r} stands there {code.count(old)} times"
        code = code.replace(old, new.format(backend=backend))
    return block._replace(code=code)


def _run(blocks: list[CodeBlock], page: dict[str, Any], *numbers: int) -> None:
    for number in numbers:
        run_block(blocks[number], page, page=PAGE)


def test_every_block_is_run(blocks: list[CodeBlock]) -> None:
    """The list of changes names every block of the document, and the test below runs all of them."""
    assert len(blocks) == len(CHANGES)


def test_the_page_runs_from_top_to_bottom(blocks: list[CodeBlock], page: dict[str, Any]) -> None:
    """All blocks run in order, with the names that the blocks before them made, and do what the page says."""
    _run(blocks, page, 0)
    [exported] = [json.loads(line) for line in Path("training_data.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (exported["operation"], exported["seq"], exported["run_id"]) == ("rerank", 1, page["r"].id)
    assert exported["meta"] == {"strategy": "rerank_v2", "experiment": "exp_042", "latency_ms": 42}
    assert [flag["note"] for flag in exported["flags"]] == ["clean example"]

    _run(blocks, page, 1, 2)
    [built] = page["db"].query(operation="operation_type")
    assert (built.model, built.inputs, built.outputs) == ("model-name", {"query": "q"}, {"score": 1})
    assert (built.meta, built.tags, built.run_id, built.seq) == ({"latency_ms": 42}, ["tag1", "tag2"], None, None)

    _run(blocks, page, 3)
    merged = page["db"].query(run_id=page["r"].id)
    assert [one.meta for one in merged] == [
        {"strategy": "methodA", "experiment_id": "exp123", "latency_ms": 42},
        {"strategy": "methodA", "experiment_id": "exp123"},
    ]
    assert [(one.operation, one.seq) for one in page["db"].query(["first", "second"])] == [("second", 1), ("first", 0)]

    page["a_id"] = merged[0].id
    _run(blocks, page, 4)
    assert page["records"] == []
    assert merged[0].flags == page["db"].get(merged[0].id).flags == []

    page["records"] = [*merged, built]
    _run(blocks, page, 5)
    assert Path("output.jsonl").read_text(encoding="utf-8").splitlines()[2] == '{"inputs.query":"q","outputs.score":1}'
    with Path("output.csv").open(encoding="utf-8", newline="") as file:
        assert [row["operation"] for row in csv.DictReader(file)] == ["test", "test", "operation_type"]
    assert page["df"].shape == (3, 12)
    assert page["dataset"].column_names == list(page["df"].columns)
    assert page["dataset"][2]["inputs"]["query"] == "q"

    _run(blocks, page, 6)
    assert [one.operation for one in page["tracer"].db.query(run_id=page["r"].id)] == ["rerank"]
    assert page["tracer"].db.query("classify", limit=1)[0].seq is None
