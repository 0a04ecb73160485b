"""This module is where Mistral AI is described.

Source: mistralai 3.7.0 (``models.UsageInfo``) and docs.mistral.ai/api, read 2026-11-21. OpenAI's names; cached tokens
also as ``num_cached_tokens``, heard sound as ``prompt_audio_seconds``, the tier inside the usage.
"""

from typing import Any

from aicore_obs.protocols import Carrier, Hook
from aicore_obs.sdks import plain
from aicore_obs.shapes import openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hooks", "hosts", "name", "read_request", "read_response", "read_text"]

name = "mistral"
hosts = ("api.mistral.ai", "codestral.mistral.ai")
read_response = reader(openai.SHAPE)
read_text = text_reader(openai.SHAPE)


def _base_url(sdk: Any) -> str | None:
    return str(sdk.sdk_configuration.get_server_details()[0])


def _carrier(result: Any) -> Carrier | None:
    return Carrier(result.response, "generator") if hasattr(result, "generator") else None


# Source of the hooks: mistralai 3.7.0 (``client.chat``), read 2026-11-27; ``parse`` calls ``complete``.
_METHODS = {
    "chat:Chat.complete": ("chat.complete", "completion", "messages"),
    "chat:Chat.stream": ("chat.stream", "completion", "messages"),
    "embeddings:Embeddings.create": ("embeddings.create", "embedding", "inputs"),
    "fim:Fim.complete": ("fim.complete", "completion", "prompt"),
    "fim:Fim.stream": ("fim.stream", "completion", "prompt"),
}
hooks = tuple(
    Hook(
        package="mistralai",
        module=f"mistralai.client.{place.partition(':')[0]}",
        function=place.partition(":")[2] + suffix,
        tested="3.7.0",
        parameters=("model", needed),
        read_call=plain.keywords(api, operation_type, _base_url),
        carrier=_carrier,
        is_async=bool(suffix),
    )
    for place, (api, operation_type, needed) in _METHODS.items()
    for suffix in ("", "_async")
)
