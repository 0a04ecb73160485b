"""This module is where Hugging Face is described: its router, its endpoints and text-generation-inference.

Source: huggingface.co/docs/inference-providers and the OpenAPI document of text-generation-inference, read 2026-11-21.
The router answers in OpenAI's shape (``cached_tokens`` at the top of the usage), TGI's own ``generate`` in another.
"""

from aicore_obs.shapes import openai, tgi
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "huggingface"
hosts = ("router.huggingface.co", "api-inference.huggingface.co", "endpoints.huggingface.cloud")
read_response = reader(tgi.SHAPE, openai.SHAPE)
read_text = text_reader(tgi.SHAPE, openai.SHAPE)
