"""This module is where a FastAPI application records its model calls: with a call of its own, and by request.state.

Run it with ``uvicorn examples.fastapi_app:app``, ask ``curl -d '"hello"' localhost:8000/ask``, stop it, and read:
``python -c "import aicore_obs; print(aicore_obs.LlmOperationCollector.polars_from_db())"``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request
from fastapi.responses import StreamingResponse

from aicore_obs import get_collector
from aicore_obs.web import LlmOperationMiddleware

app = FastAPI()
app.add_middleware(
    LlmOperationMiddleware,
    user_id=lambda scope: dict(scope["headers"]).get(b"x-user", b"").decode() or None,
)


async def model(request: dict[str, Any]) -> dict[str, Any]:
    """Stands for the model of your choice."""
    await asyncio.sleep(0.01)
    return {
        "model": request["model"],
        "choices": [{"message": {"role": "assistant", "content": "Good day."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14},
    }


@app.post("/ask")
async def ask(request: Request, text: Annotated[str, Body()]) -> dict[str, Any]:
    """Let the middleware record: it times the request and keeps the JSON that is answered."""
    arguments = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
    request.state.llm_operation = "completion"
    request.state.llm_args = arguments
    request.state.llm_provider = "openai"
    return await model(arguments)


@app.post("/stream/{topic}")
async def stream(topic: str) -> StreamingResponse:
    """Record inside the request: the operation carries the request's id, route and user."""
    arguments = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": topic}], "stream": True}

    async def words() -> AsyncIterator[str]:
        async with get_collector().operation(arguments, provider="openai") as operation:
            operation.response = await model(arguments)
            for word in ("Good", " day", "."):
                yield word

    return StreamingResponse(words(), media_type="text/plain")
