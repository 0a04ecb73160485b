"""This module is where calls of LiteLLM are written down, as in :mod:`tests.sdk_calls`, for where it is installed."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import litellm

from tests.model_server import ModelServer
from tests.sdk_calls import MESSAGES, USAGE

CLAUDE = "anthropic/claude-sonnet-5"
GEMINI = "gemini/gemini-2.0-flash"
MISTRAL = "mistral/mistral-medium-latest"
GPT = "openai/gpt-4o-mini"


def asked(server: ModelServer, model: str = GPT, **options: Any) -> dict[str, Any]:
    """Return the arguments of a completion."""
    base = server.url + ("/v1" if model.startswith(("openai/", "mistral/")) else "")
    return {"model": model, "messages": MESSAGES, "api_base": base, "api_key": "sk-none", **options}


def seen(value: Any) -> Any:
    """Return what a program can see, without what LiteLLM makes up anew each time: ids and times."""
    if isinstance(value, list):
        return [seen(one) for one in value]
    if hasattr(value, "model_dump"):
        body = value.model_dump(warnings=False)
        return type(value), {name: body[name] for name in body if name not in ("id", "created", "created_at")}
    return type(value), value if isinstance(value, dict) else None


def caught(call: Any) -> Any:
    try:
        return seen(call())
    except Exception as error:
        return type(error), str(error), type(error.__cause__)


async def acaught(awaited: Any) -> Any:
    try:
        return seen(await awaited)
    except (Exception, asyncio.CancelledError) as error:
        return type(error), str(error), type(error.__cause__)


def completion(server: ModelServer) -> Any:
    return seen(litellm.completion(**asked(server)))


def completion_stream(server: ModelServer) -> Any:
    return seen(list(litellm.completion(**asked(server), **USAGE, stream=True)))


def completion_error(server: ModelServer) -> Any:
    return caught(lambda: litellm.completion(**asked(server, "openai/fail")))


def claude(server: ModelServer) -> Any:
    return seen(litellm.completion(**asked(server, CLAUDE)))


def claude_stream(server: ModelServer) -> Any:
    return seen(list(litellm.completion(**asked(server, CLAUDE), stream=True)))


def claude_stream_closed_early(server: ModelServer) -> Any:
    stream = litellm.completion(**asked(server, CLAUDE), stream=True)
    first = seen(next(stream))
    stream.close()
    del stream
    gc.collect()
    return first


def claude_error(server: ModelServer) -> Any:
    return caught(lambda: litellm.completion(**asked(server, "anthropic/fail")))


def claude_timeout(server: ModelServer) -> Any:
    made = caught(lambda: litellm.completion(**asked(server, "anthropic/slow", timeout=0.2)))
    return made[0]  # the message has the time that it took


def gemini(server: ModelServer) -> Any:
    return seen(litellm.completion(**asked(server, GEMINI)))


def gemini_stream(server: ModelServer) -> Any:
    return seen(list(litellm.completion(**asked(server, GEMINI), stream=True)))


def mistral(server: ModelServer) -> Any:
    return seen(litellm.completion(**asked(server, MISTRAL)))


def mistral_stream_without_usage(server: ModelServer) -> Any:
    return seen(list(litellm.completion(**asked(server, MISTRAL), stream=True)))


def azure(server: ModelServer) -> Any:
    return seen(litellm.completion(**asked(server, "azure/mine", api_version="2024-10-21")))


def bedrock(server: ModelServer) -> Any:
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "aws_region_name": "us-east-1"}
    where = {"aws_bedrock_runtime_endpoint": server.url}
    return seen(litellm.completion(model="bedrock/us.amazon.nova-lite-v1:0", messages=MESSAGES, **keys, **where))


def embedding(server: ModelServer) -> Any:
    where = {"api_base": f"{server.url}/v1", "api_key": "sk-none"}
    return seen(litellm.embedding(model="text-embedding-3-small", input=["a", "b"], **where))


def responses(server: ModelServer) -> Any:
    where = {"api_base": f"{server.url}/v1", "api_key": "sk-none"}
    return seen(litellm.responses(model="openai/gpt-5", input="What colour?", **where))


def image(server: ModelServer) -> Any:
    where = {"api_base": f"{server.url}/v1", "api_key": "sk-none"}
    return seen(litellm.image_generation(model="gpt-image-1", prompt="a cat", **where))


def speech(server: ModelServer) -> Any:
    where = {"api_base": f"{server.url}/v1", "api_key": "sk-none"}
    return litellm.speech(model="openai/tts-1", input="hi", voice="alloy", **where).content


def transcription(server: ModelServer) -> Any:
    where = {"api_base": f"{server.url}/v1", "api_key": "sk-none"}
    return seen(litellm.transcription(model="openai/gpt-4o-transcribe", file=("a.wav", b"RIFF...."), **where))


def rerank(server: ModelServer) -> Any:
    where = {"api_base": server.url, "api_key": "none"}
    return seen(litellm.rerank(model="cohere/rerank-v3.5", query="q", documents=["a"], **where))


async def acompletion(server: ModelServer) -> Any:
    return seen(await litellm.acompletion(**asked(server)))


async def acompletion_stream(server: ModelServer) -> Any:
    return seen([part async for part in await litellm.acompletion(**asked(server), **USAGE, stream=True)])


async def aclaude(server: ModelServer) -> Any:
    return seen(await litellm.acompletion(**asked(server, CLAUDE)))


async def aclaude_stream(server: ModelServer) -> Any:
    return seen([part async for part in await litellm.acompletion(**asked(server, CLAUDE), stream=True)])


async def aclaude_error(server: ModelServer) -> Any:
    return await acaught(litellm.acompletion(**asked(server, "anthropic/fail")))


async def aclaude_cancelled(server: ModelServer) -> Any:
    task = asyncio.ensure_future(litellm.acompletion(**asked(server, "anthropic/slow")))
    while not server.requests:
        await asyncio.sleep(0.005)
    task.cancel()
    made = await acaught(task)
    del task
    gc.collect()
    return made


async def aembedding(server: ModelServer) -> Any:
    where = {"api_base": f"{server.url}/v1", "api_key": "sk-none"}
    return seen(await litellm.aembedding(model="text-embedding-3-small", input=["a", "b"], **where))


async def aresponses_stream(server: ModelServer) -> Any:
    where = {"api_base": f"{server.url}/v1", "api_key": "sk-none"}
    stream = await litellm.aresponses(model="openai/gpt-5", input="What colour?", stream=True, **where)
    return [type(event) async for event in stream]


async def amessages(server: ModelServer) -> Any:
    made = await litellm.anthropic_messages(**asked(server, CLAUDE, max_tokens=100))
    return made["content"], made["usage"]
