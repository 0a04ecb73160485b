"""This module is where calls of further kinds are written down, as in :mod:`tests.sdk_calls`: media, tools, copies."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import pickle  # noqa: TID251 - what a program does with its results
import threading
import warnings
from typing import Any

import anthropic
import cohere
import ollama
import openai
import pytest
from google import genai
from google.genai import types
from mistralai.client import Mistral

from tests.model_server import ModelServer
from tests.sdk_calls import (
    CHAT,
    CLAUDE,
    GEMINI,
    MESSAGES,
    USAGE,
    acaught,
    anthropic_client,
    caught,
    gemini_client,
    openai_async,
    openai_client,
    seen,
)
from tests.sdk_calls_others import COMMAND, LLAMA, MISTRAL, NOVA, bedrock_client

TOOL: Any = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}},
}
SOUND = ("a.wav", b"RIFF....WAVE", "audio/wav")
AZURE: dict[str, Any] = {"api_key": "none", "api_version": "2025-04-01", "max_retries": 0}
PICTURE = ("a.png", b"\x89PNG....", "image/png")

# -- OpenAI: media, tools ----------------------------------------------------------------------------------------------


def chat_tools(server: ModelServer) -> Any:
    with openai_client(server) as client:
        answer = client.chat.completions.create(**CHAT, tools=[TOOL], tool_choice="required")
        return seen(answer), seen(answer.choices[0].message.tool_calls)


def chat_tools_stream(server: ModelServer) -> Any:
    with openai_client(server) as client, client.chat.completions.stream(**CHAT, tools=[TOOL]) as stream:
        return [event.type for event in stream], seen(stream.get_final_completion().choices[0].message)


def image(server: ModelServer) -> Any:
    with openai_client(server) as client:
        return seen(client.images.generate(model="gpt-image-1", prompt="A sky."))


def image_edit(server: ModelServer) -> Any:
    with openai_client(server) as client:
        return seen(client.images.edit(model="gpt-image-1", prompt="Bluer.", image=PICTURE))


async def aimage(server: ModelServer) -> Any:
    async with openai_async(server) as client:
        return seen(await client.images.generate(model="gpt-image-1", prompt="A sky."))


def speech(server: ModelServer) -> Any:
    with openai_client(server) as client:
        answer = client.audio.speech.create(model="tts-1", voice="alloy", input="Blue.")
        return type(answer), answer.read(), answer.content


def speech_streamed(server: ModelServer) -> Any:
    with openai_client(server) as client:
        speech = client.audio.speech.with_streaming_response
        with speech.create(model="tts-1", voice="alloy", input="Blue.") as answer:
            return type(answer), b"".join(answer.iter_bytes())


def transcription(server: ModelServer) -> Any:
    with openai_client(server) as client:
        return seen(client.audio.transcriptions.create(model="gpt-4o-transcribe", file=SOUND))


def moderation(server: ModelServer) -> Any:
    with openai_client(server) as client:
        return seen(client.moderations.create(model="omni-moderation-latest", input="Blue."))


def video(server: ModelServer) -> Any:
    with openai_client(server) as client, pytest.deprecated_call():
        return seen(client.videos.create_and_poll(model="sora-2", prompt="A sky.", poll_interval_ms=1))


# -- OpenAI: Azure, copies, two consumers ------------------------------------------------------------------------------


def azure_chat(server: ModelServer) -> Any:
    with openai.AzureOpenAI(
        api_key="none", azure_endpoint=server.url, api_version="2025-04-01", max_retries=0
    ) as client:
        return seen(client.chat.completions.create(**CHAT))


async def azure_achat_stream(server: ModelServer) -> Any:
    async with openai.AsyncAzureOpenAI(**AZURE, azure_endpoint=server.url) as client:
        stream = await client.chat.completions.create(**CHAT, **USAGE, stream=True)
        return seen([chunk async for chunk in stream])


def chat_copied(server: ModelServer) -> Any:
    with openai_client(server) as client:
        answer = client.chat.completions.create(**CHAT)
        raw = client.chat.completions.with_raw_response.create(**CHAT)
        copies = [copy.copy(answer), copy.deepcopy(answer), pickle.loads(pickle.dumps(answer)), raw.parse()]
        return [seen(one) for one in copies], caught(lambda: pickle.dumps(raw)), answer == copies[1]


def chat_stream_copied(server: ModelServer) -> Any:
    with openai_client(server) as client, client.chat.completions.create(**CHAT, **USAGE, stream=True) as stream:
        return type(caught(lambda: pickle.dumps(stream))), seen(list(copy.copy(stream)))


def chat_stream_two_readers(server: ModelServer) -> Any:
    with openai_client(server) as client:
        stream = client.chat.completions.create(**CHAT, **USAGE, stream=True)
        first = next(stream)
        rest = [chunk for chunk in stream if chunk.choices]
        return seen(first), seen(rest), seen(list(stream)), caught(lambda: next(stream))


def chat_stream_two_threads(server: ModelServer) -> Any:
    with openai_client(server) as client:
        stream = client.chat.completions.create(**CHAT, **USAGE, stream=True)
        got: list[Any] = [next(stream)]
        thread = threading.Thread(target=lambda: got.append(next(stream)), name="tests-reader")
        thread.start()
        thread.join()
        return seen([*got, *stream])


async def achat_stream_two_readers(server: ModelServer) -> Any:
    async with openai_async(server) as client:
        stream = await client.chat.completions.create(**CHAT, **USAGE, stream=True)
        first = await anext(stream)
        return seen(first), seen([chunk async for chunk in stream]), seen([chunk async for chunk in stream])


async def achat_parallel(server: ModelServer) -> Any:
    async with openai_async(server) as client:
        return seen(await asyncio.gather(*(client.chat.completions.create(**CHAT) for _ in range(3))))


# -- Anthropic ---------------------------------------------------------------------------------------------------------


async def amessages(server: ModelServer) -> Any:
    async with anthropic.AsyncAnthropic(api_key="sk-none", base_url=server.url, max_retries=0) as client:
        return seen(await client.messages.create(**CLAUDE))


async def amessages_stream(server: ModelServer) -> Any:
    async with anthropic.AsyncAnthropic(api_key="sk-none", base_url=server.url, max_retries=0) as client:
        stream = await client.messages.create(**CLAUDE, stream=True)
        return type(stream), seen([event async for event in stream])


async def amessages_error(server: ModelServer) -> Any:
    async with anthropic.AsyncAnthropic(api_key="sk-none", base_url=server.url, max_retries=0) as client:
        return await acaught(lambda: client.messages.create(**{**CLAUDE, "model": "fail"}))


def messages_streaming_response(server: ModelServer) -> Any:
    with anthropic_client(server) as client, client.messages.with_streaming_response.create(**CLAUDE) as response:
        return type(response), seen(response.parse())


def messages_copied(server: ModelServer) -> Any:
    with anthropic_client(server) as client:
        answer = client.messages.create(**CLAUDE)
        return seen(copy.deepcopy(answer)), seen(pickle.loads(pickle.dumps(answer)))


# -- Google ------------------------------------------------------------------------------------------------------------


def vertex_client(server: ModelServer) -> genai.Client:
    return genai.Client(vertexai=True, api_key="none", http_options=types.HttpOptions(base_url=server.url))


def image_of_google(server: ModelServer) -> Any:
    with vertex_client(server) as client, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said once a process: the method goes next year
        return seen(client.models.generate_images(model="imagen-4.0-generate-001", prompt="A sky."))


def video_of_google(server: ModelServer) -> Any:
    with vertex_client(server) as client:
        source = types.GenerateVideosSource(prompt="A sky.")
        made = client.models.generate_videos(model="veo-3.1-generate-preview", source=source)
        while not made.done:
            made = client.operations.get(made)
        return seen(made)


async def agenerate_error(server: ModelServer) -> Any:
    async with gemini_client(server).aio as client:
        return await acaught(lambda: client.models.generate_content(model="fail", contents="What colour?"))


def generate_copied(server: ModelServer) -> Any:
    with gemini_client(server) as client:
        answer = client.models.generate_content(model=GEMINI, contents="What colour?")
        return seen(copy.deepcopy(answer)), seen(pickle.loads(pickle.dumps(answer)))


# -- Mistral, Cohere, Ollama -------------------------------------------------------------------------------------------


def mistral_fim(server: ModelServer) -> Any:
    with Mistral(api_key="none", server_url=server.url) as client:
        return seen(client.fim.complete(model="codestral-latest", prompt="def f("))


def mistral_embeddings(server: ModelServer) -> Any:
    with Mistral(api_key="none", server_url=server.url) as client:
        return seen(client.embeddings.create(model="mistral-embed", inputs=["a"]))


def mistral_error(server: ModelServer) -> Any:
    with Mistral(api_key="none", server_url=server.url) as client:
        return caught(lambda: client.chat.complete(**{**MISTRAL, "model": "fail"}))


async def mistral_achat(server: ModelServer) -> Any:
    async with Mistral(api_key="none", server_url=server.url) as client:
        return seen(await client.chat.complete_async(**MISTRAL))


def cohere_embed(server: ModelServer) -> Any:
    with cohere.ClientV2(api_key="none", base_url=server.url) as client:
        return seen(client.embed(model="embed-v4.0", texts=["a"], input_type="search_query", embedding_types=["float"]))


def cohere_rerank(server: ModelServer) -> Any:
    with cohere.ClientV2(api_key="none", base_url=server.url) as client:
        return seen(client.rerank(model="rerank-v3.5", query="colour", documents=["blue", "sky"]))


def cohere_error(server: ModelServer) -> Any:
    with cohere.ClientV2(api_key="none", base_url=server.url) as client:
        return caught(lambda: client.chat(**{**COMMAND, "model": "fail"}))


def ollama_generate(server: ModelServer) -> Any:
    with ollama.Client(host=server.url) as client:
        return seen(client.generate(model="llama3", prompt="What colour?"))


def ollama_embed(server: ModelServer) -> Any:
    with ollama.Client(host=server.url) as client:
        return seen(client.embed(model="all-minilm", input="a"))


async def ollama_aerror(server: ModelServer) -> Any:
    async with ollama.AsyncClient(host=server.url) as client:
        return await acaught(lambda: client.chat(**{**LLAMA, "model": "fail"}))


# -- Bedrock -----------------------------------------------------------------------------------------------------------


def invoke_stream(server: ModelServer) -> Any:
    with contextlib.closing(bedrock_client(server)) as client:
        answer = client.invoke_model_with_response_stream(modelId=NOVA, body=json.dumps({"messages": MESSAGES}))
        return type(answer["body"]), [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
