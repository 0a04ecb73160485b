"""This module is where Pydantic AI is described, whose responses carry the usage of any provider.

Source: pydantic-ai-slim 2.68.0 (``messages.ModelResponse``, ``usage.RequestUsage``), read 2026-11-21. ``provider_name``
says who answered and bills.
"""

from aicore_obs.shapes import pydantic_ai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "pydantic-ai"
hosts: tuple[str, ...] = ()
read_response = reader(pydantic_ai.SHAPE)
read_text = text_reader(pydantic_ai.SHAPE)
