"""This module is where the collector's reference document is run, block by block, as a reader would type it.

The document is in ``tests/fixtures/reference``. :data:`CHANGES` lists all that is changed in it before it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from aicore_obs import LlmOperationCollector
from aicore_obs.reading import open_collectors
from aicore_obs.web import LlmOperationMiddleware
from tests.code_blocks import CodeBlock, code_blocks, run_block

PAGE = Path(__file__).parent / "fixtures" / "reference" / "llm_operation_collector.md"
IMPORT = ("from aicore.observability import LlmOperationCollector", "from aicore_obs import LlmOperationCollector")

# Block number → (old, new) pairs; each old text stands in that block exactly once.
CHANGES: dict[int, list[tuple[str, str]]] = {
    0: [IMPORT],
    1: [  # a placeholder
        (
            "await collector.arecord_completion(...)",
            'await collector.arecord_completion({"model": "gpt-4"}, "completion", "openai", {"choices": []}, 900)',
        ),
    ],
    2: [  # a name that the page never defines; a parenthesis that is never closed
        ('storage_path="operations.json")', 'storage_path="operations.json")\nimport polars as pl'),
        ('(pl.col("latency_ms") < 1000)', '(pl.col("latency_ms") < 1000))'),
    ],
    3: [("postgresql://user:pass@localhost/db", "{postgres_url}")],  # a URL
    4: [  # a placeholder; a name that the page never defines
        ("    ...,", '    {"model": "gpt-4"},'),
        ("# Query custom metrics", "import polars as pl"),
    ],
    5: [],
    6: [
        IMPORT,
        # names that the page never defines
        ("from fastapi import Request", "import time\nfrom fastapi import FastAPI, Request\napp = FastAPI()"),
        # two mistakes: a state cannot be asked like this everywhere, and a response that is sent has no json()
        ('"llm_operation" in request.state', 'hasattr(request.state, "llm_operation")'),
        ("response=response.json()", "response=request.state.llm_response"),
    ],
}


@pytest.fixture
def blocks(postgres_url: str) -> list[CodeBlock]:
    """The Python blocks of the document, changed as :data:`CHANGES` says."""
    found = [block for block in code_blocks(PAGE.read_text(encoding="utf-8")) if block.language == "python"]
    return [_changed(block, CHANGES[number], postgres_url) for number, block in enumerate(found)]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names of the page, in an empty directory; what the page leaves open is closed, as at the program's end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path / "state"))
    # What the first block imports, for tests that begin with another one.
    names: dict[str, Any] = {"LlmOperationCollector": LlmOperationCollector}
    yield names
    names.clear()
    for collector in list(open_collectors):
        collector.close()


def _changed(block: CodeBlock, changes: list[tuple[str, str]], postgres_url: str) -> CodeBlock:
    code = block.code
    for old, new in changes:
        assert code.count(old) == 1, f"line {block.line}: {old!r} stands there {code.count(old)} times"
        code = code.replace(old, new.format(postgres_url=postgres_url) if "{postgres_url}" in new else new)
    return block._replace(code=code)


def test_every_block_is_run(blocks: list[CodeBlock]) -> None:
    """The list of changes names every block of the document, and the tests below use all of them."""
    assert len(blocks) == len(CHANGES)


def test_the_page_runs_from_top_to_bottom(blocks: list[CodeBlock], page: dict[str, Any]) -> None:
    """All blocks run in order, with the names that the blocks before them made."""
    for block in blocks:
        run_block(block, page, page=PAGE)


def test_initialising_and_recording(blocks: list[CodeBlock], page: dict[str, Any], tmp_path: Path) -> None:
    """Both recordings, sync and async, are in both stores of the second collector; the first made no second file."""
    run_block(blocks[0], page, page=PAGE)
    run_block(blocks[1], page, page=PAGE)
    assert page["collector"].flush()

    for frame in (
        LlmOperationCollector.polars_from_file("custom_path.json"),
        LlmOperationCollector.polars_from_db("sqlite:///llm_metrics.db"),
    ):
        assert frame["latency_ms"].to_list() == [1200, 900]
        assert frame["total_tokens"].to_list() == [15, None]
        assert frame["extras"].struct.field("custom_metric").to_list() == ["value", None]


def test_json_file(blocks: list[CodeBlock], page: dict[str, Any]) -> None:
    """A file that the collector was just given reads as an empty frame, and then has what was recorded."""
    run_block(blocks[2], page, page=PAGE)
    assert page["df"].is_empty()

    page["collector"].record_completion({"model": "gpt-4"}, provider="openai", latency_ms=999)
    page["collector"].record_completion({"model": "gpt-4"}, provider="openai", latency_ms=1000)
    run_block(blocks[2], page, page=PAGE)
    assert page["df"]["latency_ms"].to_list() == [999]


def test_sql_database(blocks: list[CodeBlock], page: dict[str, Any]) -> None:
    """On the class, the database that is read is that of the open collector; the filters choose."""
    run_block(blocks[3], page, page=PAGE)
    assert page["df"].is_empty()

    usage = {"usage": {"prompt_tokens": 8, "completion_tokens": 4}}
    for timestamp in ("2022-12-31T23:59:59", "2023-12-31T23:59:59", "2024-01-01"):
        page["collector"].record_completion({}, provider="openai", response=usage, timestamp=timestamp)
    page["collector"].record_completion({}, provider="openai", timestamp="2023-06-01")
    run_block(blocks[3], page, page=PAGE)
    assert page["df"]["timestamp"].dt.year().to_list() == [2023]
    assert page["df"]["total_tokens"].to_list() == [12]


def test_extras_and_schema(blocks: list[CodeBlock], page: dict[str, Any]) -> None:
    """Extras come back as fields; the schema's verbs work on the collector of the page."""
    run_block(blocks[3], page, page=PAGE)
    run_block(blocks[4], page, page=PAGE)
    assert page["df"]["extras"].struct.field("classification").to_list() == ["support"]

    run_block(blocks[5], page, page=PAGE)
    assert page["version"] >= 1


async def _ask(app: Any) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        assert (await client.post("/chat")).status_code == 200


def _set_state(request: Request) -> None:
    request.state.llm_operation = "completion"
    request.state.llm_args = {"model": "gpt-4"}
    request.state.llm_provider = "openai"


def test_middleware_block(blocks: list[CodeBlock], page: dict[str, Any]) -> None:
    """The document's own middleware, mended, records what an endpoint put on the request."""
    run_block(blocks[6], page, page=PAGE)

    @page["app"].post("/chat")
    async def chat(request: Request) -> dict[str, str]:
        _set_state(request)
        request.state.llm_response = {"id": "resp-1"}
        return {}

    asyncio.run(_ask(page["app"]))
    assert page["collector"].polars_from_db()["response_id"].to_list() == ["resp-1"]


def test_middleware_of_the_package(tmp_path: Path) -> None:
    """What that block is meant to do: the operation has the state's values and the JSON that was answered."""
    app = FastAPI()
    collector = LlmOperationCollector(db_url=f"sqlite:///{tmp_path}/calls.db")
    app.add_middleware(LlmOperationMiddleware, collector=collector)

    @app.post("/chat")
    async def chat(request: Request) -> dict[str, Any]:
        _set_state(request)
        return {"id": "resp-2", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}

    asyncio.run(_ask(app))
    with collector:
        frame = collector.polars_from_db()
    assert frame.select("model", "provider", "response_id", "total_tokens", "status").rows() == [
        ("gpt-4", "openai", "resp-2", 7, "ok")
    ]
    assert frame["latency_ms"].is_between(0, 60_000).all()
