"""This module is where OpenRouter is described.

Source: openrouter.ai/docs (usage accounting), read 2026-11-21. Every upstream in OpenAI's names, the cache and
reasoning inside; ``usage.cost`` is the bill, with the user's own key at the upstream only a part of it.
"""

from aicore_obs.shapes import anthropic, openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "openrouter"
hosts = ("openrouter.ai",)
_SHAPE = openai.OpenAI(is_openrouter=True)
read_response = reader(_SHAPE, anthropic.SHAPE)
read_text = text_reader(_SHAPE, anthropic.SHAPE)
