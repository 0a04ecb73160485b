"""This module is where the programs in ``examples/`` are run as their first lines say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import aicore_obs
from examples import agent, fastapi_app, observed_chat
from tests.model_server import model_server
from tests.observed import observing
from tests.web_server import served


def test_fastapi_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of recording are in the store when the server has stopped, with user, route and tokens."""
    monkeypatch.chdir(tmp_path)
    aicore_obs.configure()
    with served(fastapi_app.app) as url:
        answer = httpx.post(f"{url}/ask", json="hello", headers={"x-user": "ann"})
        assert answer.json()["choices"][0]["message"]["content"] == "Good day."
        assert httpx.post(f"{url}/stream/tea").text == "Good day."

    frame = aicore_obs.LlmOperationCollector.polars_from_db()
    assert frame.select("user_id", "model", "total_tokens").rows() == [
        ("ann", "gpt-4o-mini", 14),
        (None, "gpt-4o-mini", 14),
    ]
    assert frame["extras"].struct.field("http_route").to_list() == ["/ask", "/stream/{topic}"]


def test_fastapi_app_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second life of the application in one process records like the first."""
    monkeypatch.chdir(tmp_path)
    aicore_obs.configure()
    for _ in range(2):
        with served(fastapi_app.app) as url:
            assert httpx.post(f"{url}/ask", json="hello").status_code == 200
    assert aicore_obs.LlmOperationCollector.polars_from_db().height == 2


def test_oplog_program(tmp_path: Path) -> None:
    """Each question is a run of its own, and the training file has what was asked and answered in it."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "examples.oplog_program"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment, timeout=60
    )
    assert done.stdout.strip() == "{'read': 3, 'written': 3}"
    lines = (tmp_path / "training" / "chat.jsonl").read_text(encoding="utf-8").splitlines()
    answers = {json.loads(line)["messages"][-1]["content"] for line in lines}
    assert answers == {f"{city} is the capital of {country}." for city, country in _CAPITALS.items()}
    frame = aicore_obs.LlmOperationCollector.polars_from_db(f"sqlite:///{tmp_path}/traces.db", flagged_for="training")
    assert sorted(frame.select("run_id", "seq").rows()) == [(f"question-{n}", seq) for n in range(3) for seq in (0, 1)]


_CAPITALS = {"Paris": "France", "Oslo": "Norway", "Rome": "Italy"}


def test_observed_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is printed, and the stream is recorded under its session with its usage."""
    with observing(tmp_path, monkeypatch) as collector, model_server() as server:
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        assert observed_chat.main("What colour is the sky?") == "Blue."
        frame = collector.polars_from_db()
    assert frame.select("api", "stream_state", "total_tokens").rows() == [("chat.completions.create", "complete", 13)]
    assert (tmp_path / "llm_observability.json").exists()


def test_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The tree has the tools side by side, the one that failed, the stream, and what all of it cost; in JSON, too."""
    monkeypatch.setenv("COLUMNS", "120")
    with observing(tmp_path, monkeypatch):
        agent.main("A day in Oslo?")
        said = capsys.readouterr().out
        agent.main("A day in Rome?", as_json=True)
        told = json.loads(capsys.readouterr().out)
    assert said.startswith("Stay in until noon, see the museums, and walk by the fjord in the sun.")
    assert "8 steps · 3 operations · 1 failed · 452 tokens · $" in said
    assert "└─ tickets LookupError: no concert hall in Oslo answers" in said

    (root,) = told["roots"]
    assert root["name"] == "agent"
    assert [child["name"] for child in root["children"]] == ["chat.completions.create", *["use"] * 3, "answer"]
    tools = {tool["name"]: tool for use in root["children"][1:4] for tool in use["children"]}
    assert tools.keys() == {"weather", "museums", "tickets"}
    assert tools["tickets"]["error"] == "LookupError: no concert hall in Rome answers"
    assert root["totals"]["tokens"] == 452
    assert root["totals"]["operations"] == 3
