"""This module is where the observer's reference document is run, block by block, as a reader would type it.

The document is in ``tests/fixtures/reference``. :data:`CHANGES` lists all that is changed in it before it runs: the
import line, names that the document never defines, placeholders.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aicore_obs
from aicore_obs.observer import observer
from tests.code_blocks import CodeBlock, indented_blocks, run_block
from tests.model_server import ModelServer, model_server

PAGE = Path(__file__).parent / "fixtures" / "reference" / "aiobs.rst"
DOOR = ("from aiobs import observer", "from aicore_obs.observer import observer")
BOTH = ("from aiobs import observer, observe", "from aicore_obs.observer import observer, observe")
# Of the SDK, which would rather have another argument than the page's.
pytestmark = pytest.mark.filterwarnings("ignore:The generate_videos method:DeprecationWarning")

# Block number → (old, new) pairs; each old text stands in that block exactly once. None: a block for a shell.
CHANGES: dict[int, list[tuple[str, str]] | None] = {
    0: [DOOR],
    1: [DOOR],
    2: None,
    3: [],
    4: [DOOR],
    5: [DOOR],
    6: [DOOR],
    7: [DOOR],
    # A name that the page never defines; nobody waits ten seconds here.
    8: [DOOR, ("# Poll until", "import time\n# Poll until"), ("time.sleep(10)", "time.sleep(0)")],
    # A placeholder, explained beside it.
    9: [DOOR, ("image=image_object,", 'image={"image_bytes": b"png", "mime_type": "image/png"},')],
    # Names that the page never defines, for "your logic".
    10: [
        BOTH,
        ("return results", "results = [query]\n    return results"),
        ("return data", "data = {}\n    return data"),
    ],
    11: [],
    # A placeholder, and a name that the page never defines.
    12: [
        BOTH,
        ("create(...)", 'create(model="gpt-4o", messages=[{"role": "user", "content": text}])'),
        ("return process(data)", "return dict(data)"),
    ],
    13: None,
    14: None,
}
VIDEOS = (8, 9)


@pytest.fixture
def blocks() -> dict[int, CodeBlock]:
    """The Python blocks of the document, changed as :data:`CHANGES` says."""
    found = indented_blocks(PAGE.read_text(encoding="utf-8"))
    assert len(found) == len(CHANGES)
    return {number: _changed(found[number], changes) for number, changes in CHANGES.items() if changes is not None}


def _changed(block: CodeBlock, changes: list[tuple[str, str]]) -> CodeBlock:
    code = block.code
    for old, new in changes:
        assert code.count(old) == 1, f"line {block.line}: {old!r} stands there {code.count(old)} times"
        code = code.replace(old, new)
    return block._replace(code=code)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names of the page, in an empty directory, with servers of this machine in place of the providers."""
    with model_server() as server:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("LLM_OBS_OUT", raising=False)
        for name, value in _environment(server).items():
            monkeypatch.setenv(name, value)
        aicore_obs.configure()
        yield {"observer": observer, "observe": aicore_obs.observer.observe, "__name__": "page"}
        observer.reset()
        aicore_obs.get_collector().close()


def _environment(server: ModelServer) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": "sk-none",
        "OPENAI_BASE_URL": f"{server.url}/v1",
        "GEMINI_API_KEY": "none",
        "GOOGLE_GEMINI_BASE_URL": server.url,
        "GOOGLE_VERTEX_BASE_URL": server.url,
    }


# Since google-genai 3.6 videos are made on Vertex only; the blocks are the same, the client is told by the environment.
VERTEX = {"GOOGLE_GENAI_USE_VERTEXAI": "true", "GOOGLE_API_KEY": "none"}


def _export() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("llm_observability.json").read_text(encoding="utf-8"))
    return found


def _run(block: CodeBlock, page: dict[str, Any]) -> dict[str, Any]:
    run_block(block, page, page=PAGE)
    return _export()


def test_the_page_runs_from_top_to_bottom(
    blocks: dict[int, CodeBlock], page: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All blocks run in order, with the names that the blocks before them made."""
    monkeypatch.setenv("AIOBS_LABEL_ENVIRONMENT", "staging")
    for number, block in blocks.items():
        with monkeypatch.context() as environment:
            for name, value in VERTEX.items() if number in VIDEOS else ():
                environment.setenv(name, value)
            run_block(block, page, page=PAGE)


def test_session_labels(blocks: dict[int, CodeBlock], page: dict[str, Any]) -> None:
    """The session of the export has its name, the user's labels and the system's, and its times."""
    (session,) = _run(blocks[0], page)["sessions"]
    assert session["name"] == "my-session"
    assert session["labels"]["team"] == "ml-platform"
    assert session["labels"].keys() >= {"aiobs_sdk_version", "aiobs_python_version", "aiobs_hostname", "aiobs_os"}
    assert session["ended_at"] >= session["started_at"]
    assert session["meta"].keys() == {"pid", "cwd"}


def test_label_updates(blocks: dict[int, CodeBlock], page: dict[str, Any]) -> None:
    """What was replaced is gone, the system's labels are not, and the version is the one that the page prints."""
    run_block(blocks[1], page, page=PAGE)
    users = {key: value for key, value in page["labels"].items() if not key.startswith("aiobs_")}
    assert users == {"environment": "production"}
    assert page["labels"]["aiobs_sdk_version"] == aicore_obs.__version__


def test_environment_labels(
    blocks: dict[int, CodeBlock], page: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables of the shell's block are labels, and an explicit label goes before them."""
    monkeypatch.setenv("AIOBS_LABEL_ENVIRONMENT", "staging")
    monkeypatch.setenv("AIOBS_LABEL_SERVICE", "api-gateway")
    run_block(blocks[3], page, page=PAGE)
    assert page["labels"]["environment"] == "production"
    assert page["labels"]["service"] == "api-gateway"


@pytest.mark.parametrize(("number", "vectors"), [(5, 1), (6, 3)])
def test_embeddings(blocks: dict[int, CodeBlock], page: dict[str, Any], number: int, vectors: int) -> None:
    """Request, vectors, usage, times and the line of the call are in the export."""
    (event,) = _run(blocks[number], page)["events"]
    assert (event["provider"], event["api"]) == ("openai", "embeddings.create")
    assert event["request"]["model"] == "text-embedding-3-small"
    assert "Hello world" in event["request"]["input"]
    assert [one["embedding"] for one in event["response"]["data"]] == [[0.25, -0.5]] * vectors
    assert event["response"]["usage"]["total_tokens"] == 2 * vectors
    assert event["duration_ms"] > 0
    assert event["error"] is None
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    assert event["callsite"]["file"] == str(PAGE)
    assert "client.embeddings.create" in lines[event["callsite"]["line"] - 1]


def test_gemini(blocks: dict[int, CodeBlock], page: dict[str, Any]) -> None:
    """The provider has the name of the page, and the text of the answer stands beside the answer."""
    (event,) = _run(blocks[7], page)["events"]
    assert (event["provider"], event["api"]) == ("gemini", "models.generate_content")
    assert event["request"]["contents"] == "Explain quantum computing"
    assert event["response"]["text"] == "Blue."


@pytest.mark.parametrize("number", VIDEOS)
def test_videos(
    blocks: dict[int, CodeBlock], page: dict[str, Any], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operation's name is kept, with the prompt and the options that were asked for."""
    for name, value in VERTEX.items():
        monkeypatch.setenv(name, value)
    event = _run(blocks[number], page)["events"][0]
    assert event["api"] == "models.generate_videos"
    assert event["response"]["name"].endswith("/operations/abc")
    assert event["request"]["prompt"]
    if number == 9:
        assert event["request"]["config"] == {"aspect_ratio": "16:9", "resolution": "720p"}


def test_function_tracing(blocks: dict[int, CodeBlock], page: dict[str, Any]) -> None:
    """A decorated function is an event with arguments, result and the line of its definition."""
    (event,) = _run(blocks[10], page)["function_events"]
    assert (event["name"], event["args"], event["result"]) == ("research", ["What is an API?"], ["What is an API?"])
    assert event["callsite"]["file"] == str(PAGE)


def test_decorator_options(blocks: dict[int, CodeBlock], page: dict[str, Any]) -> None:
    """What is not to be captured is not in the export."""
    run_block(blocks[11], page, page=PAGE)
    observer.observe()
    page["login"]("ann", password="secret")
    page["get_large_dataset"]()
    observer.end()
    observer.flush()
    assert [(one["name"], one["args"], one["kwargs"]) for one in _export()["function_events"]] == [
        ("login", [], {}),
        ("get_large_dataset", [], {}),
    ]


def test_enhanced_prompts(blocks: dict[int, CodeBlock], page: dict[str, Any]) -> None:
    """Each call has an id of its own, all ids stand in the export, and the model call is below its function."""
    run_block(blocks[5], page, page=PAGE)
    run_block(blocks[12], page, page=PAGE)
    observer.observe()
    assert page["summarize"]("a text") == "Blue."
    assert page["analyze"]({"a": 1}) == {"a": 1}
    observer.end()
    observer.flush()
    export = _export()
    assert [one["auto_enhance_after"] for one in export["function_events"]] == [10, 5]
    ids = [one["enh_prompt_id"] for one in export["function_events"]]
    assert len(set(ids)) == 2
    assert export["enh_prompt_traces"] == ids
    assert [one["name"] for one in export["trace_tree"]] == ["summarize", "analyze"]
    assert [one["event_type"] for one in export["trace_tree"][0]["children"]] == ["provider"]


def test_output(page: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variable names the file, and an argument goes before it."""
    monkeypatch.setenv("LLM_OBS_OUT", str(tmp_path / "new" / "out.json"))
    before = time.time()
    assert observer.flush() == str(tmp_path / "new" / "out.json")
    assert observer.flush(tmp_path / "other.json") == str(tmp_path / "other.json")
    export = json.loads((tmp_path / "new" / "out.json").read_text(encoding="utf-8"))
    assert export["version"] == 1
    assert before <= export["generated_at"] <= time.time()
