"""This module is where xAI is described.

Source: xai-sdk 1.21.0 (``proto.usage_pb2.SamplingUsage``) and docs.x.ai, read 2026-11-21. OpenAI's names;
``completion_tokens`` leave reasoning out, ``cost_in_usd_ticks`` is the bill, cached tokens may exceed the prompt.
"""

from aicore_obs.shapes import anthropic, openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.openai_usage import Habits
from aicore_obs.shapes.request import read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "xai"
hosts = ("api.x.ai",)
_SHAPE = openai.OpenAI(habits=Habits(reasons_apart=True))
read_response = reader(_SHAPE, anthropic.SHAPE)
read_text = text_reader(_SHAPE, anthropic.SHAPE)
