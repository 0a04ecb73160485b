"""This module is where OpenAI is described: chat, Responses, embeddings, images, audio, realtime, videos, batches.

Source: openai 2.54.0 (``types``) and platform.openai.com/docs/api-reference, read 2026-11-21. Every ``*_details``
number is a subset of its total. A stream has a usage only with ``stream_options.include_usage``.
"""

from aicore_obs.sdks import stainless
from aicore_obs.shapes import openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hooks", "hosts", "name", "read_request", "read_response", "read_text"]

name = "openai"
hosts = ("api.openai.com",)
read_response = reader(openai.SHAPE)
read_text = text_reader(openai.SHAPE)
hooks = stainless.hooks("openai", tested="3.57.0")
