"""This module is where Anthropic is described: messages, their streams and batches.

Source: anthropic 2.11.0 (``types.usage``, ``types.beta.beta_usage``) and platform.claude.com/docs, read 2026-11-21.
``input_tokens`` leave the cache out. Its OpenAI-compatible endpoint answers in that shape.
"""

from aicore_obs.sdks import stainless
from aicore_obs.shapes import anthropic, openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hooks", "hosts", "name", "read_request", "read_response", "read_text"]

name = "anthropic"
hosts = ("api.anthropic.com",)
read_response = reader(anthropic.SHAPE, openai.SHAPE)
read_text = text_reader(anthropic.SHAPE, openai.SHAPE)
hooks = stainless.hooks("anthropic", tested="2.14.0")
