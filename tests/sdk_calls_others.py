"""This module is where calls of further SDKs are written down, as in :mod:`tests.sdk_calls`: each of its own make."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import boto3
import cohere
import ollama
import together
from mistralai.client import Mistral

from tests.model_server import ModelServer
from tests.sdk_calls import CHAT, MESSAGES, caught, seen

# -- Mistral, Cohere, Ollama -------------------------------------------------------------------------------------------

MISTRAL: dict[str, Any] = {"model": "mistral-medium-latest", "messages": MESSAGES}
COMMAND: dict[str, Any] = {"model": "command-r7b-12-2024", "messages": MESSAGES}
LLAMA: dict[str, Any] = {"model": "llama3", "messages": MESSAGES}


def mistral_chat(server: ModelServer) -> Any:
    with Mistral(api_key="none", server_url=server.url) as client:
        return seen(client.chat.complete(**MISTRAL))


def mistral_stream(server: ModelServer) -> Any:
    with Mistral(api_key="none", server_url=server.url) as client:
        stream = client.chat.stream(**MISTRAL)
        return type(stream), [seen(event.data) for event in stream]


async def mistral_astream(server: ModelServer) -> Any:
    async with Mistral(api_key="none", server_url=server.url) as client:
        stream = await client.chat.stream_async(**MISTRAL)
        return type(stream), [seen(event.data) async for event in stream]


def cohere_chat(server: ModelServer) -> Any:
    with cohere.ClientV2(api_key="none", base_url=server.url) as client:
        return seen(client.chat(**COMMAND))


def cohere_stream(server: ModelServer) -> Any:
    with cohere.ClientV2(api_key="none", base_url=server.url) as client:
        stream = client.chat_stream(**COMMAND)
        return type(stream), seen(list(stream))


async def cohere_astream(server: ModelServer) -> Any:
    async with cohere.AsyncClientV2(api_key="none", base_url=server.url) as client:
        return seen([event async for event in client.chat_stream(**COMMAND)])


def ollama_chat(server: ModelServer) -> Any:
    with ollama.Client(host=server.url) as client:
        return seen(client.chat(**LLAMA))


def ollama_stream(server: ModelServer) -> Any:
    with ollama.Client(host=server.url) as client:
        stream = client.chat(**LLAMA, stream=True)
        return type(stream), seen(list(stream))


async def ollama_astream(server: ModelServer) -> Any:
    async with ollama.AsyncClient(host=server.url) as client:
        return seen([part async for part in await client.chat(**LLAMA, stream=True)])


# -- Bedrock -----------------------------------------------------------------------------------------------------------

NOVA = "us.amazon.nova-lite-v1:0"
ASKED: Any = [{"role": "user", "content": [{"text": "What colour?"}]}]


def bedrock_client(server: ModelServer) -> Any:
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    return boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=server.url, **keys)


def converse(server: ModelServer) -> Any:
    with contextlib.closing(bedrock_client(server)) as client:
        answer = client.converse(modelId=NOVA, messages=ASKED)
        return type(answer), answer["output"], answer["usage"]


def converse_stream(server: ModelServer) -> Any:
    with contextlib.closing(bedrock_client(server)) as client:
        answer = client.converse_stream(modelId=NOVA, messages=ASKED)
        return type(answer["stream"]), list(answer["stream"])


def converse_stream_closed_early(server: ModelServer) -> Any:
    with contextlib.closing(bedrock_client(server)) as client:
        answer = client.converse_stream(modelId=NOVA, messages=ASKED)
        with contextlib.closing(answer["stream"]) as stream:
            return next(iter(stream))


def invoke_model(server: ModelServer) -> Any:
    with contextlib.closing(bedrock_client(server)) as client:
        answer = client.invoke_model(modelId=NOVA, body=json.dumps({"messages": []}))
        return type(answer), type(answer["body"]), answer["body"].read()


def converse_error(server: ModelServer) -> Any:
    with contextlib.closing(bedrock_client(server)) as client:
        return caught(lambda: client.converse(modelId="fail", messages=[]))


# -- Together, Fireworks -----------------------------------------------------------------------------------------------


def together_chat(server: ModelServer) -> Any:
    with together.Together(api_key="none", base_url=server.url, max_retries=0) as client:
        return seen(client.chat.completions.create(**CHAT))


def together_stream(server: ModelServer) -> Any:
    with together.Together(api_key="none", base_url=server.url, max_retries=0) as client:
        stream = client.chat.completions.create(**CHAT, stream=True)
        return type(stream), seen(list(stream))


def together_error(server: ModelServer) -> Any:
    with together.Together(api_key="none", base_url=server.url, max_retries=0) as client:
        return caught(lambda: client.chat.completions.create(**{**CHAT, "model": "fail"}))


async def atogether_stream(server: ModelServer) -> Any:
    async with together.AsyncTogether(api_key="none", base_url=server.url, max_retries=0) as client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        return type(stream), seen([chunk async for chunk in stream])


def fireworks_chat(server: ModelServer) -> Any:
    import fireworks

    with fireworks.Fireworks(api_key="none", base_url=server.url, max_retries=0) as client:
        return seen(client.chat.completions.create(**CHAT))


def fireworks_stream(server: ModelServer) -> Any:
    import fireworks

    with fireworks.Fireworks(api_key="none", base_url=server.url, max_retries=0) as client:
        stream = client.chat.completions.create(**CHAT, stream=True)
        return type(stream), seen(list(stream))


async def afireworks_chat(server: ModelServer) -> Any:
    import fireworks

    async with fireworks.AsyncFireworks(api_key="none", base_url=server.url, max_retries=0) as client:
        return seen(await client.chat.completions.create(**CHAT))
