"""This module is where programs of LangChain are written down, as their users make them: one function a shape.

Each takes a server and returns what a program could see, as those of ``tests.sdk_calls`` do.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.language_models.llms import LLM
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr

import aicore_obs
from aicore_obs.observer import langchain
from aicore_obs.observer.runs import Runs
from tests import sdk_calls as calls
from tests.model_server import ModelServer
from tests.observed import observing

QUESTION = "What colour is the sky?"
USAGE: Any = {"input_tokens": 11, "output_tokens": 2, "total_tokens": 13}
KEY = SecretStr("sk-none")


def seen(value: Any) -> Any:
    """Return what a program can see of a value, but for the ids that LangChain draws by lot."""
    if isinstance(value, BaseMessage):
        members = value.model_dump(exclude={"additional_kwargs"})
        lot = str(members["id"]).startswith(("lc_run-", "run-"))
        return type(value), {**members, "id": "by lot"} if lot or value.type in ("tool", "human") else members
    if isinstance(value, dict):
        return {name: seen(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [seen(one) for one in value]
    return calls.seen(value)


@contextmanager
def listening(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[aicore_obs.LlmOperationCollector]:
    """A default collector in a folder, for LangChain that tells nobody else and has no runs of tests before."""
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    monkeypatch.setattr(langchain, "begun_runs", Runs())
    with observing(folder, monkeypatch) as collector:
        yield collector


@contextmanager
def chat_model(server: ModelServer, model: str = "gpt-4o-mini", **options: Any) -> Iterator[ChatOpenAI]:
    with calls.openai_client(server) as client:
        clients: dict[str, Any] = {"client": client.chat.completions, "root_client": client}
        yield ChatOpenAI(model=model, api_key=KEY, stream_usage=True, **clients, **options)


@asynccontextmanager
async def achat_model(server: ModelServer, model: str = "gpt-4o-mini", **options: Any) -> AsyncIterator[ChatOpenAI]:
    async with calls.openai_async(server) as client:
        clients: dict[str, Any] = {"async_client": client.chat.completions, "root_async_client": client}
        yield ChatOpenAI(model=model, api_key=KEY, stream_usage=True, **clients, **options)


def said(*texts: str, usage: Any = USAGE) -> GenericFakeChatModel:
    """Return a model that asks no SDK."""
    told = {"model_name": "gpt-4o-mini", "model_provider": "openai"}
    return GenericFakeChatModel(
        messages=iter([AIMessage(text, usage_metadata=usage, response_metadata=told) for text in texts])
    )


class Gateway(ChatOpenAI):
    """Somebody's model behind an interface like OpenAI's."""

    def _get_ls_params(self, stop: Any = None, **options: Any) -> Any:
        return {**super()._get_ls_params(stop=stop, **options), "ls_provider": "deepseek"}


PROMPT = ChatPromptTemplate.from_template("{question}")


def chain_of(model: Any) -> Any:
    return (PROMPT | model | StrOutputParser()).with_config(run_name="answer")


# -- over openai -------------------------------------------------------------------------------------------------------


def invoke(server: ModelServer) -> Any:
    with chat_model(server) as model:
        return seen(model.invoke(QUESTION))


def stream(server: ModelServer) -> Any:
    with chat_model(server) as model:
        return seen(list(model.stream(QUESTION)))


async def ainvoke(server: ModelServer) -> Any:
    async with achat_model(server) as model:
        return seen(await model.ainvoke(QUESTION))


async def astream(server: ModelServer) -> Any:
    async with achat_model(server) as model:
        return seen([part async for part in model.astream(QUESTION)])


def fails(server: ModelServer) -> Any:
    with chat_model(server, "fail") as model:
        return calls.caught(lambda: chain_of(model).invoke({"question": QUESTION}))


async def acancelled(server: ModelServer) -> Any:
    async with achat_model(server, "slow") as model:
        task = asyncio.ensure_future(chain_of(model).ainvoke({"question": QUESTION}))
        async with asyncio.timeout(60):
            while not server.requests:
                await asyncio.sleep(0.005)
        task.cancel()
        return await calls.acaught(lambda: task)


def stream_closed_early(server: ModelServer) -> Any:
    with chat_model(server) as model:
        parts = chain_of(model).stream({"question": QUESTION})
        first = next(part for part in parts if part)
        parts.close()
        return first


def chain(server: ModelServer) -> Any:
    with chat_model(server) as model:
        return chain_of(model).invoke({"question": QUESTION})


def chain_streamed(server: ModelServer) -> Any:
    with chat_model(server) as model:
        return list(chain_of(model).stream({"question": QUESTION}))


async def achain_events(server: ModelServer) -> Any:
    async with achat_model(server) as model:
        events = chain_of(model).astream_events({"question": QUESTION})
        return [(event["event"], event["name"], event["tags"]) async for event in events]


def events(server: ModelServer) -> Any:
    """The protocol of content blocks."""
    with chat_model(server) as model:
        return [event["event"] for event in model.stream_events(QUESTION, version="v3")]


def batched(server: ModelServer) -> Any:
    with chat_model(server) as model:
        return chain_of(model).batch([{"question": QUESTION}, {"question": "And the sea?"}])


async def abatched(server: ModelServer) -> Any:
    async with achat_model(server) as model:
        return await chain_of(model).abatch([{"question": QUESTION}, {"question": "And the sea?"}])


def generated(server: ModelServer) -> Any:
    """Several at once, which are all begun before the first is asked."""
    with chat_model(server) as model:
        result = model.generate([[HumanMessage(QUESTION)], [HumanMessage("And the sea?")]])
        return [seen(one[0].message) for one in result.generations]  # type: ignore[union-attr]


def named(text: str) -> str:
    return text.upper()


def branches(server: ModelServer) -> Any:
    with chat_model(server) as model:
        both = RunnableParallel(
            sky=chain_of(model), sea=PROMPT | model | StrOutputParser() | named, given=RunnablePassthrough()
        )
        return both.with_config(run_name="both").invoke({"question": QUESTION})


def falls_back(server: ModelServer) -> Any:
    with chat_model(server, "fail") as failing, chat_model(server) as model:
        return seen(failing.with_fallbacks([model]).invoke(QUESTION))


class Colour(BaseModel):
    colour: str


def structured(server: ModelServer) -> Any:
    with chat_model(server) as model:
        return seen(model.with_structured_output(Colour, method="json_schema").invoke(QUESTION))


def lost_context(server: ModelServer) -> Any:
    """A thread that has no context: what is around it is told by the config alone."""
    with chat_model(server) as model:

        def step(given: str, config: RunnableConfig) -> str:
            answers: list[Any] = []
            thread = threading.Thread(target=lambda: answers.append(model.invoke(given, config)))
            thread.start()
            thread.join()
            return str(answers[0].content)

        return RunnableLambda(step).with_config(run_name="outside").invoke(QUESTION)


class Shelf(BaseRetriever):
    """Documents that are found by their vectors."""

    vectors: OpenAIEmbeddings

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document(f"{len(self.vectors.embed_query(query))} numbers")]


def retrieved(server: ModelServer) -> Any:
    with calls.openai_client(server) as client:
        options: dict[str, Any] = {"client": client.embeddings, "check_embedding_ctx_length": False}
        shelf = Shelf(vectors=OpenAIEmbeddings(model="text-embedding-3-small", api_key=KEY, **options))
        return seen(shelf.invoke(QUESTION))


class AskingShelf(Shelf):
    """One that asks a model how to search."""

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        better = await said("sky colour").ainvoke(query)
        return [Document(f"{len(await self.vectors.aembed_query(str(better.content)))} numbers")]


async def aretrieved(server: ModelServer) -> Any:
    """A retriever that makes two calls: the first is over when the second begins."""
    async with calls.openai_async(server) as client:
        options: dict[str, Any] = {"async_client": client.embeddings, "check_embedding_ctx_length": False}
        shelf = AskingShelf(vectors=OpenAIEmbeddings(model="text-embedding-3-small", api_key=KEY, **options))
        return seen(await shelf.ainvoke(QUESTION))


@tool
def look_up(place: str) -> str:
    """Say what there is at a place."""
    return f"Nothing but blue at the {place}."


def agent(server: ModelServer) -> Any:
    with chat_model(server) as model:
        made = create_agent(model, [look_up], name="painter")
        return seen(made.invoke({"messages": [("human", QUESTION)]}))  # type: ignore[call-overload]


async def aagent(server: ModelServer) -> Any:
    async with achat_model(server) as model:
        made = create_agent(model, [look_up], name="painter")
        return seen(await made.ainvoke({"messages": [("human", QUESTION)]}))  # type: ignore[call-overload]


def agent_streamed(server: ModelServer) -> Any:
    with chat_model(server) as model:
        made = create_agent(model, [look_up], name="painter")
        parts = made.stream({"messages": [("human", QUESTION)]}, stream_mode="updates")  # type: ignore[call-overload]
        return [seen(part) for part in parts]


async def aagent_tokens(server: ModelServer) -> Any:
    async with achat_model(server) as model:
        made = create_agent(model, [look_up], name="painter")
        parts = made.astream({"messages": [("human", QUESTION)]}, stream_mode="messages")  # type: ignore[call-overload]
        return [seen(part[0]) async for part in parts]


# -- over anthropic ----------------------------------------------------------------------------------------------------


def claude(server: ModelServer, model: str = "claude-sonnet-5") -> ChatAnthropic:
    return ChatAnthropic(model_name=model, base_url=server.url, api_key=KEY, max_retries=0, timeout=5, stop=None)


def anthropic_invoke(server: ModelServer) -> Any:
    return seen(claude(server).invoke(QUESTION))


def anthropic_stream(server: ModelServer) -> Any:
    return seen(list(claude(server).stream(QUESTION)))


def anthropic_fails(server: ModelServer) -> Any:
    return calls.caught(lambda: claude(server, "fail").invoke(QUESTION))


# -- over no SDK -------------------------------------------------------------------------------------------------------


def own_invoke(_: ModelServer) -> Any:
    return seen(said("Blue.").invoke(QUESTION))


def own_stream(_: ModelServer) -> Any:
    return seen(list(said("Blue sky.").stream(QUESTION)))


async def own_astream(_: ModelServer) -> Any:
    return seen([part async for part in said("Blue sky.").astream(QUESTION)])


def own_events(_: ModelServer) -> Any:
    return [event["event"] for event in said("Blue sky.").stream_events(QUESTION, version="v3")]


def own_closed_early(_: ModelServer) -> Any:
    parts = said("Blue sky.").stream(QUESTION)
    first = next(parts)
    parts.close()  # type: ignore[attr-defined]
    return seen(first)


def own_fails(_: ModelServer) -> Any:
    return calls.caught(lambda: said().invoke(QUESTION))


def own_generated(_: ModelServer) -> Any:
    result = said("Blue.", "Green.").generate([[HumanMessage(QUESTION)], [HumanMessage("And?")]])
    return [seen(one[0].message) for one in result.generations]  # type: ignore[union-attr]


class Plain(LLM):
    """A model of plain text."""

    @property
    def _llm_type(self) -> str:
        return "plain"

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **_: Any) -> str:
        return "Blue."


def own_text(_: ModelServer) -> Any:
    return Plain().invoke(QUESTION)


def own_cached(_: ModelServer) -> Any:
    """Asked twice, with one answer: the second comes out of the cache."""
    model = said("Blue.")
    model.cache = InMemoryCache()
    return [seen(model.invoke(QUESTION)) for _ in range(2)]
