"""This module is where vLLM is described.

Source: docs.vllm.ai (OpenAI-compatible server), read 2026-11-21. OpenAI's shape; with ``continuous_usage_stats`` every
chunk repeats a growing usage, of which the last counts.
"""

from aicore_obs.shapes import anthropic, openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "vllm"
hosts: tuple[str, ...] = ()
read_response = reader(openai.SHAPE, anthropic.SHAPE)
read_text = text_reader(openai.SHAPE, anthropic.SHAPE)
