"""This module is where answers of further kinds are written down that the server of the tests gives."""

from __future__ import annotations

import base64
import json
from typing import Any

Json = dict[str, Any]
USAGE = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}
CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1782955818,
    "model": "gpt-4o-mini-2024-07-18",
}


def tool_call(body: Json) -> Json:
    """Answer with a call of the first tool."""
    function = {"name": body["tools"][0]["function"]["name"], "arguments": '{"place": "sky"}'}
    call = {"id": "call_1", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": None}
    return {**CHUNK, "object": "chat.completion", "choices": [choice], "usage": USAGE}


def tool_call_stream(body: Json) -> list[Json]:
    (call,) = tool_call(body)["choices"][0]["message"]["tool_calls"]
    begun = {"role": "assistant", "content": None, "tool_calls": [{**call, "index": 0}]}
    parts: list[tuple[Json, str | None]] = [(begun, None), ({}, "tool_calls")]
    return [{**CHUNK, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in parts]


def images(_: Json) -> Json:
    details = {"text_tokens": 9, "image_tokens": 0}
    usage = {"input_tokens": 9, "input_tokens_details": details, "output_tokens": 272, "total_tokens": 281}
    return {"created": 1782955818, "data": [{"b64_json": "iVBORw0KGgo="}], "size": "1024x1024", "usage": usage}


def transcriptions(_: Json) -> Json:
    details = {"text_tokens": 0, "audio_tokens": 14}
    counts = {"input_tokens": 14, "input_token_details": details, "output_tokens": 2, "total_tokens": 16}
    return {"text": "Blue.", "usage": {"type": "tokens", **counts}}


def moderations(_: Json) -> Json:
    verdict = {"flagged": False, "categories": {}, "category_scores": {}, "category_applied_input_types": {}}
    return {"id": "modr-1", "model": "omni-moderation-latest", "results": [verdict]}


def videos(_: Json) -> Json:
    return {"id": "video_1", "object": "video", "model": "sora-2", "status": "queued", "progress": 0, "seconds": "4",
            "size": "720x1280", "created_at": 1782955818}  # fmt: skip


def video_done(body: Json) -> Json:
    return {**videos(body), "status": "completed", "progress": 100}


def imagen(_: Json) -> Json:
    return {"predictions": [{"bytesBase64Encoded": "iVBORw0KGgo=", "mimeType": "image/png"}]}


def cohere_embed(_: Json) -> Json:
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 2}}
    return {"id": "e-1", "embeddings": {"float": [[0.25, -0.5]]}, "texts": ["a"], "meta": meta}


def cohere_rerank(_: Json) -> Json:
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    return {"id": "r-1", "results": [{"index": 1, "relevance_score": 0.9}], "meta": meta}


def ollama_generate(_: Json) -> Json:
    counts = {"prompt_eval_count": 11, "eval_count": 2}
    return {"model": "llama3", "created_at": "2026-05-24T20:48:36Z", "response": "Blue.", "done": True, **counts}


def ollama_embed(_: Json) -> Json:
    return {"model": "all-minilm", "embeddings": [[0.25, -0.5]], "prompt_eval_count": 1}


def invoke_stream(_: Json) -> list[Json]:
    metrics = {"inputTokenCount": 11, "outputTokenCount": 2, "invocationLatency": 7, "firstByteLatency": 3}
    events: list[Json] = [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"delta": {"text": "Blue."}, "contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": {"usage": {"inputTokens": 11, "outputTokens": 2}}, "amazon-bedrock-invocationMetrics": metrics},
    ]
    return [{"chunk": {"bytes": base64.b64encode(json.dumps(event).encode()).decode()}} for event in events]
