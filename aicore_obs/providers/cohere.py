"""This module is where Cohere is described: chat, embeddings, rankings.

Source: cohere 7.3.1 (``types.Usage``, ``types.ApiMeta``) and docs.cohere.com/reference, read 2026-11-21.
``billed_units`` are what counts. Its compatibility endpoint answers in OpenAI's shape.
"""

from aicore_obs.shapes import cohere, openai
from aicore_obs.shapes.facts import reader, text_reader
from aicore_obs.shapes.request import read_request

__all__ = ["hosts", "name", "read_request", "read_response", "read_text"]

name = "cohere"
hosts = ("api.cohere.com", "api.cohere.ai")
read_response = reader(cohere.SHAPE, openai.SHAPE)
read_text = text_reader(cohere.SHAPE, openai.SHAPE)
