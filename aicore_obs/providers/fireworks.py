"""This module is where Fireworks AI is described.

Source: docs.fireworks.ai/api-reference, read 2026-11-21. OpenAI's names. Models are paths
(``accounts/fireworks/models/…``).
"""

from aicore_obs.sdks import stainless
from aicore_obs.shapes import openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hooks", "hosts", "name", "read_request", "read_response", "read_text"]

name = "fireworks"
hosts = ("api.fireworks.ai",)
read_response = reader(openai.SHAPE)
read_text = text_reader(openai.SHAPE)
hooks = stainless.hooks("fireworks", tested="1.2.30")
