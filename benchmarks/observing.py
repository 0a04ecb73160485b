"""This module is where it is measured what watching costs: an SDK's call and stream, a function under ``@observe``.

Here the provider is a function and times are CPU of the caller's thread, the best of some: what watching itself takes.
Over HTTP and beside others it is measured by :mod:`benchmarks.peers.watching`.
"""

from __future__ import annotations

import asyncio
import json
import time
import timeit
from collections.abc import Callable, Sequence
from typing import Any

import httpx2
import openai

import aicore_obs
from aicore_obs.observer import observe, observer
from benchmarks.figures import Taken
from benchmarks.turns import Case, Stage

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


def cases(stage: Stage) -> Sequence[Case]:
    return [
        Case(
            name="this package",
            ours="benchmarks.observing:turn",
            given={"scale": stage.size(full=20, quick=1)},
            floor_is="nobody watches",
        )
    ]


def turn(*, scale: int, folder: str) -> list[Taken]:
    """Return what watching adds, each beside what the same takes unwatched."""
    collector = aicore_obs.configure(db_url=f"sqlite:///{folder}/observing.db")
    client = openai.OpenAI(api_key="none", http_client=httpx2.Client(transport=httpx2.MockTransport(_answer)))
    asked: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Which colour? " * 20}]}

    def call() -> None:
        client.chat.completions.create(**asked)

    def stream() -> None:
        for _ in client.chat.completions.create(**asked, stream=True):
            pass

    ways: dict[str, tuple[Callable[[], None], int]] = {
        "a call": (call, 10 * scale),
        f"a stream of {CHUNKS} chunks": (stream, scale),
    }
    plain = {what: _best_us(work, number) for what, (work, number) in ways.items()}
    aicore_obs.instrument()
    taken = [_added(what, _best_us(work, number), plain[what]) for what, (work, number) in ways.items()]
    taken += _decorated(scale)
    collector.close()
    return taken


def _decorated(scale: int) -> list[Taken]:
    """Return what ``@observe`` adds to a function that does nothing."""
    observed, aobserved = observe(_plain), observe(_aplain)
    many, some = 2_500 * scale, 100 * scale
    base, abase = _best_us(lambda: _plain(1), many), _awaited_us(_aplain, many)
    taken = [
        _added("@observe, no session", _best_us(lambda: observed(1), many), base),
        _added("@observe, no session, async", _awaited_us(aobserved, many), abase),
    ]
    observer.observe()
    taken += [
        _added("@observe, in a session", _best_us(lambda: observed(1), some), base),
        _added("@observe, in a session, async", _awaited_us(aobserved, some), abase),
    ]
    observer.reset()
    return taken


def _added(what: str, watched_us: float, plain_us: float) -> Taken:
    return Taken(what=what, unit="µs", value=watched_us - plain_us, floor=plain_us)


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


def _awaited_us(function: Callable[[int], Any], number: int) -> float:
    async def once() -> float:
        started = time.thread_time()
        for _ in range(number):
            await function(1)
        return (time.thread_time() - started) / number * 1e6

    return min(asyncio.run(once()) for _ in range(5))
