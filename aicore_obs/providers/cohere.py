"""This module is where Cohere is described: chat, embeddings, rankings.

Source: cohere 7.3.1 (``types.Usage``, ``types.ApiMeta``) and docs.cohere.com/reference, read 2026-11-21.
``billed_units`` are what counts. Its compatibility endpoint answers in OpenAI's shape.
"""

from typing import Any

from aicore_obs.protocols import Hook
from aicore_obs.sdks import plain
from aicore_obs.shapes import cohere, openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hooks", "hosts", "name", "read_request", "read_response", "read_text"]

name = "cohere"
hosts = ("api.cohere.com", "api.cohere.ai")
read_response = reader(cohere.SHAPE, openai.SHAPE)
read_text = text_reader(cohere.SHAPE, openai.SHAPE)


def _base_url(client: Any) -> str | None:
    return str(client._raw_client._client_wrapper.get_base_url())  # noqa: SLF001 - there is no other place


# Source of the hooks: cohere 7.3.1 (``v2.client``), read 2026-11-27. ``chat_stream`` of both clients is a generator.
_METHODS = {
    "chat": ("chat", "completion", "messages"),
    "chat_stream": ("chat_stream", "completion", "messages"),
    "embed": ("embed", "embedding", "model"),
    "rerank": ("rerank", "rerank", "documents"),
}
hooks = tuple(
    Hook(
        package="cohere",
        module="cohere.v2.client",
        function=f"{client}.{method}",
        tested="7.3.1",
        parameters=("model", needed),
        read_call=plain.keywords(api, operation_type, _base_url),
        is_async=client == "AsyncV2Client" and method != "chat_stream",
    )
    for client in ("V2Client", "AsyncV2Client")
    for method, (api, operation_type, needed) in _METHODS.items()
)
