"""This module is where a server stands in for OpenAI: it answers chat completions, whole and as streams.

``python -m benchmarks.peers.provider`` prints its port. An answer has the number of its request in its text, so that
whoever records both can be held to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.payload import RESPONSE, answered, numbers_in

CHUNKS = 100


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One packet an answer; else the client waits for a delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        (number,) = numbers_in(body)
        streamed = json.loads(body).get("stream")
        answer = b"".join(_events(number)) if streamed else json.dumps(_whole(number)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if streamed else "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's word
        """Say nothing."""


def _whole(number: int) -> dict[str, Any]:
    (choice,) = RESPONSE["choices"]
    message = {**choice["message"], "content": answered(number)}
    return {**RESPONSE, "id": f"chatcmpl-{number}", "choices": [{**choice, "message": message}]}


def _events(number: int) -> Iterator[bytes]:
    """Write the answer's text in pieces, then why it ended, then the usage: 100 chunks in all."""
    first, *words = answered(number).split(" ")
    pieces = [first, *(f" {words[n % len(words)]}" for n in range(CHUNKS - 3))]
    for piece in pieces:
        yield _event(number, [{"index": 0, "delta": {"role": "assistant", "content": piece}, "finish_reason": None}])
    yield _event(number, [{"index": 0, "delta": {}, "finish_reason": "stop"}])
    yield _event(number, [], usage=RESPONSE["usage"])
    yield b"data: [DONE]\n\n"


def _event(number: int, choices: list[dict[str, Any]], **more: Any) -> bytes:
    head = {"id": f"chatcmpl-{number}", "object": "chat.completion.chunk", "created": 1, "model": RESPONSE["model"]}
    return f"data: {json.dumps({**head, 'choices': choices, **more})}\n\n".encode()


def main() -> None:
    """Serve until killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
