"""This module is where Mistral AI is described.

Source: mistralai 3.7.0 (``models.UsageInfo``) and docs.mistral.ai/api, read 2026-11-21. OpenAI's names; cached tokens
also as ``num_cached_tokens``, heard sound as ``prompt_audio_seconds``, the tier inside the usage.
"""

from aicore_obs.shapes import openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "mistral"
hosts = ("api.mistral.ai", "codestral.mistral.ai")
read_response = reader(openai.SHAPE)
read_text = text_reader(openai.SHAPE)
