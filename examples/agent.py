"""This module is where an agent plans a day out: tools side by side, one that fails, an answer that streams.

Run it with ``python -m examples.agent "A day in Oslo?"``. It asks a small server of its own that stands for OpenAI's,
so that it needs neither key nor network, and prints the tree of what called what; as JSON with ``--json``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from openai import AsyncOpenAI
from rich.console import Console

import aicore_obs
from aicore_obs.observer import observe, observer

MODEL = "gpt-4o-mini"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    for name, description in (("weather", "The weather of a city today."), ("museums", "What is open in a city today."),
                              ("tickets", "Free seats of tonight's concerts."))
]  # fmt: skip


@observe
async def weather(city: str) -> str:
    await asyncio.sleep(0.03)
    return f"{city}: rain until noon, then sun, 14 degrees."


@observe
async def museums(client: AsyncOpenAI, city: str) -> str:
    """Ask a model in turn, as tools do."""
    asked = [{"role": "user", "content": f"Which museums are open in {city}?"}]
    answer = await client.chat.completions.create(model=MODEL, messages=asked)
    return str(answer.choices[0].message.content)


@observe
async def tickets(city: str) -> str:
    await asyncio.sleep(0.01)
    raise LookupError(f"no concert hall in {city} answers")


@observe
async def use(client: AsyncOpenAI, call: Any) -> dict[str, Any]:
    """Give a tool's result, or say that it failed, so that the model can go on."""
    city = json.loads(call.function.arguments)["city"]
    try:
        found = {"weather": weather, "tickets": tickets}.get(call.function.name)
        result = await (found(city) if found is not None else museums(client, city))
    except LookupError as error:
        result = f"failed: {error}"
    return {"role": "tool", "tool_call_id": call.id, "content": result}


@observe
async def answer(client: AsyncOpenAI, messages: list[Any]) -> str:
    """Let the model write as it thinks; the usage comes with the last part."""
    said = []
    stream = await client.chat.completions.create(
        model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}
    )
    async for part in stream:
        said += [choice.delta.content or "" for choice in part.choices]
    return "".join(said)


@observe
async def agent(client: AsyncOpenAI, question: str) -> str:
    messages: list[Any] = [{"role": "system", "content": "You plan days out."}, {"role": "user", "content": question}]
    plan = await client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)
    calls = plan.choices[0].message.tool_calls or []
    messages.append(plan.choices[0].message.model_dump(exclude_none=True))
    messages += await asyncio.gather(*(use(client, call) for call in calls))
    return await answer(client, messages)


async def run(question: str, base_url: str) -> str:
    async with AsyncOpenAI(api_key="none", base_url=base_url) as client:
        return await agent(client, question)


def main(question: str, *, as_json: bool = False) -> None:
    aicore_obs.instrument()
    session = observer.observe("agent", labels={"app": "day_out"})
    with provider() as base_url:
        said = asyncio.run(run(question, base_url))
    observer.end()
    tree = aicore_obs.show_trace(session)
    if as_json:
        print(tree.to_json())
        return
    console = Console()
    console.print(said, markup=False)
    console.print()
    console.print(tree)


# -- what stands for the provider ----------------------------------------------------------------------------------


class _Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked.get("stream"):
            self._stream("Stay in until noon, ", "see the museums, ", "and walk by the fjord in the sun.")
        elif asked.get("tools"):
            city = asked["messages"][-1]["content"].rstrip("?").split()[-1]
            calls = [
                {"id": f"call-{place}", "type": "function",
                 "function": {"name": tool["function"]["name"], "arguments": json.dumps({"city": city})}}
                for place, tool in enumerate(asked["tools"])
            ]  # fmt: skip
            self._send({"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls", (126, 48))
        else:
            self._send({"role": "assistant", "content": "The Munch museum, until nine."}, "stop", (14, 9))

    def _send(self, message: dict[str, Any], ended: str, counts: tuple[int, int]) -> None:
        time.sleep(0.04)
        choices = [{"index": 0, "message": message, "finish_reason": ended}]
        body = {"id": "c-1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": choices}
        self._write("application/json", json.dumps({**body, "usage": _usage(*counts)}).encode())

    def _stream(self, *texts: str) -> None:
        chunk = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
        parts = [{**chunk, "choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
        parts.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        parts.append({**chunk, "choices": [], "usage": _usage(231, 24)})
        lines = [f"data: {json.dumps(part)}\n\n".encode() for part in parts]
        time.sleep(0.05)
        self._write("text/event-stream", b"".join([*lines, b"data: [DONE]\n\n"]))

    def _write(self, content_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


def _usage(asked: int, said: int) -> dict[str, int]:
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


@contextmanager
def provider() -> Iterator[str]:
    """Serve on this machine for a block; give the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Provider)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="provider")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--json"]
    main(" ".join(words) or "A day in Oslo?", as_json="--json" in sys.argv)
