"""This module is where it is measured what watching costs: an SDK's call and stream, a function under ``@observe``.

Run it with ``python -m benchmarks.observing``. Times are those of the caller's thread; the provider is a function.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
import timeit
from collections.abc import Callable
from typing import Any

import httpx2
import openai

import aicore_obs
from aicore_obs.observer import observe, observer

CHUNKS = 100
_HEAD = {"id": "c-1", "created": 1, "model": "gpt-4o-mini"}
_MESSAGE = {"role": "assistant", "content": "Blue. " * 40}
_BODY = {
    **_HEAD,
    "object": "chat.completion",
    "choices": [{"index": 0, "message": _MESSAGE, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13},
}
_CHUNK = {
    **_HEAD,
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}],
}
_STREAM = (f"data: {json.dumps(_CHUNK)}\n\n" * CHUNKS + "data: [DONE]\n\n").encode()


def _answer(request: httpx2.Request) -> httpx2.Response:
    if json.loads(request.content).get("stream"):
        return httpx2.Response(200, content=_STREAM, headers={"content-type": "text/event-stream"})
    return httpx2.Response(200, json=_BODY)


def _best_us(work: Callable[[], object], number: int) -> float:
    return min(timeit.repeat(work, number=number, repeat=7, timer=time.thread_time)) / number * 1e6


def _plain(number: int) -> int:
    return number


async def _aplain(number: int) -> int:
    return number


def _awaited_us(function: Callable[[int], Any], number: int = 50_000) -> float:
    async def once() -> float:
        started = time.thread_time()
        for _ in range(number):
            await function(1)
        return (time.thread_time() - started) / number * 1e6

    return min(asyncio.run(once()) for _ in range(5))


def main() -> None:
    """Print each cost beside the plain one."""
    os.chdir(tempfile.mkdtemp())
    collector = aicore_obs.configure(db_url="sqlite:///observing.db")
    client = openai.OpenAI(api_key="none", http_client=httpx2.Client(transport=httpx2.MockTransport(_answer)))
    asked: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Which colour? " * 20}]}
    observed, aobserved = observe(_plain), observe(_aplain)

    def call() -> None:
        client.chat.completions.create(**asked)

    def stream() -> None:
        for _ in client.chat.completions.create(**asked, stream=True):
            pass

    plain = [_best_us(call, 200), _best_us(stream, 20)]
    aicore_obs.instrument()
    ours = [_best_us(call, 200), _best_us(stream, 20)]
    for name, before, after in zip(("one call", f"a stream of {CHUNKS} chunks"), plain, ours, strict=True):
        print(f"{name}: {before:.0f} µs plain, {after - before:+.0f} µs watched")
    base = _best_us(lambda: _plain(1), 50_000)
    print(f"@observe, no session: {_best_us(lambda: observed(1), 50_000) - base:+.2f} µs")
    print(f"@observe, no session, async: {_awaited_us(aobserved) - _awaited_us(_aplain):+.2f} µs")
    observer.observe()
    print(f"@observe, in a session: {_best_us(lambda: observed(1), 2_000) - base:+.1f} µs")
    observer.reset()
    collector.close()


if __name__ == "__main__":
    main()
