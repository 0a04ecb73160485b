"""This module is where the programs in ``examples/`` are run as their first lines say."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

import aicore_obs
from examples import fastapi_app
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
