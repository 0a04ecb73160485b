"""This module is where DeepSeek is described.

Source: api-docs.deepseek.com/api/create-chat-completion, read 2026-11-21. OpenAI's names; ``prompt_cache_hit_tokens``
and ``prompt_cache_miss_tokens`` together are the prompt. Its other endpoint answers in Anthropic's shape.
"""

from aicore_obs.shapes import anthropic, openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "deepseek"
hosts = ("api.deepseek.com",)
read_response = reader(openai.SHAPE, anthropic.SHAPE)
read_text = text_reader(openai.SHAPE, anthropic.SHAPE)
