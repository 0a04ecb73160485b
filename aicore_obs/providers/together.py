"""This module is where Together AI is described.

Source: docs.together.ai/reference, read 2026-11-21. OpenAI's names. The same models have other prices elsewhere.
"""

from aicore_obs.sdks import stainless
from aicore_obs.shapes import openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hooks", "hosts", "name", "read_request", "read_response", "read_text"]

name = "together"
hosts = ("api.together.xyz", "api.together.ai")
read_response = reader(openai.SHAPE)
read_text = text_reader(openai.SHAPE)
hooks = stainless.hooks("together", tested="3.1.1")
