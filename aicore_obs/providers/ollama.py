"""This module is where Ollama is described.

Source: ollama 0.6.3 (``_types``) and docs/api.md of ollama/ollama, read 2026-11-21. Its own interface counts at the top
of the last line; the compatible one answers in OpenAI's shape. 11434 is its port wherever it runs.
"""

from typing import Any

from aicore_obs.protocols import Asked, Hook
from aicore_obs.shapes import ollama, openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hooks", "hosts", "name", "read_request", "read_response", "read_text"]

name = "ollama"
hosts = ("ollama.com", ":11434")
read_response = reader(ollama.SHAPE, openai.SHAPE)
read_text = text_reader(ollama.SHAPE, openai.SHAPE)


def _read_call(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked | None:
    found = _APIS.get(args[2]) if len(args) > 2 else None
    if found is None:
        return None
    return Asked(api=found[0], operation_type=found[1], request=kwargs["json"], base_url=str(client._client.base_url))  # noqa: SLF001


# Source of the hooks: ollama 0.6.3 (``_client``), read 2026-11-27.
_APIS = {
    "/api/chat": ("chat", "completion"),
    "/api/generate": ("generate", "completion"),
    "/api/embed": ("embed", "embedding"),
    "/api/embeddings": ("embeddings", "embedding"),
}
hooks = tuple(
    Hook(
        package="ollama",
        module="ollama._client",
        function=f"{client}._request",
        tested="0.6.3",
        parameters=("cls", "stream"),
        read_call=_read_call,
        is_async=client == "AsyncClient",
    )
    for client in ("Client", "AsyncClient")
)
