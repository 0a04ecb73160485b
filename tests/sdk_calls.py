"""This module is where calls of the providers' SDKs are written down, as their users make them: one function a shape.

Each takes a server and returns what a program could see: values, types, exceptions. The law is that this is the same
with and without instrumentation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import groq
import openai
from google import genai
from google.genai import types
from pydantic import BaseModel

from tests.model_server import ModelServer

MESSAGES: Any = [{"role": "user", "content": "What colour is the sky?"}]
CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": MESSAGES}
CLAUDE: dict[str, Any] = {"model": "claude-sonnet-5", "max_tokens": 100, "messages": MESSAGES}
USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}
GEMINI = "gemini-2.0-flash"


class Colour(BaseModel):
    colour: str


def seen(value: Any) -> Any:
    """Return what a program can see of a value: its type, and what it holds."""
    if isinstance(value, BaseModel):
        # The HTTP response of Google's SDK has the time of the answer.
        return type(value), value.model_dump(exclude={"sdk_http_response", "parsed"}, warnings=False)
    if isinstance(value, list | tuple):
        return [seen(one) for one in value]
    return type(value), value


def caught(call: Callable[[], Any]) -> Any:
    """Return what a call raised, as a program can see it."""
    try:
        return seen(call())
    except Exception as error:
        return type(error), str(error), type(error.__cause__), error.__suppress_context__


async def acaught(call: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return seen(await call())
    except (Exception, asyncio.CancelledError) as error:
        return type(error), str(error), type(error.__cause__), error.__suppress_context__


def openai_client(server: ModelServer, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(api_key="sk-none", base_url=f"{server.url}/v1", max_retries=0, **options)


def openai_async(server: ModelServer, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="sk-none", base_url=f"{server.url}/v1", max_retries=0, **options)


def anthropic_client(server: ModelServer) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="sk-none", base_url=server.url, max_retries=0)


def gemini_client(server: ModelServer) -> genai.Client:
    return genai.Client(api_key="none", vertexai=False, http_options=types.HttpOptions(base_url=server.url))


# -- OpenAI ------------------------------------------------------------------------------------------------------------


def chat(server: ModelServer) -> Any:
    with openai_client(server) as client:
        return seen(client.chat.completions.create(**CHAT))


def chat_parse(server: ModelServer) -> Any:
    with openai_client(server) as client:
        parsed = client.chat.completions.parse(**CHAT, response_format=Colour)
        return type(parsed), seen(parsed.choices[0].message.parsed)


def chat_stream(server: ModelServer) -> Any:
    with openai_client(server) as client:
        stream = client.chat.completions.create(**CHAT, **USAGE, stream=True)
        return type(stream), seen(list(stream)), stream.response.is_closed


def chat_stream_without_usage(server: ModelServer) -> Any:
    with openai_client(server) as client:
        return seen(list(client.chat.completions.create(**CHAT, stream=True)))


def chat_stream_helper(server: ModelServer) -> Any:
    with openai_client(server) as client, client.chat.completions.stream(**CHAT) as stream:
        return [event.type for event in stream], seen(stream.get_final_completion().choices[0].message.content)


def chat_stream_closed_early(server: ModelServer) -> Any:
    with openai_client(server) as client, client.chat.completions.create(**CHAT, stream=True) as stream:
        return seen(next(stream))


def chat_raw(server: ModelServer) -> Any:
    with openai_client(server) as client:
        raw = client.chat.completions.with_raw_response.create(**CHAT)
        return type(raw), raw.status_code, seen(raw.parse())


def chat_raw_stream(server: ModelServer) -> Any:
    with openai_client(server) as client:
        raw = client.chat.completions.with_raw_response.create(**CHAT, **USAGE, stream=True)
        return type(raw), seen(list(raw.parse()))


def chat_streaming_response(server: ModelServer) -> Any:
    with openai_client(server) as client, client.chat.completions.with_streaming_response.create(**CHAT) as response:
        return type(response), response.json()["choices"]  # type: ignore[index]


def chat_streaming_lines(server: ModelServer) -> Any:
    asked = {**CHAT, **USAGE, "stream": True}
    with openai_client(server) as client, client.chat.completions.with_streaming_response.create(**asked) as response:
        return list(response.iter_lines())


def chat_error(server: ModelServer) -> Any:
    with openai_client(server) as client:
        return caught(lambda: client.chat.completions.create(**{**CHAT, "model": "fail"}))


def chat_refused(server: ModelServer) -> Any:
    with openai.OpenAI(api_key="sk-none", base_url="http://127.0.0.1:9/v1", max_retries=0) as client:
        return caught(lambda: client.chat.completions.create(**CHAT))


def chat_timeout(server: ModelServer) -> Any:
    with openai_client(server, timeout=0.1) as client:
        return caught(lambda: client.chat.completions.create(**{**CHAT, "model": "slow"}))


def chat_broken_stream(server: ModelServer) -> Any:
    with openai_client(server) as client:
        stream = client.chat.completions.create(**{**CHAT, "model": "broken"}, stream=True)
        return caught(lambda: list(stream))


def wrong_arguments(server: ModelServer) -> Any:
    with openai_client(server) as client:
        return caught(lambda: client.chat.completions.create(model="gpt-4o-mini"))  # type: ignore[call-overload]


def responses(server: ModelServer) -> Any:
    with openai_client(server) as client:
        return seen(client.responses.create(model="gpt-5", input="What colour?"))


def responses_stream(server: ModelServer) -> Any:
    with openai_client(server) as client:
        return seen(list(client.responses.create(model="gpt-5", input="What colour?", stream=True)))


def responses_stream_helper(server: ModelServer) -> Any:
    with openai_client(server) as client, client.responses.stream(model="gpt-5", input="What colour?") as stream:
        return [event.type for event in stream], stream.get_final_response().output_text


def embeddings(server: ModelServer) -> Any:
    with openai_client(server) as client:
        return seen(client.embeddings.create(model="text-embedding-3-small", input=["a", "b"]))


async def achat(server: ModelServer) -> Any:
    async with openai_async(server) as client:
        return seen(await client.chat.completions.create(**CHAT))


async def achat_stream(server: ModelServer) -> Any:
    async with openai_async(server) as client:
        stream = await client.chat.completions.create(**CHAT, **USAGE, stream=True)
        return type(stream), seen([chunk async for chunk in stream])


async def achat_stream_closed_early(server: ModelServer) -> Any:
    async with openai_async(server) as client, await client.chat.completions.create(**CHAT, stream=True) as stream:
        return seen(await anext(stream))


async def achat_streaming_response(server: ModelServer) -> Any:
    client = openai_async(server)
    async with client, client.chat.completions.with_streaming_response.create(**CHAT) as response:
        return type(response), (await response.json())["choices"]  # type: ignore[index]


async def achat_error(server: ModelServer) -> Any:
    async with openai_async(server) as client:
        return await acaught(lambda: client.chat.completions.create(**{**CHAT, "model": "fail"}))


async def achat_cancelled(server: ModelServer) -> Any:
    async with openai_async(server) as client:
        task = asyncio.ensure_future(client.chat.completions.create(**{**CHAT, "model": "slow"}))
        while not server.requests:
            await asyncio.sleep(0.005)
        task.cancel()
        return await acaught(lambda: task)


async def achat_stream_cancelled(server: ModelServer) -> Any:
    got = asyncio.Event()

    async def read() -> None:
        async with openai_async(server) as client:
            async for chunk in await client.chat.completions.create(**{**CHAT, "model": "slow"}, stream=True):
                if chunk.choices[0].delta.content:
                    got.set()

    task = asyncio.ensure_future(read())
    await got.wait()
    task.cancel()
    return await acaught(lambda: task)


async def aresponses_stream(server: ModelServer) -> Any:
    async with openai_async(server) as client:
        stream = await client.responses.create(model="gpt-5", input="What colour?", stream=True)
        return seen([event async for event in stream])


async def aembeddings(server: ModelServer) -> Any:
    async with openai_async(server) as client:
        return seen(await client.embeddings.create(model="text-embedding-3-small", input="a"))


# -- Anthropic ---------------------------------------------------------------------------------------------------------


def messages(server: ModelServer) -> Any:
    with anthropic_client(server) as client:
        return seen(client.messages.create(**CLAUDE))


def messages_stream(server: ModelServer) -> Any:
    with anthropic_client(server) as client:
        stream = client.messages.create(**CLAUDE, stream=True)
        return type(stream), seen(list(stream))


def messages_stream_helper(server: ModelServer) -> Any:
    with anthropic_client(server) as client, client.messages.stream(**CLAUDE) as stream:
        return list(stream.text_stream), seen(stream.get_final_message())


def messages_raw(server: ModelServer) -> Any:
    with anthropic_client(server) as client:
        raw = client.messages.with_raw_response.create(**CLAUDE)
        return type(raw), seen(raw.parse())


def messages_error(server: ModelServer) -> Any:
    with anthropic_client(server) as client:
        return caught(lambda: client.messages.create(**{**CLAUDE, "model": "fail"}))


async def amessages_stream_helper(server: ModelServer) -> Any:
    client = anthropic.AsyncAnthropic(api_key="sk-none", base_url=server.url, max_retries=0)
    async with client, client.messages.stream(**CLAUDE) as stream:
        return [text async for text in stream.text_stream], seen(await stream.get_final_message())


# -- Google ------------------------------------------------------------------------------------------------------------


def generate(server: ModelServer) -> Any:
    with gemini_client(server) as client:
        return seen(client.models.generate_content(model=GEMINI, contents="What colour?"))


def generate_stream(server: ModelServer) -> Any:
    with gemini_client(server) as client:
        stream = client.models.generate_content_stream(model=GEMINI, contents="What colour?")
        return type(stream), seen(list(stream))


def generate_error(server: ModelServer) -> Any:
    with gemini_client(server) as client:
        return caught(lambda: client.models.generate_content(model="fail", contents="What colour?"))


def embed(server: ModelServer) -> Any:
    with gemini_client(server) as client:
        return seen(client.models.embed_content(model="gemini-embedding-001", contents="What colour?"))


async def agenerate(server: ModelServer) -> Any:
    async with gemini_client(server).aio as client:
        return seen(await client.models.generate_content(model=GEMINI, contents="What colour?"))


async def agenerate_stream(server: ModelServer) -> Any:
    async with gemini_client(server).aio as client:
        stream = await client.models.generate_content_stream(model=GEMINI, contents="What colour?")
        return seen([chunk async for chunk in stream])


# -- Groq --------------------------------------------------------------------------------------------------------------


def groq_chat(server: ModelServer) -> Any:
    with groq.Groq(api_key="gsk-none", base_url=server.url, max_retries=0) as client:
        return seen(client.chat.completions.create(**CHAT))


def groq_chat_stream(server: ModelServer) -> Any:
    with groq.Groq(api_key="gsk-none", base_url=server.url, max_retries=0) as client:
        stream = client.chat.completions.create(**CHAT, stream=True)
        return type(stream), seen(list(stream))
