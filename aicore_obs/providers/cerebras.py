"""This module is where Cerebras is described.

Source: inference-docs.cerebras.ai/api-reference, read 2026-11-21. OpenAI's names. ``time_info`` holds seconds.
"""

from aicore_obs.shapes import openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "cerebras"
hosts = ("api.cerebras.ai",)
read_response = reader(openai.SHAPE)
read_text = text_reader(openai.SHAPE)
