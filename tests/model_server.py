"""This module is where a server on this machine stands for the providers: answers in the shapes that they recorded.

The model's name asks for the exception: ``fail`` answers 400, ``broken`` ends a stream with an error, ``slow`` says
nothing more until the server is released.
"""

from __future__ import annotations

import base64
import json
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.model_answers import (
    CHUNK,
    USAGE,
    Json,
    cohere_embed,
    cohere_rerank,
    imagen,
    images,
    invoke_stream,
    moderations,
    ollama_embed,
    ollama_generate,
    tool_call,
    tool_call_stream,
    transcriptions,
    video_done,
    videos,
)

_RESPONSE = {"id": "resp_1", "object": "response", "created_at": 1784650000, "model": "gpt-5-2025-08-07",
             "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}  # fmt: skip
_SAID = {"id": "msg_2", "type": "message", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "Blue.", "annotations": []}]}  # fmt: skip
_RESPONSE_USAGE = {"input_tokens": 11, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 4,
                   "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 15}  # fmt: skip
_MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5",
            "stop_reason": None, "stop_sequence": None}  # fmt: skip
_MESSAGE_USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 5,
    "output_tokens": 3,
}
_COHERE_USAGE = {"billed_units": {"input_tokens": 11, "output_tokens": 2},
                 "tokens": {"input_tokens": 11, "output_tokens": 2}}  # fmt: skip
_CANDIDATE = {"content": {"parts": [{"text": "Blue."}], "role": "model"}, "finishReason": "STOP", "index": 0}
_GOOGLE_USAGE = {"promptTokenCount": 9, "candidatesTokenCount": 2, "thoughtsTokenCount": 4, "totalTokenCount": 15}


def chat(body: Json) -> Json:
    message = {"role": "assistant", "content": "Blue.", "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    if "response_format" in body:
        message["content"] = '{"colour": "blue"}'
    return {**CHUNK, "object": "chat.completion", "choices": [choice], "usage": USAGE}


def chat_stream(body: Json) -> list[Json]:
    deltas = [{"role": "assistant", "content": ""}, {"content": "Bl"}, {"content": "ue."}, {}]
    reasons = [None, None, None, "stop"]
    chunks = [
        {**CHUNK, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        for delta, reason in zip(deltas, reasons, strict=True)
    ]
    wants_usage = (body.get("stream_options") or {}).get("include_usage")
    return [*chunks, {**CHUNK, "choices": [], "usage": USAGE}] if wants_usage else chunks


def responses(_: Json) -> Json:
    return {**_RESPONSE, "status": "completed", "output": [_SAID], "usage": _RESPONSE_USAGE}


def responses_stream(body: Json) -> list[Json]:
    place = {"item_id": "msg_2", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    begun = {**_RESPONSE, "status": "in_progress", "output": []}
    events: list[Json] = [
        {"type": "response.created", "response": begun},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**_SAID, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **place, "part": part},
        {"type": "response.output_text.delta", **place, "delta": "Blue.", "logprobs": []},
        {"type": "response.output_text.done", **place, "text": "Blue.", "logprobs": []},
        {"type": "response.content_part.done", **place, "part": {**part, "text": "Blue."}},
        {"type": "response.output_item.done", "output_index": 0, "item": _SAID},
        {"type": "response.completed", "response": responses(body)},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def embeddings(body: Json) -> Json:
    given = body["input"] if isinstance(body["input"], list) else [body["input"]]
    floats = [0.25, -0.5]
    packed = base64.b64encode(struct.pack("<2f", *floats)).decode()
    vector: Any = packed if body.get("encoding_format") == "base64" else floats
    data = [{"object": "embedding", "index": number, "embedding": vector} for number, _ in enumerate(given)]
    usage = {"prompt_tokens": 2 * len(given), "total_tokens": 2 * len(given)}
    return {"id": "emb-1", "object": "list", "model": "text-embedding-3-small", "data": data, "usage": usage}


def messages(body: Json) -> Json:
    text = '{"colour": "blue"}' if "output_config" in body or "output_format" in body else "Blue."
    content = [{"type": "text", "text": text}]
    return {**_MESSAGE, "stop_reason": "end_turn", "content": content, "usage": _MESSAGE_USAGE}


def messages_stream(_: Json) -> list[Json]:
    begun = {**_MESSAGE, "content": [], "usage": {**_MESSAGE_USAGE, "output_tokens": 1}}
    return [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Blue."}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 3},
        },
        {"type": "message_stop"},
    ]


def generate_content(_: Json) -> Json:
    return {
        "candidates": [_CANDIDATE],
        "usageMetadata": _GOOGLE_USAGE,
        "modelVersion": "gemini-2.0-flash",
        "responseId": "g",
    }


def generate_content_stream(body: Json) -> list[Json]:
    first = {"content": {"parts": [{"text": "Bl"}], "role": "model"}, "index": 0}
    return [{"candidates": [first], "modelVersion": "gemini-2.0-flash", "responseId": "g"}, generate_content(body)]


def embed_contents(body: Json) -> Json:
    return {"embeddings": [{"values": [0.25, -0.5]} for _ in body.get("requests", [None])]}


def begin_video(_: Json) -> Json:
    return {"name": "models/veo-3.1-generate-preview/operations/abc", "done": False}


def end_video(_: Json) -> Json:
    video = {"video": {"uri": "https://example.com/video.mp4"}}
    answer = {"videos": [{"gcsUri": video["video"]["uri"]}]}
    return {"name": "models/veo-3.1-generate-preview/operations/abc", "done": True, "response": answer}


def cohere_chat(_: Json) -> Json:
    message = {"role": "assistant", "content": [{"type": "text", "text": "Blue."}]}
    return {"id": "c-1", "finish_reason": "COMPLETE", "message": message, "usage": _COHERE_USAGE}


def cohere_stream(_: Json) -> list[Json]:
    begun = {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}
    said = {"message": {"content": {"text": "Blue."}}}
    return [
        {"type": "message-start", "id": "c-1", "delta": begun},
        {"type": "content-delta", "index": 0, "delta": said},
        {"type": "message-end", "id": "c-1", "delta": {"finish_reason": "COMPLETE", "usage": _COHERE_USAGE}},
    ]


def ollama_chat(_: Json) -> Json:
    message = {"role": "assistant", "content": "Blue."}
    counts = {"prompt_eval_count": 11, "eval_count": 2}
    return {"model": "llama3", "created_at": "2026-05-24T20:48:36Z", "message": message, "done": True, **counts}


def converse(_: Json) -> Json:
    message = {"role": "assistant", "content": [{"text": "Blue."}]}
    usage = {"inputTokens": 11, "outputTokens": 2, "totalTokens": 13}
    return {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 7}}


def converse_stream(body: Json) -> list[Json]:
    return [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Blue."}}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": {"usage": converse(body)["usage"], "metrics": {"latencyMs": 7}}},
    ]


def _aws_event(event: Json) -> bytes:
    """Return an event as AWS frames it: lengths, headers, the payload, and checksums."""
    ((name, payload),) = event.items()
    text = json.dumps(payload).encode()
    given = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for key, value in given.items()
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(text), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + text
    return message + struct.pack(">I", zlib.crc32(message))


_SOUND = b"ID3...."
# End of the path → the answer, and the events of the stream.
_ANSWERS: dict[str, tuple[Any, Any]] = {
    "/chat/completions": (chat, chat_stream),
    "/v2/chat": (cohere_chat, cohere_stream),
    "/converse": (converse, None),
    "/invoke": (converse, None),
    "/converse-stream": (None, converse_stream),
    "/api/chat": (ollama_chat, None),
    "/audio/speech": (None, _SOUND),
    "/responses": (responses, responses_stream),
    "/embeddings": (embeddings, None),
    "/messages": (messages, messages_stream),
    ":generateContent": (generate_content, None),
    ":streamGenerateContent": (None, generate_content_stream),
    ":batchEmbedContents": (embed_contents, None),
    "/images/generations": (images, None),
    "/images/edits": (images, None),
    "/audio/transcriptions": (transcriptions, None),
    "/moderations": (moderations, None),
    "/videos": (videos, None),
    "/videos/video_1": (video_done, None),
    "/fim/completions": (chat, chat_stream),
    "/v2/embed": (cohere_embed, None),
    "/v2/rerank": (cohere_rerank, None),
    "/api/generate": (ollama_generate, None),
    "/api/embed": (ollama_embed, None),
    "/invoke-with-response-stream": (None, invoke_stream),
    ":predict": (imagen, None),
    ":predictLongRunning": (begin_video, None),
    ":fetchPredictOperation": (end_video, None),
}


def _answers(path: str, body: Json) -> tuple[Any, Any]:
    whole, stream = next(answer for end, answer in _ANSWERS.items() if path.endswith(end))
    # Once it has a tool's result, a model says something itself.
    wants_tool = whole is chat and body.get("tools") and body["messages"][-1]["role"] != "tool"
    return (tool_call, tool_call_stream) if wants_tool else (whole, stream)


class ModelServer(ThreadingHTTPServer):
    """The server; ``requests`` are the paths that were asked for, in order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[str] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        """Return the base URL."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        is_form = self.headers.get("content-type", "").startswith("multipart/")
        self._answer({} if is_form else json.loads(body or b"{}"))

    def _answer(self, body: Json) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append(path)
        whole, stream = _answers(path, body)
        asked = str(body.get("model", "")) + path
        try:
            if "fail" in asked:
                self._send(400, {"error": {"message": "no such model", "type": "invalid_request_error", "code": 400}})
            elif stream is _SOUND:
                self._send(200, _SOUND, "audio/mpeg")
            elif path.endswith(("/converse-stream", "/invoke-with-response-stream")):
                self._send(200, b"".join(map(_aws_event, stream(body))), "application/vnd.amazon.eventstream")
            elif whole is None or (stream is not None and body.get("stream")):
                self._stream(stream(body), asked)
            else:
                self._wait_if_slow(asked)
                self._send(200, whole(body))
        except OSError:
            self.close_connection = True

    def _wait_if_slow(self, asked: str) -> None:
        if "slow" in asked:
            self.server.released.wait(10)

    def _send(self, status: int, answer: Json | bytes, content_type: str = "application/json") -> None:
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("x-amzn-bedrock-input-token-count", "11")
        self.send_header("x-amzn-bedrock-output-token-count", "2")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _stream(self, events: list[Json], asked: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number, event in enumerate(events):
            if number == 2:
                self._wait_if_slow(asked)
            if number == 2 and "broken" in asked:
                self._chunk({"type": "error", "error": {"message": "overloaded", "type": "overloaded_error"}})
                break
            self._chunk(event)
        else:
            if "/chat/completions" in asked:
                self._chunk("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, event: Json | str) -> None:
        name = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
        data = f"{name}data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The same date in every answer: SDKs show its headers in results and errors, which are compared."""
        return super().date_time_string(1_800_000_000.0 if timestamp is None else timestamp)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """A server that runs, for a block."""
    server = ModelServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="tests-models")
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
