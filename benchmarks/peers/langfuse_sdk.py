"""This module is where the Langfuse SDK does the record: one generation.

As in https://langfuse.com/docs/observability/sdk/python/instrumentation (manual observations).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langfuse import Langfuse as Client


class Langfuse:
    """The client with its defaults, sending to the stub."""

    def __init__(self, folder: Path, stub: str) -> None:
        del folder
        self._client = Client(public_key="pk-lf-bench", secret_key="sk-lf-bench", base_url=stub)

    def record(self, arguments: dict[str, Any], response: dict[str, Any]) -> None:
        usage = response["usage"]
        generation = self._client.start_observation(
            name="chat",
            as_type="generation",
            model=arguments["model"],
            model_parameters={name: arguments[name] for name in ("temperature", "max_tokens")},
            input=arguments["messages"],
            metadata={"user": arguments["user"]},
        )
        generation.update(
            output=response["choices"][0]["message"],
            usage_details={"input": usage["prompt_tokens"], "output": usage["completion_tokens"]},
        )
        generation.end()

    def flush(self) -> None:
        self._client.flush()

    def close(self) -> None:
        self._client.shutdown()
