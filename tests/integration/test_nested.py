"""This module is where frameworks are held to the law of one: what they ask of a model is one operation, not two."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import SecretStr

import aicore_obs
from tests import sdk_calls as calls
from tests.model_server import ModelServer, model_server
from tests.observed import observing
from tests.traced import CHAT, tracing


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[aicore_obs.LlmOperationCollector]:
    with observing(tmp_path, monkeypatch) as collector:
        aicore_obs.instrument()
        yield collector


async def _chained(server: ModelServer) -> None:
    """Ask through a chain: whole, as a stream, and one call that fails."""
    with calls.openai_client(server) as client:
        async with calls.openai_async(server) as async_client:
            clients: dict[str, Any] = {
                "client": client.chat.completions,
                "async_client": async_client.chat.completions,
                "root_client": client,
                "root_async_client": async_client,
                "api_key": SecretStr("sk-none"),
            }
            model = ChatOpenAI(model="gpt-4o-mini", stream_usage=True, **clients)
            chain = ChatPromptTemplate.from_template("{question}") | model | StrOutputParser()
            asked = {"question": "What colour?"}
            assert chain.invoke(asked) == "Blue."
            assert "".join(chain.stream(asked)) == "Blue."
            assert await chain.ainvoke(asked) == "Blue."
            assert "".join([part async for part in chain.astream(asked)]) == "Blue."
            failing = ChatOpenAI(model="fail", **clients)
            with pytest.raises(Exception, match="no such model"):
                failing.invoke("What colour?")
            vectors = OpenAIEmbeddings(
                model="text-embedding-3-small",
                client=client.embeddings,
                async_client=async_client.embeddings,
                check_embedding_ctx_length=False,
                api_key=SecretStr("sk-none"),
            )
            assert vectors.embed_query("sky") == [0.25, -0.5]


def test_langchain_over_an_instrumented_sdk(server: ModelServer, collector: aicore_obs.LlmOperationCollector) -> None:
    """Each request of langchain's, whole, streamed, failed, is one operation, and nothing changes for langchain."""
    asyncio.run(_chained(server))
    frame = collector.polars_from_db(order="asc")
    assert frame.height == len(server.requests) == 6
    assert frame["total_tokens"].to_list() == [13, 13, 13, 13, None, 2]
    assert frame["status"].to_list() == ["ok"] * 4 + ["error", "ok"]
    assert frame["operation_type"].to_list() == ["completion"] * 5 + ["embedding"]
    assert [state for state in frame["stream_state"] if state] == ["complete", "complete"]


def test_a_frameworks_span_around_its_call_is_the_parent(server: ModelServer, collector: Any) -> None:
    """Where a framework's tracer makes a span of the call, the SDK's call stands in it, and is the one operation."""
    with tracing() as provider, provider.get_tracer("t").start_as_current_span("chat", attributes=CHAT) as around:
        asyncio.run(_chained(server))
    frame = collector.polars_from_db(order="asc")
    assert frame.height == len(server.requests) == 6
    assert "span.attributes" not in set(frame["api"])
    ids = around.get_span_context()
    # The span itself, or a chain of LangChain's that is in it.
    assert f"{ids.span_id:016x}" in set(frame["parent_id"])
    tree = aicore_obs.show_trace(f"{ids.trace_id:032x}", collector).facts
    assert [root.name for root in tree.roots] == [
        *["RunnableSequence"] * 4,
        "chat.completions.create",
        "embeddings.create",
    ]
    assert tree.spans == 4
    assert set(frame["trace_id"]) == {f"{ids.trace_id:032x}"}
