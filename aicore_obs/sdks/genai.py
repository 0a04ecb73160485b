"""This module is where google-genai is described, which serves the Gemini API and Vertex.

Source: google-genai 3.6.1 (``models``), read 2026-11-27. The public ``generate_content`` calls tools by itself and goes
on; each request that is billed passes the private method of the same name once.
"""

from __future__ import annotations

from typing import Any

from aicore_obs.protocols import Asked, Hook

# Private method → what users call, the kind of operation, the parameters that must be there.
_METHODS = {
    "_generate_content": ("models.generate_content", "completion", ("model", "contents", "config")),
    "_generate_content_stream": ("models.generate_content_stream", "completion", ("model", "contents", "config")),
    "_embed_content": ("models.embed_content", "embedding", ("model", "contents", "config")),
    "_generate_images": ("models.generate_images", "image", ("model", "prompt", "config")),
    "_generate_videos": ("models.generate_videos", "video", ("model", "prompt", "image", "video", "config")),
}


def _hook(client: str, method: str) -> Hook:
    api, operation_type, parameters = _METHODS[method]

    def read_call(models: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked | None:  # noqa: ARG001 - a duty
        client = models._api_client  # noqa: SLF001 - there is no other place
        return Asked(
            api=api,
            operation_type=operation_type,
            request={name: value for name, value in kwargs.items() if value is not None},
            base_url=client._http_options.base_url,  # noqa: SLF001 - there is no other place
            provider="vertex" if client.vertexai else None,
        )

    return Hook(
        package="google.genai",
        module="google.genai.models",
        function=f"{client}.{method}",
        tested="3.6.1",
        parameters=parameters,
        read_call=read_call,
        is_async=client.startswith("Async"),
    )


HOOKS = tuple(_hook(client, method) for client in ("Models", "AsyncModels") for method in _METHODS)
