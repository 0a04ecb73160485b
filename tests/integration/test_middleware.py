"""This module is where the ASGI middleware is tested through a real server, under load, and through plain messages."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse

from aicore_obs import LlmOperationCollector
from aicore_obs.web import LlmOperationMiddleware
from tests.web_server import served

DEADLINE_S = 60
USERS, REQUESTS_PER_USER = 20, 10


def _user(scope: Any) -> str | None:
    return dict(scope["headers"]).get(b"x-user", b"").decode() or None


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/calls.db"


@pytest.fixture
def collector(store: str) -> Iterator[LlmOperationCollector]:
    with LlmOperationCollector(db_url=store) as collector:
        yield collector


@pytest.fixture
def app(collector: LlmOperationCollector) -> FastAPI:
    app = FastAPI()
    app.add_middleware(LlmOperationMiddleware, collector=collector, user_id=_user, close_collector=False)
    return app


def _ask_by_state(request: Request, **values: Any) -> None:
    request.state.llm_operation = "completion"
    request.state.llm_args = {"model": "gpt-4o"}
    request.state.llm_provider = "openai"
    for name, value in values.items():
        setattr(request.state, name, value)


async def _load(url: str) -> list[httpx.Response]:
    names = [(f"u{index}", number) for number in range(REQUESTS_PER_USER) for index in range(USERS)]
    async with httpx.AsyncClient(base_url=url, timeout=DEADLINE_S) as client:
        return await asyncio.gather(*(_say(client, user, number) for user, number in names))


async def _say(client: httpx.AsyncClient, user: str, number: int) -> httpx.Response:
    headers = {"x-user": user, "x-request-id": f"{user}-{number}"}
    return await client.post(f"/chat/{user}", json=f"{user}/{number}", headers=headers)


def test_concurrent_requests_keep_their_own_context(app: FastAPI, collector: LlmOperationCollector) -> None:
    """Every operation of 200 interleaved requests is filed under its own request, route and user."""

    @app.post("/chat/{room}")
    async def chat(room: str, request: Request) -> dict[str, str]:
        text = await request.json()
        async with collector.operation({"text": text}, provider="openai") as operation:
            await asyncio.sleep(0)
            operation.response = {"id": text}
        return {"room": room}

    with served(app) as url:
        responses = asyncio.run(_load(url))
    assert {response.status_code for response in responses} == {200}

    frame = collector.polars_from_db()
    assert frame.height == USERS * REQUESTS_PER_USER
    extras = frame["extras"].struct
    assert extras.field("http_route").unique().to_list() == ["/chat/{room}"]
    assert extras.field("http_method").unique().to_list() == ["POST"]
    texts = [json.loads(arguments)["text"] for arguments in frame["completion_args"]]
    assert len(set(texts)) == frame.height
    assert extras.field("request_id").to_list() == [text.replace("/", "-") for text in texts]
    assert frame["user_id"].to_list() == [text.split("/")[0] for text in texts]


@pytest.mark.parametrize("media_type", ["text/event-stream", "application/json"])
def test_streams_are_passed_on_at_once(app: FastAPI, collector: LlmOperationCollector, media_type: str) -> None:
    """The client has the first chunk while the application is still waiting to write the second."""
    client_has_first = threading.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b'["first",'
        assert await asyncio.to_thread(client_has_first.wait, DEADLINE_S)
        yield b'"second"]'

    @app.get("/stream")
    async def stream(request: Request) -> StreamingResponse:
        _ask_by_state(request)
        return StreamingResponse(chunks(), media_type=media_type)

    with served(app) as url, httpx.stream("GET", f"{url}/stream", timeout=DEADLINE_S) as response:
        received = response.iter_raw()
        assert next(received) == b'["first",'
        client_has_first.set()
        assert b"".join(received) == b'"second"]'

    recorded = collector.polars_from_db()["response"].to_list()
    assert recorded == ['["first","second"]' if media_type == "application/json" else None]


def test_state_is_recorded_with_the_answered_json(app: FastAPI, collector: LlmOperationCollector) -> None:
    """An endpoint that sets ``request.state.llm_*`` gets one operation; one that does not gets none."""

    @app.post("/ask")
    async def ask(request: Request) -> dict[str, Any]:
        _ask_by_state(request)
        return {"id": "r-1", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}

    @app.post("/given")
    async def given(request: Request) -> dict[str, Any]:
        _ask_by_state(request, llm_response={"id": "r-2"})
        return {"id": "not this one"}

    @app.post("/other")
    async def other() -> dict[str, Any]:
        return {"id": "r-3"}

    with served(app) as url:
        for path in ("/ask", "/given", "/other"):
            assert httpx.post(url + path, headers={"x-user": "ann"}).status_code == 200

    frame = collector.polars_from_db()
    assert frame["response_id"].to_list() == ["r-1", "r-2"]
    assert frame["total_tokens"].to_list() == [7, None]
    assert frame.select("model", "provider", "status", "user_id").unique().rows() == [("gpt-4o", "openai", "ok", "ann")]
    assert frame["latency_ms"].is_between(0, DEADLINE_S * 1000).all()


def test_an_exception_is_recorded_and_goes_on(app: FastAPI, collector: LlmOperationCollector) -> None:
    """The server sees the endpoint's own exception object; the operation has status error and its type."""
    mistake = RuntimeError("the model is down")
    seen: list[BaseException] = []

    @app.post("/ask")
    async def ask(request: Request) -> None:
        _ask_by_state(request)
        raise mistake

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except RuntimeError as error:
            seen.append(error)

    with served(watched) as url:
        assert httpx.post(f"{url}/ask").status_code == 500

    assert seen == [mistake]
    rows = collector.polars_from_db().select("status", "error_type", "error_message", "response").rows()
    assert rows == [("error", "RuntimeError", "the model is down", None)]


def test_outside_of_the_error_page_the_exception_wins(collector: LlmOperationCollector) -> None:
    """Wrapped around a whole application, which answers 500 first and raises then, one error is recorded."""
    app = FastAPI()

    @app.post("/ask")
    async def ask(request: Request) -> None:
        _ask_by_state(request)
        raise LookupError("nothing there")

    wrapped = LlmOperationMiddleware(app, collector, close_collector=False)
    with served(wrapped) as url:
        assert httpx.post(f"{url}/ask").status_code == 500
    assert collector.polars_from_db().select("status", "error_type").rows() == [("error", "LookupError")]


def test_a_server_error_that_was_answered_is_an_error(app: FastAPI, collector: LlmOperationCollector) -> None:
    """An application that answers 503 itself has said that the call failed; its JSON is kept."""

    @app.post("/ask")
    async def ask(request: Request) -> JSONResponse:
        _ask_by_state(request)
        return JSONResponse({"detail": "busy"}, status_code=503)

    with served(app) as url:
        assert httpx.post(f"{url}/ask").status_code == 503
    rows = collector.polars_from_db().select("status", "error_type", "error_message", "response").rows()
    assert rows == [("error", "HTTPStatus", "503", '{"detail":"busy"}')]


def test_a_large_response_passes_and_is_not_kept(app: FastAPI, collector: LlmOperationCollector) -> None:
    """More than a megabyte of JSON reaches the client whole; the operation is recorded without it."""
    text = "x" * 1_100_000

    @app.post("/ask")
    async def ask(request: Request) -> dict[str, str]:
        _ask_by_state(request)
        return {"text": text}

    with served(app) as url:
        assert httpx.post(f"{url}/ask").json() == {"text": text}
    assert collector.polars_from_db().select("status", "response").rows() == [("ok", None)]


def test_a_failing_hook_changes_nothing(store: str, caplog: pytest.LogCaptureFixture) -> None:
    """A user hook that raises is logged; the request is answered and recorded without a user."""
    app = FastAPI()

    @app.post("/ask")
    async def ask(request: Request) -> dict[str, str]:
        _ask_by_state(request, llm_operation=object(), llm_args=object())
        return {}

    with LlmOperationCollector(db_url=store) as collector:
        app.add_middleware(LlmOperationMiddleware, collector=collector, user_id=lambda scope: scope["no such key"])
        with served(app) as url:
            assert httpx.post(f"{url}/ask").status_code == 200
    frame = LlmOperationCollector.polars_from_db(store)
    assert frame.select("user_id", "status").rows() == [(None, "ok")]
    assert any("user_id hook" in message for message in caplog.messages)


def test_shutdown_closes_the_collector(store: str) -> None:
    """What is recorded until the end of the application's own shutdown is stored when the server has stopped."""
    collector = LlmOperationCollector(db_url=store)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        collector.record_completion({"model": "last words"})

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(LlmOperationMiddleware, collector=collector)

    @app.post("/ask")
    async def ask(request: Request) -> dict[str, str]:
        _ask_by_state(request)
        return {}

    with served(app) as url:
        assert httpx.post(f"{url}/ask").status_code == 200
    assert LlmOperationCollector.polars_from_db(store)["model"].to_list() == ["gpt-4o", "last words"]


def test_shutdown_keeps_its_deadline_and_says_what_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a database that is down, the server stops in time and the number of waiting records is logged."""
    monkeypatch.setenv("AICORE_OBS_STATE_DIR", str(tmp_path))
    collector = LlmOperationCollector(db_url="postgresql://nobody@127.0.0.1:9/nowhere")
    app = FastAPI()
    app.add_middleware(LlmOperationMiddleware, collector=collector, close_timeout_s=0.5)

    @app.post("/ask")
    async def ask(request: Request) -> dict[str, str]:
        _ask_by_state(request)
        return {}

    with caplog.at_level(logging.WARNING, "aicore_obs"):
        with served(app) as url:
            assert httpx.post(f"{url}/ask").status_code == 200
            started = time.monotonic()
        assert time.monotonic() - started < DEADLINE_S
    assert any("1" in message and "pending" in message for message in caplog.messages)


def test_an_application_without_lifespan_is_served(collector: LlmOperationCollector) -> None:
    """An application that knows no lifespan works as it did."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        scope["state"]["llm_operation"] = "completion"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b'{"id":', "more_body": True})
        await send({"type": "http.response.body", "body": b' "r-1"}'})

    with served(LlmOperationMiddleware(app, collector), lifespan="auto") as url:
        assert httpx.get(url).json() == {"id": "r-1"}
    assert collector.polars_from_db()["response_id"].to_list() == ["r-1"]


async def _converse(app: Any, scope: dict[str, Any], incoming: list[dict[str, Any]]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return incoming.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def test_a_websocket_passes_through(app: FastAPI, collector: LlmOperationCollector) -> None:
    """Messages of a websocket are untouched; what is recorded in it has its route and user."""

    @app.websocket("/talk/{room}")
    async def talk(websocket: WebSocket, room: str) -> None:
        await websocket.accept()
        text = await websocket.receive_text()
        collector.record_completion({"model": text})
        await websocket.send_text(f"{room}: {text}")
        await websocket.close()

    scope = {"type": "websocket", "path": "/talk/7", "headers": [(b"x-user", b"ann")], "query_string": b""}
    incoming = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}]
    sent = asyncio.run(_converse(app, scope, incoming))

    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert sent[1]["text"] == "7: hello"
    frame = collector.polars_from_db()
    assert frame.select("model", "user_id").rows() == [("hello", "ann")]
    assert frame["extras"].struct.field("http_route").to_list() == ["/talk/{room}"]
